//! Which backup a person means.
//!
//! A vault may hold backups of several databases. So "the newest" means one only where the source is
//! said or there is no other: to restore or forget that of another database would be a grave mistake.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;

use crate::base::ids::{BackupId, SourceId};
use crate::catalog::backups::{self, BackupFilter, BackupKind, BackupRow, Selected};
use crate::catalog::sources as source_rows;
use crate::catalog::sources::{SourceRow, SourceUrl};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::sources;

/// The word for the newest backup.
const LATEST: &str = "latest";

/// The backup that a person means: of which source, if that was said, and which of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The source's name.
    pub source: Option<String>,
    /// Which of its backups.
    pub which: Which,
}

/// Which backup of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Latest,
    /// The newest of that day in UTC.
    Day(NaiveDate),
    /// The one whose id is this or begins with it. Ids do not repeat between sources.
    Id(String),
}

/// What a choice of a backup looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a backup's id, the beginning of one, `latest`, `SOURCE:latest` or `SOURCE@2026-11-01`"
)]
pub struct NoChoice;

impl Choice {
    /// The newest, where there is only one source.
    pub const LATEST: Self = Self { source: None, which: Which::Latest };
}

impl FromStr for Choice {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        let (source, which) = match (text.split_once('@'), text.split_once(':')) {
            (Some((source, day)), _) => (source, Which::Day(day.parse().map_err(|_| NoChoice)?)),
            (None, Some((source, which))) => (source, which.parse()?),
            (None, None) => return Ok(Self { source: None, which: text.parse()? }),
        };
        if source_rows::is_valid_name(source) {
            Ok(Self { source: Some(source.to_owned()), which })
        } else {
            Err(NoChoice)
        }
    }
}

impl FromStr for Which {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        if text == LATEST {
            return Ok(Self::Latest);
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Day(day));
        }
        if !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Ok(Self::Id(text.to_owned()));
        }
        Err(NoChoice)
    }
}

impl From<&BackupId> for Choice {
    fn from(id: &BackupId) -> Self {
        Self { source: None, which: Which::Id(id.to_string()) }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, &self.which) {
            (Some(source), Which::Day(day)) => write!(formatter, "{source}@{day}"),
            (Some(source), which) => write!(formatter, "{source}:{which}"),
            (None, which) => which.fmt(formatter),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => formatter.write_str(LATEST),
            Self::Day(day) => day.fmt(formatter),
            Self::Id(id) => formatter.write_str(id),
        }
    }
}

/// The backup that was chosen.
///
/// # Errors
/// `SeveralSources` where the newest of any of several sources could be meant.
pub fn backup(vault: &Vault, choice: &Choice) -> Result<BackupRow, OpsError> {
    let source = match &choice.source {
        Some(name) => Some(sources::find(vault, name)?),
        None => None,
    };
    let not_found = || OpsError::NoBackup { selector: choice.to_string() };
    match &choice.which {
        Which::Id(prefix) => {
            let row = match backups::find(vault.catalog().connection(), prefix)? {
                Selected::Found(row) => *row,
                Selected::Ambiguous(candidates) => {
                    let selector = prefix.clone();
                    return Err(OpsError::AmbiguousBackup { selector, candidates });
                }
                Selected::NotFound => return Err(not_found()),
            };
            match &source {
                Some(source) if source.source_id != row.source_id => Err(not_of(&row, source)),
                _ => Ok(row),
            }
        }
        which @ (Which::Latest | Which::Day(_)) => {
            let source_id = match source {
                Some(source) => Some(source.source_id),
                None => only_source(vault, choice)?,
            };
            newest(vault, source_id, which, |_| true)?.ok_or_else(not_found)
        }
    }
}

/// The backup of a source that was chosen, for a command that needs rows: the newest is the newest
/// that has some.
pub fn backup_with_rows(
    vault: &Vault,
    source: &SourceRow,
    choice: &Choice,
) -> Result<BackupRow, OpsError> {
    let choice = Choice { source: Some(source.name.clone()), which: choice.which.clone() };
    if !matches!(choice.which, Which::Id(_)) {
        let with_rows = |row: &BackupRow| row.kind != BackupKind::SchemaOnly;
        let row = newest(vault, Some(source.source_id), &choice.which, with_rows)?;
        return row.ok_or_else(|| OpsError::NoBackup { selector: choice.to_string() });
    }
    let row = backup(vault, &choice)?;
    if row.kind == BackupKind::SchemaOnly {
        let reason = "holds the schema only, no rows".to_owned();
        return Err(OpsError::NotInBackup { backup: row.backup_id, reason });
    }
    Ok(row)
}

/// All backups, or those of one source, the newest first.
pub fn all(vault: &Vault, source: Option<&str>) -> Result<Vec<BackupRow>, OpsError> {
    let source_id = match source {
        Some(name) => Some(sources::find(vault, name)?.source_id),
        None => None,
    };
    let filter = BackupFilter { source_id, class: None };
    Ok(backups::list(vault.catalog().connection(), &filter)?)
}

/// The newest backup of every source, and the sources that have none, both by name.
pub fn newest_of_each(vault: &Vault) -> Result<(Vec<BackupRow>, Vec<String>), OpsError> {
    let (mut rows, mut without) = (Vec::new(), Vec::new());
    let sources = source_rows::all(vault.catalog().connection())?;
    for source in sources {
        match newest(vault, Some(source.source_id), &Which::Latest, |_| true)? {
            Some(row) => rows.push(row),
            None if source.url == SourceUrl::Removed => {}
            None => without.push(source.name),
        }
    }
    Ok((rows, without))
}

/// The name of the source that a backup is of.
pub fn source_of(vault: &Vault, row: &BackupRow) -> Result<String, OpsError> {
    let source = source_rows::by_id(vault.catalog().connection(), row.source_id)?;
    Ok(source.map_or_else(|| row.source_id.to_string(), |source| source.name))
}

fn only_source(vault: &Vault, choice: &Choice) -> Result<Option<SourceId>, OpsError> {
    let sources = source_rows::all(vault.catalog().connection())?;
    match sources.as_slice() {
        [] | [_] => Ok(sources.first().map(|source| source.source_id)),
        _ => {
            let sources = sources.into_iter().map(|source| source.name).collect();
            Err(OpsError::SeveralSources { which: choice.which.to_string(), sources })
        }
    }
}

fn newest(
    vault: &Vault,
    source_id: Option<SourceId>,
    which: &Which,
    fits: impl Fn(&BackupRow) -> bool,
) -> Result<Option<BackupRow>, OpsError> {
    let rows =
        backups::list(vault.catalog().connection(), &BackupFilter { source_id, class: None })?;
    let of_day = |row: &BackupRow| match which {
        Which::Day(day) => row.snapshot_at.date_naive() == *day,
        Which::Latest | Which::Id(_) => true,
    };
    Ok(rows.into_iter().find(|row| of_day(row) && fits(row)))
}

fn not_of(row: &BackupRow, source: &SourceRow) -> OpsError {
    let reason = format!("is not of source {}", source.name);
    OpsError::NotInBackup { backup: row.backup_id.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_and_shown_as_it_is_written() {
        for text in ["latest", "20261122T02", "2026-11-01", "finance:latest", "a.b_c-d@2026-11-01"]
        {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        let day = "finance:2026-11-01".parse::<Choice>().unwrap();
        assert_eq!(day, "finance@2026-11-01".parse().unwrap());
        for wrong in [
            "",
            "../x",
            ":latest",
            "@2026-11-01",
            "a b:latest",
            "x@yesterday",
            "x@2026-11-31",
            "a:",
        ] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }
}
