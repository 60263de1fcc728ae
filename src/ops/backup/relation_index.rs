//! The index entries of one relation, from threads that finish in any order, into blocks in the order of
//! subjects.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::index_stream::IndexStream;
use crate::container::index_block::{BlockBuilder, IndexEntry};
use crate::ops::object_stream::Stopped;

/// Takes the entries of one relation, unit by unit.
pub struct RelationIndex {
    index: IndexStream,
    state: Mutex<State>,
}

struct State {
    blocks: BlockBuilder,
    /// The unit whose entries come next.
    next: usize,
    waiting: BTreeMap<usize, Vec<IndexEntry>>,
}

impl RelationIndex {
    /// Of the relation at that place in the manifest's list.
    #[must_use]
    pub fn new(index: IndexStream, relation: u32) -> Self {
        let state =
            State { blocks: BlockBuilder::new(relation), next: 0, waiting: BTreeMap::new() };
        Self { index, state: Mutex::new(state) }
    }

    /// Takes the entries of a unit, ascending; units count from 0 and ascend too. From a thread that may
    /// block.
    pub fn put(&self, unit: usize, entries: Vec<IndexEntry>) -> Result<(), Stopped> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.insert(unit, entries);
        loop {
            let next = state.next;
            let Some(entries) = state.waiting.remove(&next) else { return Ok(()) };
            for entry in entries {
                if let Some(block) = state.blocks.push(&entry) {
                    self.index.block(&block)?;
                }
            }
            state.next += 1;
        }
    }

    /// Everything was put.
    pub fn finish(&self) -> Result<(), Stopped> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(state.waiting.is_empty(), "every unit came");
        match state.blocks.take() {
            Some(block) => self.index.block(&block),
            None => Ok(()),
        }
    }
}
