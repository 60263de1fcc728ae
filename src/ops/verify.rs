//! Verify: every object of a backup read and authenticated, every segment opened.

use crate::vault::reader::authenticate::{Part, compare, objects, parts_of};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::audit::Action;
use crate::base::ids::{BackupId, PackId};
use crate::base::progress::ProgressSink;
use crate::base::random;
use crate::catalog::backups::BackupRow;
use crate::catalog::stores as rows;
use crate::keys::master::Credentials;
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::BackupReader;
use crate::vault::reader::scan::{self, Scanned};
use crate::vault::reader::select::{self, Choice};
use crate::vault::replica::{self, ReplicaCopy, ReplicaHealth};
use crate::vault::subject_keys::SubjectKeys;

/// How many problems are told in full.
const PROBLEMS_MAX: usize = 20;

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The backup.
    pub backup: BackupId,
    /// The source that it is of.
    pub source: String,
    /// Whether everything is as it was written.
    pub intact: bool,
    /// What is damaged, one sentence each (the first twenty).
    pub problems: Vec<String>,
    /// Rows that restore.
    pub rows: u64,
    /// Rows whose subject is forgotten: they restore for nobody, as it should be.
    pub rows_forgotten: u64,
    /// Rows that are lost to damage.
    pub rows_damaged: u64,
    /// Relations with what of them restores; only those that are damaged.
    pub damaged: Vec<DamagedRelation>,
    /// The copies, store by store.
    pub copies: Vec<CopyVerdict>,
    /// The packs that it needs.
    pub packs: u64,
    /// Those of them that were read. Less than all with a subset: then rows are not counted.
    pub packs_read: u64,
}

/// Which packs are read, where not all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subset {
    /// The n-th of so many parts: all parts together are everything.
    Part {
        /// Which one, from 1.
        number: u64,
        /// Of how many.
        of: u64,
    },
    /// So many thousandths, drawn at random each time.
    Thousandths(u64),
}

/// What a subset looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a part, as in 1/12, or a share, as in 5%")]
pub struct NoSubset;

impl FromStr for Subset {
    type Err = NoSubset;

    fn from_str(text: &str) -> Result<Self, NoSubset> {
        if let Some((number, of)) = text.split_once('/') {
            let (number, of) = (number.parse(), of.parse());
            return match (number, of) {
                (Ok(number), Ok(of)) if (1..=of).contains(&number) => Ok(Self::Part { number, of }),
                _ => Err(NoSubset),
            };
        }
        let share: f64 = text.strip_suffix('%').and_then(|it| it.parse().ok()).ok_or(NoSubset)?;
        if !(0.1..=100.0).contains(&share) {
            return Err(NoSubset);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1,000")]
        Ok(Self::Thousandths((share * 10.0).round() as u64))
    }
}

impl Subset {
    /// Whether a pack is in it.
    fn holds(self, pack: PackId) -> bool {
        // A pack's id is random: so are parts by it, and the same for every backup that needs it.
        let place = |bytes: [u8; 8], of: u64| u64::from_be_bytes(bytes) % of;
        match self {
            Self::Part { number, of } => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&pack.0[..8]);
                place(bytes, of) == number - 1
            }
            Self::Thousandths(share) => place(random::bytes(&mut random::system()), 1000) < share,
        }
    }
}

impl VerifyReport {
    /// Whether every copy that should be there was read and found to be right.
    #[must_use]
    pub fn copies_are_intact(&self) -> bool {
        self.copies.iter().all(|copy| copy.state != CopyHealth::Damaged)
    }
}

impl VerifyReport {
    /// Whether nothing is known to be damaged, and every whole copy is in a store that is away.
    #[must_use]
    pub fn copies_are_out_of_reach(&self) -> bool {
        let any = |state| self.copies.iter().any(|copy| copy.state == state);
        any(CopyHealth::Unreachable) && !any(CopyHealth::Intact) && !any(CopyHealth::Damaged)
    }
}

