//! Looking: the list of backups, and what one of them holds.

use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::{BackupId, Digest};
use crate::catalog::backups::BackupRow;
use crate::container::manifest::{Manifest, RelationSummary};
use crate::keys::master::Credentials;
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::reader::BackupReader;
use crate::vault::reader::select::{self, Choice};

/// One backup in a list: what the catalog says, without any key.
#[derive(Debug, Clone, Serialize)]
pub struct BackupSummary {
    /// The backup.
    pub backup: BackupId,
    /// Its source.
    pub source: String,
    /// Its class.
    pub class: &'static str,
    /// `full`, `schema-only` or `data-only`.
    pub contents: &'static str,
    /// The operator's note.
    pub note: Option<String>,
    /// The snapshot's moment.
    pub snapshot_at: String,
    /// Rows sealed.
    pub rows: u64,
    /// Data subjects.
    pub subjects: u64,
    /// Bytes that it added to the store.
    pub stored_bytes: u64,
    /// Bytes that earlier backups stored and that it refers to.
    pub referenced_bytes: u64,
}

/// What one backup holds.
#[derive(Debug, Clone, Serialize)]
pub struct BackupDetails {
    /// The same as in a list.
    #[serde(flatten)]
    pub summary: BackupSummary,
    /// The server's version, `15.18`.
    pub server_version: String,
    /// When it was begun.
    pub started_at: String,
    /// When it was complete.
    pub finished_at: String,
    /// The subject map's digest.
    pub map_digest: Digest,
    /// The version of `pg_dump`, where the schema is in the backup.
    pub pg_dump_version: Option<String>,
    /// Packs, whoever wrote them.
    pub packs: u64,
    /// What there is of each relation.
    pub relations: Vec<RelationDetails>,
}

/// One relation in a backup.
#[derive(Debug, Clone, Serialize)]
pub struct RelationDetails {
    /// The relation.
    pub relation: String,
    /// Rows sealed.
    pub rows: u64,
    /// Whose rows they are: how many people.
    pub subjects: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes sealed, by this backup or an earlier one.
    pub stored_bytes: u64,
    /// Rows left out because their subject had been erased before.
    pub rows_of_erased: u64,
}

/// The backups, of one source or of all, the newest first.
pub fn list(vault: &Vault, source: Option<&str>) -> Result<Vec<BackupSummary>, OpsError> {
    let rows = select::all(vault, source)?;
    rows.iter().map(|row| summary(vault, row)).collect()
}

/// What one backup holds. Opens its manifest, so it is an access and on record.
pub async fn show(
    vault: &Vault,
    credentials: &Credentials,
    choice: &Choice,
) -> Result<BackupDetails, OpsError> {
    let row = select::backup(vault, choice)?;
    access(vault, Action::Show, row.backup_id.as_str())
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let identity = unlocked.backup_identity(&row)?;
            let reader = BackupReader::open(vault, &row, identity).await?;
            Ok(details(summary(vault, &row)?, &row, reader.manifest()))
        })
        .await
}

fn summary(vault: &Vault, row: &BackupRow) -> Result<BackupSummary, OpsError> {
    Ok(BackupSummary {
        backup: row.backup_id.clone(),
        source: select::source_of(vault, row)?,
        class: row.class.as_str(),
        contents: row.kind.as_str(),
        note: row.note.clone(),
        snapshot_at: timestamp(row.snapshot_at),
        rows: row.row_count,
        subjects: row.subject_count,
        stored_bytes: row.bytes_stored,
        referenced_bytes: row.bytes_referenced,
    })
}

fn details(summary: BackupSummary, row: &BackupRow, manifest: &Manifest) -> BackupDetails {
    let version = manifest.schema.server_version_num;
    let relation = |relation: &RelationSummary| RelationDetails {
        relation: relation.relation.to_string(),
        rows: relation.rows,
        subjects: relation.subjects,
        raw_bytes: relation.raw_bytes,
        stored_bytes: relation.sealed_bytes,
        rows_of_erased: relation.rows_of_erased,
    };
    BackupDetails {
        summary,
        server_version: format!("{}.{}", version / 10_000, version % 10_000),
        started_at: timestamp(row.started_at),
        finished_at: timestamp(row.finished_at),
        map_digest: manifest.map.digest,
        pg_dump_version: manifest.schema_archive.as_ref().map(|one| one.pg_dump_version.clone()),
        packs: manifest.packs.len() as u64,
        relations: manifest.relations.iter().map(relation).collect(),
    }
}
