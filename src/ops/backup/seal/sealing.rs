//! What the readers of a relation have dealt, sealed by several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use super::segment_sink::{Sealed, SealingTools, SegmentSink, SegmentsOf};
use crate::base::ids::VaultId;
use crate::container::index_block::IndexEntry;
use crate::ops::backup::index::previous::Part;
use crate::ops::backup::index::relation_index::PartEntries;
use crate::ops::backup::pack_stream::{PackList, PackStream};
use crate::ops::backup::read::partitions::{Gathered, Partitions};
use crate::ops::backup::read::relations::{Reading, RelationWork};
use crate::store::Store;
use crate::vault::OpsError;

/// What was read of one part of a relation.
pub struct ReadPart {
    /// The rows of people.
    pub partitions: Partitions,
    /// The segments of rows of nobody.
    pub commons: Vec<IndexEntry>,
    /// What was sealed of them.
    pub sealed: Sealed,
}

/// Tools for as many threads as seal at one time; each takes them for a while.
pub struct ToolPool {
    runtime: Handle,
    store: Arc<dyn Store>,
    vault: VaultId,
    packs: PackList,
    idle: Mutex<Vec<SealingTools>>,
    is_stopped: AtomicBool,
}

impl ToolPool {
    /// A pool whose packs go to `store` and are listed in `packs`.
    #[must_use]
    pub fn new(runtime: Handle, store: Arc<dyn Store>, vault: VaultId, packs: PackList) -> Self {
        let (idle, is_stopped) = (Mutex::default(), AtomicBool::new(false));
        Self { runtime, store, vault, packs, idle, is_stopped }
    }

    /// Does some work with tools of its own.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&mut SealingTools) -> Result<T, OpsError>,
    ) -> Result<T, OpsError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(OpsError::CutShort);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut tools = if let Some(tools) = idle {
            tools
        } else {
            let (runtime, store) = (self.runtime.clone(), Arc::clone(&self.store));
            let packs = self.packs.clone();
            SealingTools::new(PackStream::new(runtime, store, self.vault, packs))?
        };
        match work(&mut tools) {
            Ok(_) if self.is_stopped.load(Ordering::Relaxed) => Err(OpsError::CutShort),
            Ok(done) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
                Ok(done)
            }
            // The work stopped because the store did: the store knows why.
            Err(OpsError::StoreStopped) => {
                tools.packs.close()?;
                Err(OpsError::StoreStopped)
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing more is sealed, and packs that are open are never finished.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes all packs, side by side, and waits until they are durable. From a thread that may block.
    pub fn close(&self) -> Result<(), OpsError> {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let close = |mut tools: SealingTools| tools.packs.close();
        std::thread::scope(|scope| {
            let closing: Vec<_> =
                idle.into_iter().map(|tools| scope.spawn(move || close(tools))).collect();
            closing
                .into_iter()
                .try_for_each(|one| one.join().unwrap_or(Err(OpsError::THREAD_ENDED)))
        })
    }
}

/// Stops the sealing when whoever waits for it is gone. Where all packs are closed, nothing is left to stop.
pub struct StopWhenDropped(pub Arc<ToolPool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

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
