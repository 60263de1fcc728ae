//! Erased people whom a backup meets in its source: they are left out, counted, and named by erasure.

use serde::Serialize;

use crate::base::ids::Digest;
use crate::catalog::backups::BackupRow;
use crate::catalog::{Transaction, erasures_met, tombstones};
use crate::vault::OpsError;

/// The tombstones of each person who was met (one of which is there), and how many rows were left out.
pub(super) type LeftOut = Vec<(Vec<Digest>, u64)>;

/// An erased person who is still in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ErasedMet {
    /// The number of her erasure; nothing where an older strongroom erased several people at once.
    pub erasure: Option<u64>,
    /// Rows of hers that were left out.
    pub rows: u64,
}

/// Records whom a backup met, as a part of the transaction that makes it count.
pub(super) fn record(
    transaction: &Transaction<'_>,
    row: &BackupRow,
    left_out: &LeftOut,
) -> Result<Vec<ErasedMet>, OpsError> {
    let mut told = Vec::new();
    for (macs, rows) in left_out {
        let erasure = tombstones::met(transaction, macs, row.snapshot_at)?;
        if let Some(number) = erasure {
            erasures_met::insert(transaction, &row.backup_id, number, *rows)?;
        }
        told.push(ErasedMet { erasure, rows: *rows });
    }
    told.sort_unstable();
    Ok(told)
}
