//! The keys of data subjects: one row for each person of each source.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Count, Moment};
use crate::base::ids::{Epoch, ShardId, SourceId, SubjectReference};

/// One data subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectRow {
    /// The subject reference.
    pub reference: SubjectReference,
    /// The source in which the subject was found.
    pub source_id: SourceId,
    /// The shard whose key wraps the subject's.
    pub shard_id: ShardId,
    /// The subject key, wrapped under the shard key.
    pub wrapped_key: Vec<u8>,
    /// When a backup first met the subject.
    pub created_at: DateTime<Utc>,
    /// The epoch in which the subject was readmitted after an erasure, if ever: what backups of
    /// earlier epochs hold of her is forgotten.
    pub readmitted_epoch: Option<Epoch>,
}

const COLUMNS: &str = "reference, source_id, shard_id, wrapped_key, created_at, readmitted_epoch";

/// One subject, if the catalog has one of that reference.
pub fn get(
    connection: &Connection,
    reference: &SubjectReference,
) -> Result<Option<SubjectRow>, CatalogError> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM subject WHERE reference = ?1"))
        .and_then(|mut statement| statement.query_row([reference], from_row).optional())
        .doing("read a subject")
}

/// The subjects whose references lie in `range`, in order. A backup walks through 256 ranges, by
/// the first byte, so that memory stays bounded.
pub fn range(
    connection: &Connection,
    range: RangeInclusive<SubjectReference>,
) -> Result<Vec<SubjectRow>, CatalogError> {
    select(
        connection,
        "WHERE reference BETWEEN ?1 AND ?2 ORDER BY reference",
        (range.start(), range.end()),
    )
}

/// The subjects whose references begin with `first_byte`, in order.
pub fn by_first_byte(
    connection: &Connection,
    first_byte: u8,
) -> Result<Vec<SubjectRow>, CatalogError> {
    let (mut first, mut last) = ([0; 16], [0xff; 16]);
    (first[0], last[0]) = (first_byte, first_byte);
    range(connection, SubjectReference(first)..=SubjectReference(last))
}

/// The subjects whose keys hang on a shard, in order of reference.
pub fn by_shard(
    connection: &Connection,
    shard_id: ShardId,
) -> Result<Vec<SubjectRow>, CatalogError> {
    select(connection, "WHERE shard_id = ?1 ORDER BY reference", [shard_id])
}

/// How many subjects there are.
pub fn count(connection: &Connection) -> Result<u64, CatalogError> {
    connection
        .query_row("SELECT count(*) FROM subject", [], |row| row.get::<_, Count>(0))
        .map(|count| count.0)
        .doing("count the subjects")
}

/// How many subjects hang on each shard that has any, by shard number.
pub fn all_counts_by_shard(connection: &Connection) -> Result<Vec<(ShardId, u64)>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(
                "SELECT shard_id, count(*) FROM subject GROUP BY shard_id ORDER BY shard_id",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, Count>(1)?.0)))?
            .collect()
    };
    query().doing("count the subjects of each shard")
}

/// Adds subjects. Fastest in order of reference.
///
/// # Errors
/// [`CatalogError::Database`], also when a reference is already there: a second key for one person
/// would make her older rows unreadable, so nothing is ever replaced.
pub fn insert_many(
    transaction: &Transaction<'_>,
    subjects: &[SubjectRow],
) -> Result<(), CatalogError> {
    let mut statement = transaction
        .prepare_cached(&format!("INSERT INTO subject ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"))
        .doing("add subjects")?;
    for subject in subjects {
        let SubjectRow {
            reference,
            source_id,
            shard_id,
            wrapped_key,
            created_at,
            readmitted_epoch,
        } = subject;
        let created_at = Moment(*created_at);
        statement
            .execute((reference, source_id, shard_id, wrapped_key, created_at, readmitted_epoch))
            .doing("add a subject")?;
    }
    Ok(())
}

/// Gives subjects new wrapped keys; their shards stay.
///
/// # Errors
/// [`CatalogError::Missing`] when one of them is not there.
pub fn update_wrapped(
    transaction: &Transaction<'_>,
    subjects: &[(SubjectReference, Vec<u8>)],
) -> Result<(), CatalogError> {
    let mut statement = transaction
        .prepare_cached("UPDATE subject SET wrapped_key = ?2 WHERE reference = ?1")
        .doing("re-wrap subjects")?;
    for (reference, wrapped_key) in subjects {
        if statement.execute((reference, wrapped_key)).doing("re-wrap a subject")? != 1 {
            return Err(CatalogError::Missing { object: format!("subject {reference}") });
        }
    }
    Ok(())
}

/// Takes subjects away and says how many were there. One that is not there is no error: a
/// forgetting may be finished by a second run.
pub fn delete(
    transaction: &Transaction<'_>,
    references: &[SubjectReference],
) -> Result<u64, CatalogError> {
    let mut statement = transaction
        .prepare_cached("DELETE FROM subject WHERE reference = ?1")
        .doing("delete subjects")?;
    let mut deleted = 0;
    for reference in references {
        deleted += statement.execute([reference]).doing("delete a subject")? as u64;
    }
    Ok(deleted)
}

