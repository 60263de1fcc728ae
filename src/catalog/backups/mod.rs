//! Complete backups.

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::packs::{self, PackRow};
use super::value::{Count, Moment, parsed};
use crate::base::ids::{BackupId, Digest, Epoch, ShardId, SourceId};

crate::words!(
    /// Why a backup was made, and so how long it is kept.
    BackupClass, "class of backup",
    /// Made every day.
    Daily = "daily",
    /// Made every week.
    Weekly = "weekly",
    /// Made before a change of the database's schema.
    PreMigration = "pre-migration",
    /// Made because somebody wanted it.
    Manual = "manual"
);

crate::words!(
    /// What is in a backup.
    BackupKind, "kind of backup",
    /// Schema and rows.
    Full = "full",
    /// The schema alone.
    SchemaOnly = "schema-only",
    /// Rows alone.
    DataOnly = "data-only"
);

macro_rules! word_column {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                parsed(value)
            }
        }
    )*};
}

word_column!(BackupClass, BackupKind);

/// One complete backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRow {
    /// The backup's identifier.
    pub backup_id: BackupId,
    /// The source that it captured.
    pub source_id: SourceId,
    /// Why it was made.
    pub class: BackupClass,
    /// What is in it.
    pub kind: BackupKind,
    /// The operator's words, 1 to 500 characters. Must not name a data subject.
    pub note: Option<String>,
    /// When the command began.
    pub started_at: DateTime<Utc>,
    /// The moment that the backup shows.
    pub snapshot_at: DateTime<Utc>,
    /// When the last object was durable in the store.
    pub finished_at: DateTime<Utc>,
    /// The server's `server_version_num`.
    pub server_version_num: u32,
    /// SHA-256 of the subject map in force; nothing where no row was captured.
    pub map_digest: Option<Digest>,
    /// The manifest's object in the store.
    pub manifest_name: String,
    /// The manifest's length in bytes.
    pub manifest_bytes: u64,
    /// SHA-256 of the manifest's object.
    pub manifest_sha256: Digest,
    /// Rows captured, of all tables.
    pub row_count: u64,
    /// Data subjects who own at least one of them.
    pub subject_count: u64,
    /// Segments sealed or referred to.
    pub segment_count: u64,
    /// Bytes that this backup added to the store.
    pub bytes_stored: u64,
    /// Bytes that earlier backups stored and that this one refers to.
    pub bytes_referenced: u64,
    /// The shard whose key wraps the backup key.
    pub shard_id: ShardId,
    /// The backup key, wrapped under the shard key.
    pub wrapped_key: Vec<u8>,
    /// The vault's epoch when it was made.
    pub epoch: Epoch,
    /// The kind of the vault key that seals its rows that are nobody's.
    pub commons_kind: String,
}

/// Which backups to list; the default is all.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupFilter {
    /// Only those of this source.
    pub source_id: Option<SourceId>,
    /// Only those of this class.
    pub class: Option<BackupClass>,
}

/// What a selector that a person typed stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// Exactly this backup.
    Found(Box<BackupRow>),
    /// Several begin so, newest first.
    Ambiguous(Vec<BackupId>),
    /// None does.
    NotFound,
}

/// The backups that fit, newest first.
pub fn list(
    connection: &Connection,
    filter: &BackupFilter,
) -> Result<Vec<BackupRow>, CatalogError> {
    select(
        connection,
        "WHERE (?1 IS NULL OR source_id = ?1) AND (?2 IS NULL OR class = ?2)
         ORDER BY snapshot_at DESC, backup_id DESC",
        (filter.source_id, filter.class),
    )
}

/// The backup of exactly that identifier, if there is one.
pub fn get(
    connection: &Connection,
    backup_id: &BackupId,
) -> Result<Option<BackupRow>, CatalogError> {
    connection
        .query_row(
            &format!("SELECT {COLUMNS} FROM backup WHERE backup_id = ?1"),
            [backup_id],
            from_row,
        )
        .optional()
        .doing("read a backup's row")
}

/// The newest backup, of one source or of all, if there is one.
pub fn latest(
    connection: &Connection,
    source_id: Option<SourceId>,
) -> Result<Option<BackupRow>, CatalogError> {
    let newest = select(
        connection,
        "WHERE (?1 IS NULL OR source_id = ?1) ORDER BY snapshot_at DESC, backup_id DESC LIMIT 1",
        [source_id],
    )?;
    Ok(newest.into_iter().next())
}

/// The backup of that identifier, or the beginning of one, in upper or lower case. The empty text
/// means none.
pub fn find(connection: &Connection, selector: &str) -> Result<Selected, CatalogError> {
    if selector.is_empty() {
        return Ok(Selected::NotFound);
    }
    let mut pattern = String::with_capacity(selector.len() + 1);
    for character in selector.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    let mut matching = select(
        connection,
        "WHERE backup_id LIKE ?1 ESCAPE '\\' ORDER BY snapshot_at DESC, backup_id DESC",
        [pattern],
    )?;
    Ok(match (matching.pop(), matching.is_empty()) {
        (None, _) => Selected::NotFound,
        (Some(only), true) => Selected::Found(Box::new(only)),
        (Some(last), false) => {
            matching.push(last);
            Selected::Ambiguous(matching.into_iter().map(|backup| backup.backup_id).collect())
        }
    })
}

/// The backups whose keys hang on a shard, by identifier.
pub fn by_shard(
    connection: &Connection,
    shard_id: ShardId,
) -> Result<Vec<BackupRow>, CatalogError> {
    select(connection, "WHERE shard_id = ?1 ORDER BY backup_id", [shard_id])
}

