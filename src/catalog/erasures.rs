//! Erasures as the compliance officer lists them.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Count, Moment};
use crate::base::ids::{Epoch, SourceId};

/// An erasure that is being recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewErasure {
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// The source in which the subject was.
    pub source_id: SourceId,
    /// The epoch whose secret has to be destroyed; the next one takes its place.
    pub epoch_before: Epoch,
    /// The officer's reason, sealed.
    pub reason_sealed: Vec<u8>,
    /// Backups that held rows of the subject.
    pub backup_count: u64,
    /// Segments that can no longer be opened.
    pub segment_count: u64,
    /// Rows in those segments.
    pub row_count: u64,
    /// Subject keys destroyed.
    pub subject_key_count: u64,
}

/// An erasure in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRow {
    /// Its number, from 1.
    pub erasure_id: u64,
    /// When the previous epoch secret was destroyed; nothing while the erasure is provisional.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Everything else about it.
    pub erasure: NewErasure,
}

/// All erasures, newest first.
pub fn list(connection: &Connection) -> Result<Vec<ErasureRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(&format!("SELECT {COLUMNS} FROM erasure ORDER BY erasure_id DESC"))?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the erasures")
}

/// The erasures whose negative test has not run, or could not read everything, oldest first.
pub fn unproven(connection: &Connection) -> Result<Vec<ErasureRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(&format!(
                "SELECT {COLUMNS} FROM erasure
                 WHERE erasure_id NOT IN (SELECT erasure_id FROM erasure_proof)
                 ORDER BY erasure_id"
            ))?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the erasures that are not proven")
}

/// One erasure, if there is one of that number.
pub fn get(connection: &Connection, erasure_id: u64) -> Result<Option<ErasureRow>, CatalogError> {
    connection
        .query_row(
            &format!("SELECT {COLUMNS} FROM erasure WHERE erasure_id = ?1"),
            [Count(erasure_id)],
            from_row,
        )
        .optional()
        .doing("read an erasure")
}

/// Records an erasure as provisional and gives its number.
pub fn insert(transaction: &Transaction<'_>, erasure: &NewErasure) -> Result<u64, CatalogError> {
    transaction
        .query_row(
            "INSERT INTO erasure (requested_at, source_id, epoch_before, epoch_after,
                 reason_sealed, backup_count, segment_count, row_count, subject_key_count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING erasure_id",
            (
                Moment(erasure.requested_at),
                erasure.source_id,
                erasure.epoch_before,
                erasure.epoch_before.next(),
                &erasure.reason_sealed,
                Count(erasure.backup_count),
                Count(erasure.segment_count),
                Count(erasure.row_count),
                Count(erasure.subject_key_count),
            ),
            |row| row.get::<_, Count>(0),
        )
        .map(|number| number.0)
        .doing("record an erasure")
}

/// Marks as confirmed the erasures that no secret undoes any more: all whose epoch before is older
/// than `oldest_leaving`, the oldest epoch whose secret can still be made; all without exception
/// where there is no such epoch. Says which were provisional until now.
pub fn confirm(
    transaction: &Transaction<'_>,
    oldest_leaving: Option<Epoch>,
    confirmed_at: DateTime<Utc>,
) -> Result<Vec<u64>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<u64>> {
        transaction
            .prepare(
                "UPDATE erasure SET confirmed_at = ?2
                 WHERE confirmed_at IS NULL AND (?1 IS NULL OR epoch_before < ?1)
                 RETURNING erasure_id",
            )?
            .query_map((oldest_leaving, Moment(confirmed_at)), |row| {
                row.get::<_, Count>(0).map(|number| number.0)
            })?
            .collect()
    };
    query().doing("confirm an erasure")
}

/// Marks as provisional again the erasures that a secret undoes which can be made again: all whose
/// epoch before is not older than `oldest_leaving`. Says which were confirmed until now.
pub fn reopen(
    transaction: &Transaction<'_>,
    oldest_leaving: Epoch,
) -> Result<Vec<u64>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<u64>> {
        transaction
            .prepare(
                "UPDATE erasure SET confirmed_at = NULL
                 WHERE confirmed_at IS NOT NULL AND epoch_before >= ?1
                 RETURNING erasure_id",
            )?
            .query_map([oldest_leaving], |row| row.get::<_, Count>(0).map(|number| number.0))?
            .collect()
    };
    query().doing("mark an erasure as provisional again")
}

