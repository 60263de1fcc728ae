//! The index entries of one relation, from threads that finish in any order, into the layer in the order
//! of subjects.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::layer_writer::LayerWriter;
use super::previous::PreviousPartition;
use crate::container::index_block::IndexEntry;
use crate::ops::backup::pack_stream::PackList;
use crate::vault::OpsError;

/// A part of a relation: what the previous backup has there, and the entries of this one, ascending.
pub type PartEntries = (Option<PreviousPartition>, Vec<IndexEntry>);

/// Takes the entries of one relation, unit by unit.
pub struct RelationIndex {
    packs: PackList,
    state: Mutex<State>,
}

struct State {
    layer: LayerWriter,
    /// The unit whose entries come next.
    next: usize,
    waiting: BTreeMap<usize, Vec<PartEntries>>,
}

impl RelationIndex {
    /// An index of one relation that `layer` writes; `packs` counts what is used of each.
    #[must_use]
    pub fn new(layer: LayerWriter, packs: PackList) -> Self {
        Self { packs, state: Mutex::new(State { layer, next: 0, waiting: BTreeMap::new() }) }
    }

    /// Takes the parts of a unit, ascending; units count from 0 and ascend too. From a thread that may
    /// block.
    pub fn put(&self, unit: usize, parts: Vec<PartEntries>) -> Result<(), OpsError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.insert(unit, parts);
        loop {
            let next = state.next;
            let Some(parts) = state.waiting.remove(&next) else { return Ok(()) };
            for (before, entries) in parts {
                self.packs.count(&entries);
                state.layer.partition(before.as_ref(), &entries)?;
            }
            state.next += 1;
        }
    }

    /// Everything was put.
    pub fn finish(&self) -> Result<(), OpsError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(state.waiting.is_empty(), "every unit came");
        state.layer.finish()
    }
}
