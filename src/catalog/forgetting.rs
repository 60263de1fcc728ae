//! The forgetting that is under way, if one is.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Moment, parsed};
use crate::base::ids::{Digest, Epoch, InvalidId};

/// What is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgettingKind {
    /// Keys of data subjects.
    Erasure,
    /// Keys of backups.
    Expiry,
    /// No key: the epoch alone is renewed.
    Rotation,
}

impl ForgettingKind {
    /// The name in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Erasure => "erasure",
            Self::Expiry => "expiry",
            Self::Rotation => "rotation",
        }
    }
}

impl fmt::Display for ForgettingKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ForgettingKind {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        [Self::Erasure, Self::Expiry, Self::Rotation]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidId { kind: "kind of forgetting", text: text.to_owned() })
    }
}

/// A forgetting that has begun and is not finished. Its epoch of destination is the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgetting {
    /// What is forgotten.
    pub kind: ForgettingKind,
    /// The epoch whose secret is to be destroyed.
    pub epoch_from: Epoch,
    /// The epoch that takes its place: always the next.
    pub epoch_to: Epoch,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// The last step known to be durable: 1 to 63 lower-case letters, digits and `-`.
    pub step: String,
    /// Where the master secret is replaced too: the digest of its new file.
    pub master_sha256: Option<Digest>,
}

/// The forgetting under way, if one is.
pub fn current(connection: &Connection) -> Result<Option<Forgetting>, CatalogError> {
    connection
        .query_row(
            "SELECT kind, epoch_from, epoch_to, begun_at, step, master_sha256 FROM forgetting",
            [],
            |row| {
                Ok(Forgetting {
                    kind: parsed(row.get_ref(0)?)?,
                    epoch_from: row.get(1)?,
                    epoch_to: row.get(2)?,
                    begun_at: row.get::<_, Moment>(3)?.0,
                    step: row.get(4)?,
                    master_sha256: row.get(5)?,
                })
            },
        )
        .optional()
        .doing("look for an unfinished forgetting")
}

/// Records that a forgetting begins.
///
/// # Errors
/// [`CatalogError::Conflict`] while another is under way.
pub fn begin(transaction: &Transaction<'_>, forgetting: &Forgetting) -> Result<(), CatalogError> {
    if let Some(other) = current(transaction)? {
        let object = format!("an unfinished {} since epoch {}", other.kind, other.epoch_from);
        return Err(CatalogError::Conflict { object });
    }
    let Forgetting { kind, epoch_from, epoch_to, begun_at, step, master_sha256 } = forgetting;
    transaction
        .execute(
            "INSERT INTO forgetting (only, kind, epoch_from, epoch_to, begun_at, step, master_sha256)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
            (kind.as_str(), epoch_from, epoch_to, Moment(*begun_at), step, master_sha256),
        )
        .doing("begin a forgetting")?;
    Ok(())
}

/// Records the step that the forgetting has reached.
///
/// # Errors
/// [`CatalogError::Missing`] when none is under way.
pub fn set_step(transaction: &Transaction<'_>, step: &str) -> Result<(), CatalogError> {
    changed_one(
        transaction
            .execute("UPDATE forgetting SET step = ?1", [step])
            .doing("record a step of a forgetting")?,
    )
}

/// Records that the forgetting is finished, or wholly undone.
///
/// # Errors
/// [`CatalogError::Missing`] when none is under way.
pub fn finish(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
    changed_one(transaction.execute("DELETE FROM forgetting", []).doing("finish a forgetting")?)
}

fn changed_one(changed: usize) -> Result<(), CatalogError> {
    if changed == 1 {
        Ok(())
    } else {
        Err(CatalogError::Missing { object: "forgetting under way".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{catalog, moment};

    #[test]
    fn there_is_at_most_one_forgetting_at_a_time() {
        let (_folder, catalog) = catalog();
        let mut forgetting = Forgetting {
            kind: ForgettingKind::Erasure,
            epoch_from: Epoch(1),
            epoch_to: Epoch(2),
            begun_at: moment(4),
            step: "begun".into(),
            master_sha256: None,
        };
        assert_eq!(current(catalog.connection()).unwrap(), None);
        catalog.transaction(|tx| begin(tx, &forgetting)).unwrap();
        let second = catalog.transaction(|tx| begin(tx, &forgetting)).unwrap_err();
        assert_eq!(
            second.to_string(),
            "the catalog already has an unfinished erasure since epoch 1"
        );
        catalog.transaction(|tx| set_step(tx, "installed")).unwrap();
        forgetting.step = "installed".into();
        assert_eq!(current(catalog.connection()).unwrap(), Some(forgetting.clone()));
        catalog.transaction(finish).unwrap();
        catalog.transaction(finish).unwrap_err();
        catalog.transaction(|tx| set_step(tx, "x")).unwrap_err();

        forgetting.epoch_to = Epoch(3);
        catalog.transaction(|tx| begin(tx, &forgetting)).unwrap_err();
    }
}
