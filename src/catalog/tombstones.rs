//! Proofs that a subject was erased, without her identity.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Moment;
use crate::base::ids::{Digest, Epoch};

/// One tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TombstoneRow {
    /// MAC of the subject's reference under the quarter's tombstone key.
    pub mac: Digest,
    /// The quarter, `2026Q4`.
    pub quarter: String,
    /// The epoch that began with the erasure.
    pub epoch: Epoch,
    /// When the erasure was recorded.
    pub erased_at: DateTime<Utc>,
}

/// The quarters that have tombstones, oldest first: whoever looks for a subject needs her MAC under
/// each of their keys.
pub fn quarters(connection: &Connection) -> Result<Vec<String>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare("SELECT DISTINCT quarter FROM tombstone ORDER BY quarter")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    query().doing("read the quarters of the tombstones")
}

/// Whether that tombstone is there.
pub fn contains(connection: &Connection, mac: &Digest) -> Result<bool, CatalogError> {
    connection
        .prepare_cached("SELECT 1 FROM tombstone WHERE mac = ?1")
        .and_then(|mut statement| statement.exists([mac]))
        .doing("look for a tombstone")
}

/// All tombstones, by MAC: their order says nothing about time.
pub fn all(connection: &Connection) -> Result<Vec<TombstoneRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare("SELECT mac, quarter, epoch, erased_at FROM tombstone ORDER BY mac")?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the tombstones")
}

/// Sets a tombstone. One that is already there stays as it is: an erasure may be finished by a
/// second run.
pub fn insert(transaction: &Transaction<'_>, tombstone: &TombstoneRow) -> Result<(), CatalogError> {
    let TombstoneRow { mac, quarter, epoch, erased_at } = tombstone;
    transaction
        .execute(
            "INSERT INTO tombstone (mac, quarter, epoch, erased_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (mac) DO NOTHING",
            (mac, quarter, epoch, Moment(*erased_at)),
        )
        .doing("set a tombstone")?;
    Ok(())
}

/// Takes a tombstone away: its subject was readmitted. Says whether it was there.
pub fn delete(transaction: &Transaction<'_>, mac: &Digest) -> Result<bool, CatalogError> {
    transaction
        .execute("DELETE FROM tombstone WHERE mac = ?1", [mac])
        .map(|deleted| deleted == 1)
        .doing("take a tombstone away")
}

/// Takes all tombstones of a quarter away, and says how many there were.
pub fn delete_quarter(transaction: &Transaction<'_>, quarter: &str) -> Result<u64, CatalogError> {
    transaction
        .execute("DELETE FROM tombstone WHERE quarter = ?1", [quarter])
        .map(|deleted| deleted as u64)
        .doing("take the tombstones of a quarter away")
}

/// The newest epoch that an erasure of the quarter began, if it has a tombstone.
pub fn newest_epoch(connection: &Connection, quarter: &str) -> Result<Option<Epoch>, CatalogError> {
    connection
        .query_row("SELECT max(epoch) FROM tombstone WHERE quarter = ?1", [quarter], |row| {
            row.get(0)
        })
        .doing("read the epochs of a quarter's tombstones")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<TombstoneRow> {
    Ok(TombstoneRow {
        mac: row.get(0)?,
        quarter: row.get(1)?,
        epoch: row.get(2)?,
        erased_at: row.get::<_, Moment>(3)?.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{catalog, moment};

    #[test]
    fn a_tombstone_is_recognised_and_set_once() {
        let (_folder, catalog) = catalog();
        let tombstone = |byte: u8, quarter: &str| TombstoneRow {
            mac: Digest([byte; 32]),
            quarter: quarter.into(),
            epoch: Epoch(2),
            erased_at: moment(5),
        };
        let rows = [tombstone(1, "2027Q1"), tombstone(2, "2026Q4"), tombstone(2, "2026Q4")];
        catalog.transaction(|tx| rows.iter().try_for_each(|row| insert(tx, row))).unwrap();
        assert!(contains(catalog.connection(), &Digest([1; 32])).unwrap());
        assert!(!contains(catalog.connection(), &Digest([3; 32])).unwrap());
        assert_eq!(quarters(catalog.connection()).unwrap(), ["2026Q4", "2027Q1"]);
        assert_eq!(all(catalog.connection()).unwrap(), rows[..2]);
    }

    #[test]
    fn a_tombstone_has_no_room_for_an_identity() {
        let (_folder, catalog) = catalog();
        for quarter in ["ada@example.org", "2026Q5", "2026q4", "2026Q4 Ada", ""] {
            let row = TombstoneRow {
                mac: Digest([1; 32]),
                quarter: quarter.into(),
                epoch: Epoch(2),
                erased_at: moment(5),
            };
            catalog.transaction(|tx| insert(tx, &row)).unwrap_err();
        }
        let short = catalog.connection().execute(
            "INSERT INTO tombstone (mac, quarter, epoch, erased_at)
             VALUES (zeroblob(31), '2026Q4', 2, ?1)",
            [Moment(moment(5))],
        );
        short.unwrap_err();
    }
}