crate::words! {
    /// How a backup's copy in a store stands.
    CopyHealth, "state of a copy",
    /// Every object was read and is right.
    Intact = "intact",
    /// Objects are missing or wrong there.
    Damaged = "damaged",
    /// It was never whole there, or is known not to be.
    Behind = "behind",
    /// The store could not be reached, or not read to the end.
    Unreachable = "unreachable",
}

/// One copy of a backup.
#[derive(Debug, Clone, Serialize)]
pub struct CopyVerdict {
    /// The store.
    pub store: String,
    /// How it stands.
    pub state: CopyHealth,
    /// What is wrong with it, one sentence each (the first twenty).
    pub problems: Vec<String>,
}

/// A relation that lost rows to damage.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedRelation {
    /// The relation.
    pub relation: String,
    /// Rows that restore all the same.
    pub rows: u64,
    /// Rows that are lost.
    pub rows_damaged: u64,
}

/// Verifies one backup.
pub async fn verify(
    vault: &Vault,
    credentials: &Credentials,
    choice: &Choice,
    subset: Option<Subset>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<VerifyReport, OpsError> {
    let row = select::backup(vault, choice)?;
    access(vault, Action::Verify, row.backup_id.as_str())
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let report = one(vault, &unlocked, &row, subset, progress).await?;
            access.add_detail(verdict(report.intact && report.copies_are_intact()));
            Ok(report)
        })
        .await
}

/// Everything that a recovery and a restore need.
pub struct Everything {
    /// The backups, the newest first.
    pub backups: Vec<VerifyReport>,
    /// The catalog's replica, store by store; not looked at where only one source was asked for.
    pub replica: Vec<ReplicaCopy>,
}

/// Verifies every backup of the vault, the newest first, and the catalog's replica in every store; or
/// every backup of one source.
pub async fn verify_all(
    vault: &Vault,
    credentials: &Credentials,
    source: Option<&str>,
    subset: Option<Subset>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Everything, OpsError> {
    let rows = select::all(vault, source)?;
    several(vault, credentials, "all", (&rows, source.is_none()), subset, progress).await
}

/// Verifies the newest backup of every source; the names of the sources that have none as well.
pub async fn verify_newest(
    vault: &Vault,
    credentials: &Credentials,
    subset: Option<Subset>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(Vec<VerifyReport>, Vec<String>), OpsError> {
    let (rows, without) = select::newest_of_each(vault)?;
    let found = several(vault, credentials, "latest", (&rows, false), subset, progress).await?;
    Ok((found.backups, without))
}

/// Verifies backups. One that is damaged does not keep the others from being looked at.
async fn several(
    vault: &Vault,
    credentials: &Credentials,
    object: &str,
    (rows, with_replica): (&[BackupRow], bool),
    subset: Option<Subset>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Everything, OpsError> {
    access(vault, Action::Verify, object)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let mut reports = Vec::new();
            for row in rows {
                reports.push(one(vault, &unlocked, row, subset, progress).await?);
            }
            let mut copies = Vec::new();
            if with_replica {
                progress.phase("verifying the catalog's replica");
                copies = replica::verify(vault, &unlocked).await?;
            }
            access.add_detail(verdict(
                reports.iter().all(|report| report.intact && report.copies_are_intact())
                    && copies.iter().all(|copy| copy.state != ReplicaHealth::Damaged),
            ));
            Ok(Everything { backups: reports, replica: copies })
        })
        .await
}

/// What the audit log says of a verification's finding.
fn verdict(intact: bool) -> &'static str {
    if intact { "result=intact" } else { "result=damaged" }
}

