//! Proofs that a subject was erased, without her identity.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Count, Moment};
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
    /// The erasure that set it; nothing where an older strongroom erased several people at once.
    pub erasure_id: Option<u64>,
    /// The snapshot of the newest backup that met her in the source, if one did.
    pub met_at: Option<DateTime<Utc>>,
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
            .prepare("SELECT mac, quarter, epoch, erased_at, erasure_id, met_at FROM tombstone ORDER BY mac")?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the tombstones")
}

/// Sets a tombstone. One that is already there stays as it is: an erasure may be finished by a
/// second run.
pub fn insert(transaction: &Transaction<'_>, tombstone: &TombstoneRow) -> Result<(), CatalogError> {
    let TombstoneRow { mac, quarter, epoch, erased_at, erasure_id, met_at } = tombstone;
    transaction
        .execute(
            "INSERT INTO tombstone (mac, quarter, epoch, erased_at, erasure_id, met_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (mac) DO NOTHING",
            (mac, quarter, epoch, Moment(*erased_at), erasure_id.map(Count), met_at.map(Moment)),
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

/// Records that a backup met somebody who was erased, and says which erasure hers was.
///
/// # Errors
/// [`CatalogError::Missing`] when none of the tombstones is there.
pub fn met(
    transaction: &Transaction<'_>,
    macs: &[Digest],
    at: DateTime<Utc>,
) -> Result<Option<u64>, CatalogError> {
    for mac in macs {
        let erasure: Option<Option<Count>> = transaction
            .query_row(
                "UPDATE tombstone SET met_at = max(coalesce(met_at, ''), ?2) WHERE mac = ?1
                 RETURNING erasure_id",
                (mac, Moment(at)),
                |row| row.get(0),
            )
            .optional()
            .doing("record that an erased person was met")?;
        if let Some(erasure) = erasure {
            return Ok(erasure.map(|number| number.0));
        }
    }
    Err(CatalogError::Missing { object: "tombstone of a person whom a backup met".into() })
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<TombstoneRow> {
    Ok(TombstoneRow {
        mac: row.get(0)?,
        quarter: row.get(1)?,
        epoch: row.get(2)?,
        erased_at: row.get::<_, Moment>(3)?.0,
        erasure_id: row.get::<_, Option<Count>>(4)?.map(|number| number.0),
        met_at: row.get::<_, Option<Moment>>(5)?.map(|moment| moment.0),
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
            erasure_id: None,
            met_at: None,
        };
        let rows = [tombstone(1, "2027Q1"), tombstone(2, "2026Q4"), tombstone(2, "2026Q4")];
        catalog.transaction(|tx| rows.iter().try_for_each(|row| insert(tx, row))).unwrap();
        assert!(contains(catalog.connection(), &Digest([1; 32])).unwrap());
        assert!(!contains(catalog.connection(), &Digest([3; 32])).unwrap());
        assert_eq!(quarters(catalog.connection()).unwrap(), ["2026Q4", "2027Q1"]);
        assert_eq!(all(catalog.connection()).unwrap(), rows[..2]);
        let meet = |byte: u8, at| {
            let macs = [Digest([9; 32]), Digest([byte; 32])];
            catalog.transaction(|tx| met(tx, &macs, moment(at)))
        };
        for (at, newest) in [(20, 20), (30, 30), (25, 30)] {
            assert_eq!(meet(1, at).unwrap(), None);
            assert_eq!(all(catalog.connection()).unwrap()[0].met_at, Some(moment(newest)));
        }
        meet(8, 40).unwrap_err();
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
                erasure_id: None,
                met_at: None,
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
