//! Which entries go into the layer that a backup writes.
//!
//! A whole layer has every entry. A layer of changes stands above the base that the previous backup
//! stands on: it has all entries of the subjects whose entries are other than in the base, and marks
//! those who have none any more.

use super::index_stream::IndexStream;
use super::previous::{LayerKind, PreviousPartition};
use crate::base::ids::SubjectReference;
use crate::container::index_block::IndexEntry;
use crate::container::layer_block::{BlockBuilder, Listed, PlainBlock};
use crate::vault::OpsError;
use crate::vault::object_stream::Stopped;

/// Writes one relation's part of the layer.
pub struct LayerWriter {
    kind: LayerKind,
    index: IndexStream,
    blocks: BlockBuilder,
}

impl LayerWriter {
    /// A writer for the relation at place `number` in the manifest's list.
    #[must_use]
    pub fn new(kind: LayerKind, index: IndexStream, number: u32) -> Self {
        Self { kind, index, blocks: BlockBuilder::new(number) }
    }

    /// Takes all entries of a partition, ascending by reference, and what the previous backup had
    /// there. Partitions must come in ascending order, the commons first.
    pub fn partition(
        &mut self,
        before: Option<&PreviousPartition>,
        entries: &[IndexEntry],
    ) -> Result<(), OpsError> {
        if before.is_none_or(|before| before.effective() != entries) {
            self.index.note_difference();
        }
        match (self.kind, before) {
            (LayerKind::Changes, Some(before)) => {
                let mut changes = Vec::new();
                changes_since(before.base(), entries, &mut |listed| changes.push(listed));
                changes.iter().try_for_each(|listed| self.push(listed))
            }
            _ => entries.iter().try_for_each(|one| self.push(&Listed::Segment(one.clone()))),
        }
    }

    /// The relation is complete.
    pub fn finish(&mut self) -> Result<(), OpsError> {
        let last = self.blocks.take();
        last.map_or(Ok(()), |block| self.write(&block))
    }

    fn push(&mut self, listed: &Listed) -> Result<(), OpsError> {
        let full = self.blocks.push(listed);
        full.map_or(Ok(()), |block| self.write(&block))
    }

    fn write(&self, block: &PlainBlock) -> Result<(), OpsError> {
        self.index.block(block).map_err(|Stopped| OpsError::StoreStopped)
    }
}

/// What a layer above `base` must say so that `present` counts. Both ascend by reference.
fn changes_since(base: &[IndexEntry], present: &[IndexEntry], say: &mut impl FnMut(Listed)) {
    let (mut base, mut present) = (base, present);
    while let Some(reference) = lesser(base.first(), present.first()) {
        let was = take(&mut base, reference);
        let is = take(&mut present, reference);
        if is.is_empty() {
            say(Listed::NoRows(reference));
        } else if was != is {
            for entry in is {
                say(Listed::Segment(entry.clone()));
            }
        }
    }
}

fn lesser(one: Option<&IndexEntry>, other: Option<&IndexEntry>) -> Option<SubjectReference> {
    let (one, other) = (one.map(|entry| entry.reference), other.map(|entry| entry.reference));
    one.into_iter().chain(other).min()
}

/// Takes the entries of one subject off the front.
fn take<'a>(entries: &mut &'a [IndexEntry], reference: SubjectReference) -> &'a [IndexEntry] {
    let end = entries.partition_point(|entry| entry.reference <= reference);
    let (hers, rest) = entries.split_at(end);
    *entries = rest;
    hers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::segment::Codec;

    fn entry(reference: u8, offset: u64) -> IndexEntry {
        IndexEntry {
            reference: SubjectReference([reference; 16]),
            content_mac: [reference; 32],
            codec: Codec::Stored,
            pack: 0,
            offset,
            length: 1,
            rows: 1,
            raw_bytes: 1,
        }
    }

    #[test]
    fn a_layer_of_changes_says_what_is_other_than_in_the_base_and_nothing_else() {
        let base = [entry(1, 0), entry(2, 0), entry(2, 1), entry(4, 0), entry(6, 0)];
        let present =
            [entry(1, 0), entry(2, 0), entry(3, 0), entry(5, 0), entry(5, 1), entry(6, 0)];
        let mut said = Vec::new();
        changes_since(&base, &present, &mut |listed| said.push(listed));
        let expected = [
            Listed::Segment(entry(2, 0)),
            Listed::Segment(entry(3, 0)),
            Listed::NoRows(SubjectReference([4; 16])),
            Listed::Segment(entry(5, 0)),
            Listed::Segment(entry(5, 1)),
        ];
        assert_eq!(said, expected);
        said.clear();
        changes_since(&base, &base, &mut |listed| said.push(listed));
        assert_eq!(said, []);
    }
}
