//! Erased people whom backups met in their source and left out, by erasure.

use rusqlite::{Connection, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Count;
use crate::base::ids::BackupId;

/// Records that a backup met somebody.
pub fn insert(
    transaction: &Transaction<'_>,
    backup: &BackupId,
    erasure_id: u64,
    rows: u64,
) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO erasure_met (backup_id, erasure_id, row_count) VALUES (?1, ?2, ?3)",
            (backup, Count(erasure_id), Count(rows)),
        )
        .doing("record whom a backup met")?;
    Ok(())
}

/// The erasures whose people a backup met, with the rows that it left out.
pub fn of_backup(
    connection: &Connection,
    backup: &BackupId,
) -> Result<Vec<(u64, u64)>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(
                "SELECT erasure_id, row_count FROM erasure_met WHERE backup_id = ?1
                 ORDER BY erasure_id",
            )?
            .query_map([backup], |row| Ok((row.get::<_, Count>(0)?.0, row.get::<_, Count>(1)?.0)))?
            .collect()
    };
    query().doing("read whom a backup met")
}
