//! The replica of the catalog in the store, as this machine keeps account of it: which cells have
//! changed ([`take`]), where each lies in the store, and how far the replica is known to go.
//!
//! How the catalog is divided is in [`cells`], a cell's rows as text in [`rows`], and a catalog made
//! from such texts in [`rebuild`]. Stores and keys are `ops::replica`'s.

pub mod cells;
pub mod rebuild;
pub mod rows;

use rusqlite::{Connection, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Count;
use crate::base::ids::{Digest, Epoch};

/// More data objects than this are brought together by the next sync.
const OBJECTS_MAX: usize = 64;
/// How many are left then.
const OBJECTS_KEPT: usize = 32;
/// Dead bytes in the store that are not worth an effort.
const DEAD_BYTES_FREE: u64 = 4 << 20;

/// How far the replica in the store is known to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The number of the newest replica that is known to be durable; 0 before the first.
    pub sequence: u64,
    /// The epoch under which its head is sealed; 0 before the first.
    pub epoch: Epoch,
    /// SHA-256 of its head.
    pub sha256: Option<Digest>,
    /// The replica whose head is about to be written, or was, for all that is known.
    pub pending: Option<Pending>,
}

/// A replica whose data is durable and whose head may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number: one more than that of the newest.
    pub sequence: u64,
    /// The epoch under which its head is sealed.
    pub epoch: Epoch,
    /// Its head, sealed.
    pub head: Vec<u8>,
}

/// One data object in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// The number of the sync that wrote it.
    pub sequence: u64,
    /// Its name in the store.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Where a cell lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRow {
    /// The cell's name.
    pub cell: String,
    /// The number of the data object, and of the sync that wrote it.
    pub sequence: u64,
    /// The number of its first frame in the object.
    pub frame: u64,
    /// Where it begins in the object, in bytes.
    pub start: u64,
    /// Its sealed length in bytes; 0 says that the cell has no rows any more.
    pub bytes: u64,
    /// SHA-256 of its sealed bytes.
    pub sha256: Digest,
    /// SHA-256 of its rows, if it need not be written again while they are the same.
    pub content: Option<Digest>,
}

/// How far the replica is known to go.
pub fn state(connection: &Connection) -> Result<State, CatalogError> {
    connection
        .query_row(
            "SELECT sequence, epoch, sha256, pending_sequence, pending_epoch, pending_head
             FROM replica_state",
            [],
            |row| {
                let sequence: Option<Count> = row.get(3)?;
                let pending = match sequence {
                    Some(Count(sequence)) => {
                        Some(Pending { sequence, epoch: row.get(4)?, head: row.get(5)? })
                    }
                    None => None,
                };
                Ok(State {
                    sequence: row.get::<_, Count>(0)?.0,
                    epoch: row.get(1)?,
                    sha256: row.get(2)?,
                    pending,
                })
            },
        )
        .doing("read how far its replica goes")
}

/// Marks every cell as changed, also those that are in the store and whose rows are not here.
pub fn mark_all(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
    let mark = || -> rusqlite::Result<()> {
        for statement in cells::names_of_all() {
            transaction.execute(&format!("INSERT OR IGNORE INTO replica_dirty {statement}"), [])?;
        }
        transaction.execute(
            "INSERT OR IGNORE INTO replica_dirty SELECT DISTINCT cell FROM replica_cell",
            [],
        )?;
        transaction.execute("UPDATE replica_cell SET content = NULL", [])?;
        Ok(())
    };
    mark().doing("mark all that its replica must hold")
}

