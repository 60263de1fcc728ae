//! Packs, and which backup needs which.

use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Count;
use crate::base::ids::{BackupId, Digest, PackId};

/// One pack object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// The pack's identifier.
    pub pack_id: PackId,
    /// The object's length in bytes.
    pub bytes: u64,
    /// SHA-256 of the object.
    pub sha256: Digest,
    /// The backup that wrote it. That one may be gone while others still use the pack.
    pub created_by: BackupId,
}

/// One pack, if the catalog has it.
pub fn get(connection: &Connection, pack_id: PackId) -> Result<Option<PackRow>, CatalogError> {
    connection
        .query_row(
            "SELECT pack_id, bytes, sha256, created_by FROM pack WHERE pack_id = ?1",
            [pack_id],
            from_row,
        )
        .optional()
        .doing("read a pack's row")
}

/// All packs, by identifier.
pub fn all(connection: &Connection) -> Result<Vec<PackRow>, CatalogError> {
    select(connection, "ORDER BY pack_id", [])
}

/// The packs that a backup needs, by identifier.
pub fn of_backup(
    connection: &Connection,
    backup_id: &BackupId,
) -> Result<Vec<PackRow>, CatalogError> {
    select(
        connection,
        "JOIN backup_pack USING (pack_id) WHERE backup_id = ?1 ORDER BY pack_id",
        [backup_id],
    )
}

/// The packs that no backup needs any more, by identifier.
pub fn unreferenced(connection: &Connection) -> Result<Vec<PackRow>, CatalogError> {
    select(
        connection,
        "WHERE NOT EXISTS (SELECT 1 FROM backup_pack used WHERE used.pack_id = pack.pack_id)
         ORDER BY pack_id",
        [],
    )
}

/// The packs that only these backups need, by identifier: what forgetting them frees.
pub fn only_of(
    connection: &Connection,
    backups: &[BackupId],
) -> Result<Vec<PackRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        let holders = "SELECT backup_id FROM backup_pack WHERE pack_id = ?1";
        let mut holders = connection.prepare(holders)?;
        let mut freed = Vec::new();
        let every = "SELECT pack_id, bytes, sha256, created_by FROM pack ORDER BY pack_id";
        for pack in connection.prepare(every)?.query_map([], from_row)? {
            let pack = pack?;
            let mut used = holders.query_map([pack.pack_id], |row| row.get::<_, BackupId>(0))?;
            let mut count = 0;
            let only = used.try_fold(true, |only, backup| {
                count += 1;
                Ok::<_, rusqlite::Error>(only && backups.contains(&backup?))
            })?;
            if only && count > 0 {
                freed.push(pack);
            }
        }
        Ok(freed)
    };
    query().doing("read which packs backups need")
}

/// Takes the row of a pack away, after its object.
///
/// # Errors
/// [`CatalogError::Database`] while a backup still needs the pack.
pub fn delete(transaction: &Transaction<'_>, pack_id: PackId) -> Result<(), CatalogError> {
    transaction
        .execute("DELETE FROM pack WHERE pack_id = ?1", [pack_id])
        .doing("delete a pack's row")?;
    Ok(())
}

/// Records that a backup needs a pack, and the pack itself where it is new.
pub(super) fn link(
    transaction: &Transaction<'_>,
    backup_id: &BackupId,
    pack: &PackRow,
) -> Result<(), CatalogError> {
    let PackRow { pack_id, bytes, sha256, created_by } = pack;
    match get(transaction, *pack_id)? {
        None => {
            transaction
                .prepare_cached(
                    "INSERT INTO pack (pack_id, bytes, sha256, created_by) VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut statement| {
                    statement.execute((pack_id, Count(*bytes), sha256, created_by))
                })
                .doing("record a pack")?;
        }
        Some(known) if known == *pack => {}
        Some(_) => {
            let object = format!("a pack {pack_id} of another length, digest or origin");
            return Err(CatalogError::Conflict { object });
        }
    }
    transaction
        .prepare_cached("INSERT INTO backup_pack (backup_id, pack_id) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute((backup_id, pack_id)))
        .doing("record which packs a backup needs")?;
    Ok(())
}

fn select(
    connection: &Connection,
    clause: &str,
    parameters: impl Params,
) -> Result<Vec<PackRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(&format!("SELECT pack_id, bytes, sha256, created_by FROM pack {clause}"))?
            .query_map(parameters, from_row)?
            .collect()
    };
    query().doing("read the packs' rows")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        pack_id: row.get(0)?,
        bytes: row.get::<_, Count>(1)?.0,
        sha256: row.get(2)?,
        created_by: row.get(3)?,
    })
}
