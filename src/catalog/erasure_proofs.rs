//! What the negative test after an erasure found.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Count, Moment};

/// The figures of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureProofRow {
    /// The erasure's number.
    pub erasure_id: u64,
    /// When the test ran.
    pub proven_at: DateTime<Utc>,
    /// Replicas of the catalog from before the erasure that were tried.
    pub replicas_tried: u64,
    /// Backups that were tried.
    pub backups_tried: u64,
    /// The subject's segments that were tried.
    pub segments_tried: u64,
    /// Those that opened: zero, or the erasure failed.
    pub segments_opened: u64,
    /// Other people's segments that opened, as they must.
    pub bystanders_opened: u64,
}

/// Records a test. A later one of the same erasure takes its place.
pub fn put(transaction: &Transaction<'_>, proof: &ErasureProofRow) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO erasure_proof (erasure_id, proven_at, replicas_tried, backups_tried,
                 segments_tried, segments_opened, bystanders_opened)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (erasure_id) DO UPDATE SET proven_at = ?2, replicas_tried = ?3,
                 backups_tried = ?4, segments_tried = ?5, segments_opened = ?6,
                 bystanders_opened = ?7",
            (
                Count(proof.erasure_id),
                Moment(proof.proven_at),
                Count(proof.replicas_tried),
                Count(proof.backups_tried),
                Count(proof.segments_tried),
                Count(proof.segments_opened),
                Count(proof.bystanders_opened),
            ),
        )
        .doing("record an erasure's proof")?;
    Ok(())
}

/// The test of an erasure, if it has run.
pub fn get(
    connection: &Connection,
    erasure_id: u64,
) -> Result<Option<ErasureProofRow>, CatalogError> {
    connection
        .query_row(
            "SELECT proven_at, replicas_tried, backups_tried, segments_tried, segments_opened,
                 bystanders_opened
             FROM erasure_proof WHERE erasure_id = ?1",
            [Count(erasure_id)],
            |row| {
                Ok(ErasureProofRow {
                    erasure_id,
                    proven_at: row.get::<_, Moment>(0)?.0,
                    replicas_tried: row.get::<_, Count>(1)?.0,
                    backups_tried: row.get::<_, Count>(2)?.0,
                    segments_tried: row.get::<_, Count>(3)?.0,
                    segments_opened: row.get::<_, Count>(4)?.0,
                    bystanders_opened: row.get::<_, Count>(5)?.0,
                })
            },
        )
        .optional()
        .doing("read an erasure's proof")
}