/// Takes up the cells that have changed: those that this returns are for this sync, and what
/// changes from now on is marked for the next. Before the first replica these are all cells. A sync
/// that breaks off leaves them taken, and the next one takes them up too.
pub fn take(transaction: &Transaction<'_>) -> Result<Vec<String>, CatalogError> {
    if state(transaction)?.sequence == 0 {
        mark_all(transaction)?;
    }
    let take = || -> rusqlite::Result<Vec<String>> {
        transaction.execute_batch(
            "INSERT OR IGNORE INTO replica_taken SELECT cell FROM replica_dirty;
             DELETE FROM replica_dirty;",
        )?;
        transaction
            .prepare("SELECT cell FROM replica_taken ORDER BY cell")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    take().doing("take up what its replica lacks")
}

/// Forgets what was taken up, where none of it had really changed.
pub fn drop_taken(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
    transaction.execute("DELETE FROM replica_taken", []).doing("note that its replica is whole")?;
    Ok(())
}

/// Whether anything but entries of the audit log has changed since it was last taken up.
pub fn is_marked(connection: &Connection) -> Result<bool, CatalogError> {
    connection
        .prepare_cached(
            "SELECT 1 FROM (SELECT cell FROM replica_dirty UNION ALL SELECT cell FROM replica_taken)
             WHERE cell NOT GLOB 'audit*'",
        )
        .and_then(|mut statement| statement.exists([]))
        .doing("look for changes since the last replica")
}

/// Where each cell lies, pending ones included, by name. A cell that is gone is not among them.
pub fn newest_cells(connection: &Connection) -> Result<Vec<CellRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(
                "SELECT cell, sequence, frame, start, bytes, sha256, content FROM replica_cell one
                 WHERE bytes > 0 AND NOT EXISTS
                     (SELECT 1 FROM replica_cell newer
                      WHERE newer.cell = one.cell AND newer.sequence > one.sequence)
                 ORDER BY cell",
            )?
            .query_map([], cell_from_row)?
            .collect()
    };
    query().doing("read where its replica lies")
}

/// SHA-256 of the rows that the newest replica has of a cell.
pub fn content(connection: &Connection, cell: &str) -> Result<Option<Digest>, CatalogError> {
    connection
        .prepare_cached(
            "SELECT (SELECT content FROM replica_cell WHERE cell = ?1 AND bytes > 0
                     ORDER BY sequence DESC LIMIT 1)",
        )
        .and_then(|mut statement| statement.query_row([cell], |row| row.get(0)))
        .doing("read what its replica holds")
}

/// Whether the replica in the store, or the pending one, has this cell.
pub fn has_cell(connection: &Connection, cell: &str) -> Result<bool, CatalogError> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM replica_cell WHERE cell = ?1 AND bytes > 0)")
        .and_then(|mut statement| statement.query_row([cell], |row| row.get(0)))
        .doing("read what its replica holds")
}

/// The data objects of the newest replica and of the pending one, by number.
pub fn objects(connection: &Connection) -> Result<Vec<ObjectRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached("SELECT sequence, name, bytes FROM replica_object ORDER BY sequence")?
            .query_map([], object_from_row)?
            .collect()
    };
    query().doing("read the objects of its replica")
}

/// Records a data object.
pub fn insert_object(
    transaction: &Transaction<'_>,
    object: &ObjectRow,
) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO replica_object (sequence, name, bytes) VALUES (?1, ?2, ?3)",
            (Count(object.sequence), &object.name, Count(object.bytes)),
        )
        .doing("record an object of its replica")?;
    Ok(())
}

