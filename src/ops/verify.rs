//! Verify: every object of a backup read and authenticated, every segment opened.

use std::sync::Arc;

use serde::Serialize;

use super::OpsError;
use super::audited::audited;
use super::backup_reader::BackupReader;
use super::scan::{self, Scanned};
use super::select;
use super::subject_keys::SubjectKeys;
use super::vault::{Unlocked, Vault};
use crate::audit::Action;
use crate::catalog::backups::BackupRow;
use crate::container::{ContainerError, names, pack};
use crate::crypto::digest::RunningDigest;
use crate::ids::{BackupId, Digest};
use crate::keys::master::Credentials;
use crate::progress::ProgressSink;
use crate::store::{ObjectName, Store};

/// How much of an object is read at a time.
const READ_BYTES: u64 = 4 << 20;
/// How many problems are told in full.
const PROBLEMS_MAX: usize = 20;

/// A backup whose objects have all been read and found to be what the manifest says. Nothing is
/// restored without one.
pub struct Verified<'a>(&'a BackupReader);

impl Verified<'_> {
    /// The backup.
    #[must_use]
    pub fn reader(&self) -> &BackupReader {
        self.0
    }
}

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The backup.
    pub backup: BackupId,
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
    selector: &str,
    progress: &Arc<dyn ProgressSink>,
) -> Result<VerifyReport, OpsError> {
    let row = select::backup(vault, selector)?;
    audited(vault, Action::Verify, row.backup_id.as_str(), async |access| {
        let unlocked = vault.unlock(credentials, access.recorded()).await?;
        vault.check_store().await?;
        let report = one(vault, &unlocked, &row, progress).await?;
        access.add_detail(verdict(report.intact));
        Ok(report)
    })
    .await
}

/// Verifies every backup of the vault, the newest first. One that is damaged does not keep the
/// others from being looked at.
pub async fn verify_all(
    vault: &Vault,
    credentials: &Credentials,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Vec<VerifyReport>, OpsError> {
    let rows = select::all(vault)?;
    audited(vault, Action::Verify, "all", async |access| {
        let unlocked = vault.unlock(credentials, access.recorded()).await?;
        vault.check_store().await?;
        let mut reports = Vec::new();
        for row in &rows {
            reports.push(one(vault, &unlocked, row, progress).await?);
        }
        access.add_detail(verdict(reports.iter().all(|report| report.intact)));
        Ok(reports)
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
    progress: &Arc<dyn ProgressSink>,
) -> Result<VerifyReport, OpsError> {
    let mut report = VerifyReport {
        backup: row.backup_id.clone(),
        intact: true,
        problems: Vec::new(),
        rows: 0,
        rows_forgotten: 0,
        rows_damaged: 0,
        damaged: Vec::new(),
    };
    let opened = match unlocked.backup_identity(row) {
        Ok(identity) => BackupReader::open(vault, row, identity).await,
        Err(error) => Err(error),
    };
    let reader = match opened {
        Ok(reader) => Arc::new(reader),
        Err(error) if error.is_damage() => {
            report.rows_damaged = row.row_count;
            report.problem(error.to_string());
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    progress.phase(&format!("verifying {}", row.backup_id));
    progress.total(row.row_count, row.bytes_stored);
    for problem in objects(&reader, progress).await? {
        report.problem(problem);
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
    let mut items = scan::relation(reader, number, &summary.relation, keys);
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

/// Reads every object of a backup and compares it with the manifest, which the catalog and the
/// backup's key authenticate.
pub async fn authenticate<'a>(
    reader: &'a BackupReader,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Verified<'a>, OpsError> {
    let problems = objects(reader, progress).await?;
    if problems.is_empty() { Ok(Verified(reader)) } else { Err(OpsError::Damaged { problems }) }
}

/// Accepts a backup although objects of it are damaged, for a salvage: every segment is still
/// authenticated by itself before a row of it goes anywhere.
pub async fn authenticate_for_salvage<'a>(
    reader: &'a BackupReader,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(Verified<'a>, Vec<String>), OpsError> {
    let problems = objects(reader, progress).await?;
    Ok((Verified(reader), problems))
}

/// The problems of a backup's objects, one sentence each. Segments are not opened here.
async fn objects(
    reader: &BackupReader,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Vec<String>, OpsError> {
    let manifest = reader.manifest();
    let store = reader.store().as_ref();
    let mut problems = Vec::new();
    let mut note = |outcome: Result<(), OpsError>| match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.is_damage() => {
            problems.push(error.to_string());
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Some(archive) = &manifest.schema_archive {
        let name = names::schema(&manifest.backup).parse()?;
        note(compare(store, &name, archive.bytes, archive.sha256, progress).await)?;
    }
    if let Some(index) = &manifest.index {
        let name = names::index(&manifest.backup).parse()?;
        note(compare(store, &name, index.bytes, index.sha256, progress).await)?;
    }
    for summary in &manifest.packs {
        let name: ObjectName = names::pack(summary.id).parse()?;
        let header = async {
            let header = store.read_range(&name, 0, pack::HEADER_BYTES as u64).await?;
            pack::check_header(&header, manifest.vault, summary.id, name.as_str())?;
            compare(store, &name, summary.bytes, summary.sha256, progress).await
        };
        note(header.await)?;
    }
    Ok(problems)
}

async fn compare(
    store: &dyn Store,
    name: &ObjectName,
    bytes: u64,
    sha256: Digest,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(), OpsError> {
    if store.size(name).await? != bytes {
        return Err(ContainerError::malformed(
            name.as_str(),
            "it has another length than when it was written",
        )
        .into());
    }
    let mut digest = RunningDigest::default();
    let mut offset = 0;
    while offset < bytes {
        let length = READ_BYTES.min(bytes - offset);
        let piece = store.read_range(name, offset, length).await?;
        digest.update(&piece);
        offset += length;
        progress.advance(0, length);
    }
    if digest.finish() == sha256 {
        Ok(())
    } else {
        Err(ContainerError::not_authentic(name.as_str()).into())
    }
}