fn select(
    connection: &Connection,
    clause: &str,
    parameters: impl Params,
) -> Result<Vec<SubjectRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM subject {clause}"))?
            .query_map(parameters, from_row)?
            .collect()
    };
    query().doing("read the subjects")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<SubjectRow> {
    Ok(SubjectRow {
        reference: row.get(0)?,
        source_id: row.get(1)?,
        shard_id: row.get(2)?,
        wrapped_key: row.get(3)?,
        created_at: row.get::<_, Moment>(4)?.0,
        readmitted_epoch: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::catalog::fixture::{catalog, shard, subject};
    use crate::catalog::shards;

    #[test]
    fn a_range_is_ordered_and_holds_both_ends() {
        let (_folder, catalog) = catalog();
        let mut rows: Vec<_> = (0..500).map(subject).collect();
        catalog.transaction(|tx| insert_many(tx, &rows)).unwrap();
        rows.sort_by_key(|row| row.reference);
        let (first, last) = (rows[100].reference, rows[200].reference);
        assert_eq!(range(catalog.connection(), first..=last).unwrap(), rows[100..=200]);
        let walked: Vec<_> =
            (0..=255).flat_map(|byte| by_first_byte(catalog.connection(), byte).unwrap()).collect();
        assert_eq!(walked, rows);
        assert_eq!(by_shard(catalog.connection(), ShardId(1)).unwrap(), rows);
        assert_eq!(by_shard(catalog.connection(), ShardId(2)).unwrap(), []);
        assert_eq!(all_counts_by_shard(catalog.connection()).unwrap(), [(ShardId(1), 500)]);
    }

    #[test]
    fn a_key_is_never_replaced_by_an_insert() {
        let (_folder, catalog) = catalog();
        catalog.transaction(|tx| insert_many(tx, &[subject(1)])).unwrap();
        let mut again = subject(1);
        again.wrapped_key = vec![0; 60];
        catalog.transaction(|tx| insert_many(tx, &[subject(2), again])).unwrap_err();
        assert_eq!(count(catalog.connection()).unwrap(), 1);
        let kept = get(catalog.connection(), &subject(1).reference).unwrap();
        assert_eq!(kept, Some(subject(1)));
    }

    #[test]
    fn rewrapping_and_deleting_touch_only_the_rows_named() {
        let (_folder, catalog) = catalog();
        let rows: Vec<_> = (0..3).map(subject).collect();
        catalog.transaction(|tx| insert_many(tx, &rows)).unwrap();
        let changes = [(rows[1].reference, vec![7; 60])];
        catalog.transaction(|tx| update_wrapped(tx, &changes)).unwrap();
        let deleted = catalog
            .transaction(|tx| delete(tx, &[rows[0].reference, subject(9).reference]))
            .unwrap();
        assert_eq!(deleted, 1);
        assert_eq!(get(catalog.connection(), &rows[0].reference).unwrap(), None);
        assert_eq!(
            get(catalog.connection(), &rows[1].reference).unwrap().unwrap().wrapped_key,
            vec![7; 60]
        );
        assert_eq!(get(catalog.connection(), &rows[2].reference).unwrap().as_ref(), Some(&rows[2]));
        let gone = [(rows[0].reference, vec![7; 60])];
        assert!(matches!(
            catalog.transaction(|tx| update_wrapped(tx, &gone)),
            Err(CatalogError::Missing { .. })
        ));
    }

    #[test]
    fn wrong_lengths_and_the_commons_reference_are_refused() {
        let (_folder, catalog) = catalog();
        let mut wrong = [subject(1), subject(1), subject(1), subject(1)];
        wrong[0].wrapped_key = vec![0; 39];
        wrong[1].wrapped_key = vec![0; 257];
        wrong[2].reference = SubjectReference::COMMONS;
        wrong[3].source_id = SourceId([9; 16]);
        for row in wrong {
            catalog.transaction(|tx| insert_many(tx, &[row])).unwrap_err();
        }
        assert_eq!(count(catalog.connection()).unwrap(), 0);
    }

    #[test]
    fn a_hundred_thousand_subjects_are_read_within_two_seconds() {
        let (_folder, catalog) = catalog();
        let mut rows: Vec<_> = (0..100_000).map(subject).collect();
        catalog
            .transaction(|tx| {
                for number in 2..=100 {
                    shards::insert(tx, &shard(number, 1000))?;
                }
                Ok::<_, CatalogError>(())
            })
            .unwrap();
        for (number, row) in rows.iter_mut().enumerate() {
            row.shard_id = ShardId(1 + u32::try_from(number / 1000).unwrap());
        }
        rows.sort_by_key(|row| row.reference);
        let started = Instant::now();
        for part in rows.chunks(10_000) {
            catalog.transaction(|tx| insert_many(tx, part)).unwrap();
        }
        let inserted = started.elapsed();
        let walked: usize =
            (0..=255).map(|byte| by_first_byte(catalog.connection(), byte).unwrap().len()).sum();
        assert_eq!(walked, rows.len());
        assert_eq!(by_shard(catalog.connection(), ShardId(50)).unwrap().len(), 1000);
        let read = started.elapsed().saturating_sub(inserted);
        // Generous, for busy machines: 0.8 s and 0.1 s were measured, unoptimised, on two cores.
        assert!(inserted < Duration::from_secs(20), "{inserted:?} to insert");
        assert!(read < Duration::from_secs(2), "{read:?} to read");
    }

    #[test]
    fn ranges_and_shards_are_found_by_index() {
        let (_folder, catalog) = catalog();
        for (clause, index) in [
            ("reference BETWEEN x'00' AND x'01' ORDER BY reference", "PRIMARY KEY (reference>"),
            ("shard_id = 1 ORDER BY reference", "subject_by_shard (shard_id=?)"),
        ] {
            let plan: String = catalog
                .connection()
                .query_row(
                    &format!("EXPLAIN QUERY PLAN SELECT {COLUMNS} FROM subject WHERE {clause}"),
                    [],
                    |row| row.get(3),
                )
                .unwrap();
            assert!(plan.starts_with("SEARCH") && plan.contains(index), "{plan}");
        }
    }
}