/// Records where cells lie.
pub fn insert_cells(transaction: &Transaction<'_>, cells: &[CellRow]) -> Result<(), CatalogError> {
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO replica_cell (cell, sequence, frame, start, bytes, sha256, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .doing("record where its replica lies")?;
    for one in cells {
        let CellRow { cell, sequence, frame, start, bytes, sha256, content } = one;
        statement
            .execute((
                cell,
                Count(*sequence),
                Count(*frame),
                Count(*start),
                Count(*bytes),
                sha256,
                content,
            ))
            .doing("record where its replica lies")?;
    }
    Ok(())
}

/// Records the head that is about to be written.
pub fn set_pending(transaction: &Transaction<'_>, pending: &Pending) -> Result<(), CatalogError> {
    transaction
        .execute(
            "UPDATE replica_state
             SET pending_sequence = ?1, pending_epoch = ?2, pending_head = ?3",
            (Count(pending.sequence), pending.epoch, &pending.head),
        )
        .doing("record the replica that is about to be")?;
    Ok(())
}

/// Records that the pending replica is durable: `sha256` is its head's. Returns the data objects of
/// which nothing is needed any more; their rows are gone, their objects and keys are the caller's.
///
/// Where the store holds too many objects, or too much of them is dead, cells are marked so that the
/// next sync writes them again.
pub fn settle(
    transaction: &Transaction<'_>,
    sha256: Digest,
) -> Result<Vec<ObjectRow>, CatalogError> {
    let settle = || -> rusqlite::Result<Vec<ObjectRow>> {
        transaction.execute_batch(
            "DELETE FROM replica_cell WHERE EXISTS
                 (SELECT 1 FROM replica_cell newer WHERE newer.cell = replica_cell.cell
                  AND newer.sequence > replica_cell.sequence);
             DELETE FROM replica_cell WHERE bytes = 0;
             DELETE FROM replica_taken;",
        )?;
        transaction.execute(
            "UPDATE replica_state SET sequence = pending_sequence, epoch = pending_epoch,
                 sha256 = ?1, pending_sequence = NULL, pending_epoch = NULL, pending_head = NULL",
            [sha256],
        )?;
        transaction
            .prepare(
                "DELETE FROM replica_object
                 WHERE sequence NOT IN (SELECT sequence FROM replica_cell)
                 RETURNING sequence, name, bytes",
            )?
            .query_map([], object_from_row)?
            .collect()
    };
    let dead = settle().doing("record that its replica is durable")?;
    compact(transaction)?;
    Ok(dead)
}

/// Records that the replica of that number is the newest, for a catalog that was made from it.
pub fn adopt(
    transaction: &Transaction<'_>,
    sequence: u64,
    epoch: Epoch,
    sha256: Digest,
) -> Result<(), CatalogError> {
    transaction
        .execute(
            "UPDATE replica_state SET sequence = ?1, epoch = ?2, sha256 = ?3",
            (Count(sequence), epoch, sha256),
        )
        .doing("record from which replica it comes")?;
    Ok(())
}

/// Marks the cells of data objects that are not worth keeping.
fn compact(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
    let query = || -> rusqlite::Result<Vec<(u64, u64, u64)>> {
        transaction
            .prepare(
                "SELECT object.sequence, object.bytes, sum(cell.bytes)
                 FROM replica_object object JOIN replica_cell cell USING (sequence)
                 GROUP BY object.sequence ORDER BY sum(cell.bytes)",
            )?
            .query_map([], |row| {
                let number = |column| row.get::<_, Count>(column).map(|count| count.0);
                Ok((number(0)?, number(1)?, number(2)?))
            })?
            .collect()
    };
    let objects = query().doing("look at the objects of its replica")?;
    let bytes: u64 = objects.iter().map(|(_, bytes, _)| bytes).sum();
    let live: u64 = objects.iter().map(|(_, _, live)| live).sum();
    let mostly_dead = bytes > live.saturating_mul(2).saturating_add(DEAD_BYTES_FREE);
    let many = if objects.len() > OBJECTS_MAX { objects.len() - OBJECTS_KEPT } else { 0 };
    for (place, (sequence, bytes, live)) in objects.into_iter().enumerate() {
        if place < many || (mostly_dead && live * 2 < bytes) {
            let mark = || -> rusqlite::Result<()> {
                transaction.execute(
                    "INSERT OR IGNORE INTO replica_dirty
                     SELECT cell FROM replica_cell WHERE sequence = ?1",
                    [Count(sequence)],
                )?;
                transaction.execute(
                    "UPDATE replica_cell SET content = NULL WHERE sequence = ?1",
                    [Count(sequence)],
                )?;
                Ok(())
            };
            mark().doing("mark what its replica must hold again")?;
        }
    }
    Ok(())
}

fn object_from_row(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        sequence: row.get::<_, Count>(0)?.0,
        name: row.get(1)?,
        bytes: row.get::<_, Count>(2)?.0,
    })
}

fn cell_from_row(row: &Row<'_>) -> rusqlite::Result<CellRow> {
    let number = |column| row.get::<_, Count>(column).map(|count| count.0);
    Ok(CellRow {
        cell: row.get(0)?,
        sequence: number(1)?,
        frame: number(2)?,
        start: number(3)?,
        bytes: number(4)?,
        sha256: row.get(5)?,
        content: row.get(6)?,
    })
}

#[cfg(test)]
mod tests;
