//! What the readers of a relation have dealt, sealed by several threads.

use super::sealed::Sealed;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::segment_sink::{SegmentSink, SegmentsOf};
use crate::container::index_block::IndexEntry;
use crate::ops::backup::index::previous::Part;
use crate::ops::backup::index::relation_index::PartEntries;
use crate::ops::backup::read::partitions::Gathered;
use crate::ops::backup::reading::{ReadPart, Reading, RelationWork};
use crate::vault::OpsError;

/// Seals everything that was read of a relation. From a thread that may block.
pub fn seal(
    reading: &Reading,
    work: &RelationWork,
    parts: Vec<ReadPart>,
) -> Result<Sealed, OpsError> {
    let mut sealed = Sealed::default();
    let (mut commons, mut partitions) = (Vec::new(), Vec::new());
    for part in parts {
        sealed += part.sealed;
        commons.extend(part.commons);
        partitions.push(part.partitions);
    }
    let of = reading.segments_of(&work.plan);
    work.index.put(0, vec![(of.before(Part::Commons)?, commons)])?;
    let gathered = Gathered::new(partitions);
    let next_unit = AtomicUsize::new(0);
    let seal_some = || -> Result<Sealed, OpsError> {
        let mut sealed = Sealed::default();
        loop {
            let unit = next_unit.fetch_add(1, Ordering::Relaxed);
            if unit >= gathered.units() {
                return Ok(sealed);
            }
            let of_unit = reading.tools.with(|tools| {
                let mut sink = SegmentSink::new(of, &reading.keys, tools);
                gathered.hand_over(unit, &mut sink)?;
                let (entries, of_unit) = sink.finish()?;
                work.index.put(unit + 1, by_part(&of, gathered.first_bytes(unit), entries)?)?;
                Ok(of_unit)
            });
            match of_unit {
                Ok(of_unit) => sealed += of_unit,
                Err(error) => {
                    // The others stop too.
                    next_unit.store(gathered.units(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if reading.jobs == 1 { 1 } else { cores };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.min(gathered.units())).map(|_| scope.spawn(seal_some)).collect();
        let own = seal_some();
        let others =
            others.into_iter().map(|other| other.join().unwrap_or(Err(OpsError::THREAD_ENDED)));
        std::iter::once(own).chain(others).collect()
    });
    for of_thread in outcomes {
        sealed += of_thread?;
    }
    work.index.finish()?;
    Ok(sealed)
}

/// A unit's entries by the first bytes of their references, each with what was there before.
fn by_part(
    of: &SegmentsOf<'_>,
    first_bytes: impl Iterator<Item = u8>,
    entries: Vec<IndexEntry>,
) -> Result<Vec<PartEntries>, OpsError> {
    if of.previous.is_none() {
        return Ok(vec![(None, entries)]);
    }
    let mut entries = entries.into_iter().peekable();
    let part = |byte: u8| {
        let own = std::iter::from_fn(|| entries.next_if(|entry| entry.reference.0[0] == byte));
        let own: Vec<_> = own.collect();
        Ok((of.before(Part::FirstByte(byte))?, own))
    };
    first_bytes.map(part).collect()
}