/// The numbers of the erasures that are provisional, oldest first.
pub fn provisional(connection: &Connection) -> Result<Vec<u64>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<u64>> {
        connection
            .prepare("SELECT erasure_id FROM erasure WHERE confirmed_at IS NULL ORDER BY 1")?
            .query_map([], |row| row.get::<_, Count>(0).map(|number| number.0))?
            .collect()
    };
    query().doing("read the provisional erasures")
}

/// The sealed reasons, by erasure.
pub fn reasons(connection: &Connection) -> Result<Vec<(u64, Vec<u8>)>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare("SELECT erasure_id, reason_sealed FROM erasure ORDER BY erasure_id")?
            .query_map([], |row| Ok((row.get::<_, Count>(0)?.0, row.get(1)?)))?
            .collect()
    };
    query().doing("read the erasures' reasons")
}

/// Puts a reason that was sealed anew in the place of the same reason.
///
/// # Errors
/// [`CatalogError::Missing`] when there is no such erasure.
pub fn set_reason(
    transaction: &Transaction<'_>,
    erasure_id: u64,
    reason_sealed: &[u8],
) -> Result<(), CatalogError> {
    let changed = transaction
        .execute(
            "UPDATE erasure SET reason_sealed = ?2 WHERE erasure_id = ?1",
            (Count(erasure_id), reason_sealed),
        )
        .doing("seal an erasure's reason anew")?;
    if changed == 1 {
        Ok(())
    } else {
        Err(CatalogError::Missing { object: format!("erasure {erasure_id}") })
    }
}

const COLUMNS: &str = "erasure_id, confirmed_at, requested_at, source_id, epoch_before, \
     reason_sealed, backup_count, segment_count, row_count, subject_key_count";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ErasureRow> {
    Ok(ErasureRow {
        erasure_id: row.get::<_, Count>(0)?.0,
        confirmed_at: row.get::<_, Option<Moment>>(1)?.map(|moment| moment.0),
        erasure: NewErasure {
            requested_at: row.get::<_, Moment>(2)?.0,
            source_id: row.get(3)?,
            epoch_before: row.get(4)?,
            reason_sealed: row.get(5)?,
            backup_count: row.get::<_, Count>(6)?.0,
            segment_count: row.get::<_, Count>(7)?.0,
            row_count: row.get::<_, Count>(8)?.0,
            subject_key_count: row.get::<_, Count>(9)?.0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{SOURCE, catalog, moment};

    #[test]
    fn an_erasure_is_provisional_until_it_is_confirmed_and_stays_in_the_list() {
        let (_folder, catalog) = catalog();
        let erasure = |epoch| NewErasure {
            requested_at: moment(10),
            source_id: SOURCE,
            epoch_before: Epoch(epoch),
            reason_sealed: vec![3; 60],
            backup_count: 90,
            segment_count: 400,
            row_count: 12_000,
            subject_key_count: 1,
        };
        let first = catalog.transaction(|tx| insert(tx, &erasure(1))).unwrap();
        let second = catalog.transaction(|tx| insert(tx, &erasure(2))).unwrap();
        assert_eq!((first, second), (1, 2));
        let confirm =
            |oldest, at| catalog.transaction(|tx| confirm(tx, oldest, moment(at))).unwrap();
        assert_eq!(confirm(Some(Epoch(1)), 20), [0; 0]);
        assert_eq!(confirm(Some(Epoch(2)), 20), [1]);
        assert_eq!(confirm(Some(Epoch(2)), 30), [0; 0]);
        assert_eq!(provisional(catalog.connection()).unwrap(), [2]);
        let confirmed =
            ErasureRow { erasure_id: 1, confirmed_at: Some(moment(20)), erasure: erasure(1) };
        let provisional = ErasureRow { erasure_id: 2, confirmed_at: None, erasure: erasure(2) };
        assert_eq!(get(catalog.connection(), 1).unwrap().as_ref(), Some(&confirmed));
        assert_eq!(list(catalog.connection()).unwrap(), [provisional, confirmed]);
        catalog.connection().execute("DELETE FROM erasure", []).unwrap_err();
    }
}
