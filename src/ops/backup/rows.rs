//! One relation's rows, from COPY's bytes to the segment sink. Runs on a thread of its own.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::partitions::Partitions;
use super::segment_sink::{Sealed, SegmentSink};
use crate::ids::{SourceId, SubjectReference};
use crate::keys::vault_keys::ReferenceMaker;
use crate::ops::OpsError;
use crate::postgres::lines::{Lines, split_owner};

/// References are remembered for this many subjects: rows of one person often follow each other.
const REMEMBERED: usize = 1 << 14;

/// Whose the rows of a relation are.
pub enum Owners {
    /// Everybody's: no owner field stands before the rows.
    Commons,
    /// Each row has its subject's key before it (or `\N`), of this class.
    Class(String),
    /// Each row has its subject's reference before it (or `\N`), in hexadecimal.
    Reference,
}

/// Memory and disk for grouping.
#[derive(Debug, Clone)]
pub struct GroupingLimits {
    /// Rows kept in memory, in bytes.
    pub budget_bytes: usize,
    /// Where the rest is spilled, sealed.
    pub spill_folder: PathBuf,
}

/// What ends a relation's chunks. Without it the rows are not complete, whatever came before.
pub const END: Bytes = Bytes::new();

/// Groups and seals everything that arrives on `chunks` until [`END`]. `rows_seen` is told of rows
/// and bytes as they pass.
pub fn seal_relation(
    mut chunks: mpsc::Receiver<Bytes>,
    owners: &Owners,
    source: SourceId,
    references: &ReferenceMaker,
    limits: &GroupingLimits,
    mut sink: SegmentSink<'_>,
    rows_seen: &dyn Fn(u64, u64),
) -> Result<Sealed, OpsError> {
    let mut partitions = Partitions::new(limits.budget_bytes, &limits.spill_folder);
    let mut remembered: HashMap<Vec<u8>, SubjectReference> = HashMap::new();
    let mut lines = Lines::default();
    loop {
        let chunk = chunks.blocking_recv().ok_or(OpsError::CutShort)?;
        if chunk.is_empty() {
            break;
        }
        let (mut rows, bytes) = (0, chunk.len() as u64);
        lines.push(chunk);
        while let Some(line) = lines.next_line() {
            rows += 1;
            if matches!(owners, Owners::Commons) {
                sink.commons_row(&line)?;
                continue;
            }
            match (split_owner(&line), owners) {
                ((None, row), _) => sink.commons_row(row)?,
                ((Some(reference), row), Owners::Commons | Owners::Reference) => {
                    let reference = std::str::from_utf8(&reference).unwrap_or_default().parse();
                    let reference =
                        reference.map_err(|_| OpsError::Bug("a row has no owner's reference"))?;
                    partitions.push(reference, row)?;
                }
                ((Some(key), row), Owners::Class(class)) => {
                    let reference = if let Some(reference) = remembered.get(key.as_ref()) {
                        *reference
                    } else {
                        let reference = references.reference(source, class, &key);
                        if remembered.len() == REMEMBERED {
                            remembered.clear();
                        }
                        remembered.insert(key.into_owned(), reference);
                        reference
                    };
                    partitions.push(reference, row)?;
                }
            }
        }
        rows_seen(rows, bytes);
    }
    if !lines.is_complete() {
        return Err(OpsError::CutShort);
    }
    sink.end_of_commons()?;
    partitions.finish(&mut sink)?;
    sink.finish()
}