async fn one(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    row: &BackupRow,
    subset: Option<Subset>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<VerifyReport, OpsError> {
    let mut report = VerifyReport {
        backup: row.backup_id.clone(),
        source: select::source_of(vault, row)?,
        intact: true,
        problems: Vec::new(),
        rows: 0,
        rows_forgotten: 0,
        rows_damaged: 0,
        damaged: Vec::new(),
        copies: expected_copies(vault, row)?,
        packs: 0,
        packs_read: 0,
    };
    let opened = match unlocked.backup_identity(row) {
        Ok(identity) => BackupReader::open(vault, row, identity).await,
        Err(error) => Err(error),
    };
    let reader = match opened {
        Ok(reader) => Arc::new(reader),
        Err(error) if error.is_damage() => {
            report.rows_damaged = row.row_count;
            for copy in report.copies.iter_mut().filter(|copy| copy.state == CopyHealth::Intact) {
                copy.state = CopyHealth::Damaged;
            }
            report.problem(error.to_string());
            return Ok(report);
        }
        Err(error @ OpsError::Store(_)) if report.copies_are_out_of_reach() => {
            report.problem(error.to_string());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    progress.phase(&format!("verifying {}", row.backup_id));
    progress.total(row.row_count, row.bytes_stored + row.bytes_referenced);
    let read: BTreeSet<PackId> = reader
        .manifest()
        .packs
        .iter()
        .map(|pack| pack.id)
        .filter(|pack| subset.is_none_or(|subset| subset.holds(*pack)))
        .collect();
    report.packs = reader.manifest().packs.len() as u64;
    report.packs_read = read.len() as u64;
    for problem in every_copy(&reader, row, &read, &mut report.copies, progress).await? {
        report.problem(problem);
    }
    if subset.is_some() {
        // What is in packs that were not read is not known, so no rows are counted.
        return Ok(report);
    }
    let keys = Arc::new(SubjectKeys::of_backup(vault, unlocked, row)?);
    for number in 0..reader.manifest().relations.len() {
        relation(&reader, number, &keys, &mut report, progress).await?;
    }
    Ok(report)
}

async fn relation(
    reader: &Arc<BackupReader>,
    number: usize,
    keys: &Arc<SubjectKeys>,
    report: &mut VerifyReport,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(), OpsError> {
    let Some(summary) = reader.manifest().relations.get(number) else { return Ok(()) };
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let mut items = scan::relation(reader, number, summary, keys);
    let (mut rows, mut forgotten, mut seen_damaged) = (0, 0, 0);
    while let Some(item) = items.recv().await {
        match item {
            Ok(Scanned::Rows { rows: some, .. }) => {
                rows += some;
                progress.advance(some, 0);
            }
            Ok(Scanned::Forgotten { rows: some }) => forgotten += some,
            Ok(Scanned::Damaged { rows: some, problem }) => {
                seen_damaged += some;
                report.problem(problem.to_string());
            }
            Err(error) if error.is_damage() => report.problem(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    // Rows that the index itself lost are counted by what is missing.
    let damaged = summary.rows.saturating_sub(rows + forgotten);
    if damaged != seen_damaged {
        report.problem(format!(
            "{}: the index leads to {} rows of {}",
            summary.relation,
            rows + forgotten + seen_damaged,
            summary.rows
        ));
    }
    report.rows += rows;
    report.rows_forgotten += forgotten;
    report.rows_damaged += damaged;
    if damaged > 0 {
        let relation = summary.relation.to_string();
        report.damaged.push(DamagedRelation { relation, rows, rows_damaged: damaged });
    }
    Ok(())
}

impl VerifyReport {
    fn problem(&mut self, problem: String) {
        self.intact = false;
        // One missing object is met by its own check and by each relation that needs it.
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The stores that shall hold a backup, as the catalog knows it; whole copies are `intact` until they
/// are seen not to be.
fn expected_copies(vault: &Vault, row: &BackupRow) -> Result<Vec<CopyVerdict>, OpsError> {
    let away = vault.stores().away();
    let known = rows::copies_of(vault.catalog().connection(), &row.backup_id)?;
    let verdict = |copy: rows::CopyRow| {
        let reason = away.iter().find(|(name, _)| *name == copy.store);
        let is_named = vault.places().stores.iter().any(|one| one.name == copy.store);
        let (state, problems) = match (copy.state, reason) {
            (rows::CopyState::Behind, _) => (CopyHealth::Behind, Vec::new()),
            (rows::CopyState::Complete, Some((_, reason))) => {
                (CopyHealth::Unreachable, vec![reason.clone()])
            }
            (rows::CopyState::Complete, None) if is_named => (CopyHealth::Intact, Vec::new()),
            (rows::CopyState::Complete, None) => {
                (CopyHealth::Unreachable, vec!["the configuration has no such store".to_owned()])
            }
        };
        CopyVerdict { store: copy.store, state, problems }
    };
    Ok(known.into_iter().map(verdict).collect())
}

/// Reads every copy of every object. What is wrong with a copy is told there; the problems that this
/// returns are those of objects of which no copy is right.
async fn every_copy(
    reader: &BackupReader,
    row: &BackupRow,
    read: &BTreeSet<PackId>,
    verdicts: &mut [CopyVerdict],
    progress: &Arc<dyn ProgressSink>,
) -> Result<Vec<String>, OpsError> {
    let copies = reader.copies();
    if copies.stores().len() == 1 {
        let problems = objects(reader, read, progress).await?;
        for verdict in verdicts.iter_mut().filter(|one| one.state == CopyHealth::Intact) {
            if !problems.is_empty() {
                verdict.state = CopyHealth::Damaged;
                verdict.problems.clone_from(&problems);
            }
        }
        return Ok(problems);
    }
    let mut parts = parts_of(reader.manifest())?;
    parts.push(Part {
        name: row.manifest_name.parse()?,
        bytes: row.manifest_bytes,
        sha256: row.manifest_sha256,
        pack: None,
    });
    let mut problems = Vec::new();
    for part in parts {
        let (mut good, mut failure): (Option<usize>, Option<OpsError>) = (None, None);
        for (place, store) in copies.stores().iter().enumerate() {
            let verdict = verdicts.iter_mut().find(|one| one.store == store.name);
            let is_whole = verdict.as_ref().is_some_and(|one| one.state != CopyHealth::Behind);
            // A copy that was never whole counts only where no other is right.
            if !is_whole && good.is_some() {
                continue;
            }
            let compared = compare(&*store.store, reader.manifest(), &part, read, progress).await;
            let Err(error) = compared else {
                good = good.or(Some(place));
                continue;
            };
            if !error.is_damage() && !matches!(error, OpsError::Store(_)) {
                return Err(error);
            }
            if let Some(verdict) = verdict.filter(|_| is_whole) {
                verdict.note(&error);
            }
            if failure.as_ref().is_none_or(|before| before.is_damage() && !error.is_damage()) {
                failure = Some(error);
            }
        }
        match (good, failure) {
            (Some(place), _) => copies.is_good(&part.name, place),
            (None, Some(error)) if error.is_damage() => problems.push(error.to_string()),
            (None, Some(error)) => return Err(error),
            (None, None) => {}
        }
    }
    Ok(problems)
}

impl CopyVerdict {
    fn note(&mut self, error: &OpsError) {
        let damaged = error.is_damage() || self.state == CopyHealth::Damaged;
        self.state = if damaged { CopyHealth::Damaged } else { CopyHealth::Unreachable };
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_everything_together_and_nothing_twice() {
        let random = &mut random::system();
        let packs: Vec<PackId> = (0..200).map(|_| PackId(random::bytes(random))).collect();
        for pack in &packs {
            let parts = (1..=12).map(|number| Subset::Part { number, of: 12 });
            assert_eq!(parts.filter(|part| part.holds(*pack)).count(), 1);
        }
        let all = Subset::Thousandths(1000);
        assert!(packs.iter().all(|pack| all.holds(*pack)));
    }

    #[test]
    fn a_subset_is_a_part_or_a_share() {
        assert_eq!("1/12".parse(), Ok(Subset::Part { number: 1, of: 12 }));
        assert_eq!("5%".parse(), Ok(Subset::Thousandths(50)));
        assert_eq!("2.5%".parse(), Ok(Subset::Thousandths(25)));
        for wrong in ["", "5", "0/12", "13/12", "0%", "101%", "x%", "1/0", "-1%", "NaN%"] {
            assert_eq!(wrong.parse::<Subset>(), Err(NoSubset), "{wrong}");
        }
    }
}