/// Records a complete backup, and the packs and the layers of indexes (by the backups that wrote them)
/// that it needs. From here on the backup exists.
///
/// # Errors
/// [`CatalogError::Conflict`] when a pack is known with another length, digest or origin.
pub fn insert(
    transaction: &Transaction<'_>,
    backup: &BackupRow,
    packs: &[PackRow],
    layers: &[BackupId],
) -> Result<(), CatalogError> {
    transaction
        .execute(
            &format!(
                "INSERT INTO backup ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
                     ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)"
            ),
            rusqlite::params![
                backup.backup_id,
                backup.source_id,
                backup.class,
                backup.kind,
                backup.note,
                Moment(backup.started_at),
                Moment(backup.snapshot_at),
                Moment(backup.finished_at),
                backup.server_version_num,
                backup.map_digest,
                backup.manifest_name,
                Count(backup.manifest_bytes),
                backup.manifest_sha256,
                Count(backup.row_count),
                Count(backup.subject_count),
                Count(backup.segment_count),
                Count(backup.bytes_stored),
                backup.shard_id,
                backup.wrapped_key,
                backup.epoch,
                backup.commons_kind,
                Count(backup.bytes_referenced),
            ],
        )
        .doing("record a backup")?;
    for layer in layers {
        transaction
            .execute(
                "INSERT INTO backup_layer (backup_id, written_by) VALUES (?1, ?2)",
                (&backup.backup_id, layer),
            )
            .doing("record which layers of an index a backup needs")?;
    }
    packs.iter().try_for_each(|pack| packs::link(transaction, &backup.backup_id, pack))
}

/// The backups whose layers of an index a backup needs.
pub fn layers_of(
    connection: &Connection,
    backup_id: &BackupId,
) -> Result<Vec<BackupId>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(
                "SELECT written_by FROM backup_layer WHERE backup_id = ?1 ORDER BY written_by",
            )?
            .query_map([backup_id], |row| row.get(0))?
            .collect()
    };
    query().doing("read which layers of an index a backup needs")
}

/// Gives backup keys new wrappings; their shards stay.
///
/// # Errors
/// [`CatalogError::Missing`] when one of them is not there.
pub fn update_wrapped(
    transaction: &Transaction<'_>,
    backups: &[(BackupId, Vec<u8>)],
) -> Result<(), CatalogError> {
    for (backup_id, wrapped_key) in backups {
        let changed = transaction
            .execute(
                "UPDATE backup SET wrapped_key = ?2 WHERE backup_id = ?1",
                (backup_id, wrapped_key),
            )
            .doing("re-wrap a backup's key")?;
        if changed != 1 {
            return Err(CatalogError::Missing { object: format!("backup {backup_id}") });
        }
    }
    Ok(())
}

/// Takes a backup's row away, with its key. Its packs stay, for [`packs::unreferenced`] to find.
/// Says whether it was there.
pub fn delete(transaction: &Transaction<'_>, backup_id: &BackupId) -> Result<bool, CatalogError> {
    transaction
        .execute("DELETE FROM backup_copy WHERE backup_id = ?1", [backup_id])
        .and_then(|_| {
            transaction.execute("DELETE FROM backup_pack WHERE backup_id = ?1", [backup_id])
        })
        .and_then(|_| {
            transaction.execute("DELETE FROM backup_layer WHERE backup_id = ?1", [backup_id])
        })
        .and_then(|_| {
            transaction.execute("DELETE FROM erasure_met WHERE backup_id = ?1", [backup_id])
        })
        .and_then(|_| transaction.execute("DELETE FROM backup WHERE backup_id = ?1", [backup_id]))
        .map(|deleted| deleted == 1)
        .doing("delete a backup's row")
}

const COLUMNS: &str = "backup_id, source_id, class, kind, note, started_at, snapshot_at, \
     finished_at, server_version_num, map_digest, manifest_name, manifest_bytes, manifest_sha256, \
     row_count, subject_count, segment_count, bytes_stored, shard_id, wrapped_key, epoch, \
     commons_kind, bytes_referenced";

fn select(
    connection: &Connection,
    clause: &str,
    parameters: impl Params,
) -> Result<Vec<BackupRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(&format!("SELECT {COLUMNS} FROM backup {clause}"))?
            .query_map(parameters, from_row)?
            .collect()
    };
    query().doing("read the backups' rows")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<BackupRow> {
    Ok(BackupRow {
        backup_id: row.get(0)?,
        source_id: row.get(1)?,
        class: row.get(2)?,
        kind: row.get(3)?,
        note: row.get(4)?,
        started_at: row.get::<_, Moment>(5)?.0,
        snapshot_at: row.get::<_, Moment>(6)?.0,
        finished_at: row.get::<_, Moment>(7)?.0,
        server_version_num: row.get(8)?,
        map_digest: row.get(9)?,
        manifest_name: row.get(10)?,
        manifest_bytes: row.get::<_, Count>(11)?.0,
        manifest_sha256: row.get(12)?,
        row_count: row.get::<_, Count>(13)?.0,
        subject_count: row.get::<_, Count>(14)?.0,
        segment_count: row.get::<_, Count>(15)?.0,
        bytes_stored: row.get::<_, Count>(16)?.0,
        shard_id: row.get(17)?,
        wrapped_key: row.get(18)?,
        epoch: row.get(19)?,
        commons_kind: row.get(20)?,
        bytes_referenced: row.get::<_, Count>(21)?.0,
    })
}

#[cfg(test)]
mod tests;
