//! Rows in the order of subjects into sealed segments and index entries, one relation at a time.

use std::io;
use std::sync::Arc;

use super::index_stream::IndexStream;
use super::pack_stream::PackStream;
use super::partitions::{RowSink, SortedRows};
use crate::container::index_block::{BlockBuilder, IndexEntry};
use crate::container::segment::{self, Compressor, RAW_BYTES_TARGET, Relation};
use crate::crypto::segment::SegmentSealer;
use crate::ids::{SourceId, SubjectReference, VaultId};
use crate::ops::OpsError;
use crate::ops::object_stream::Stopped;
use crate::ops::subject_keys::{Resolved, SubjectKeys};

/// What was sealed of one relation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sealed {
    /// Rows.
    pub rows: u64,
    /// Segments.
    pub segments: u64,
    /// Subjects, the commons not counted.
    pub subjects: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes sealed.
    pub stored_bytes: u64,
    /// Rows left out because their subject had been erased.
    pub rows_of_erased: u64,
}

/// Seals one relation's rows.
pub struct SegmentSink<'a> {
    vault: VaultId,
    source: SourceId,
    relation: &'a Relation,
    keys: &'a Arc<SubjectKeys>,
    packs: &'a mut PackStream,
    compressor: &'a mut Compressor,
    index: &'a IndexStream,
    blocks: BlockBuilder,
    /// Entries of the partition at hand: a heavy subject's come early, so they are sorted at its end.
    entries: Vec<IndexEntry>,
    commons: Pending,
    heavy: Option<(SubjectReference, Resolved, Pending)>,
    sealed: Sealed,
}

/// Rows that wait for their segment to fill.
#[derive(Default)]
struct Pending {
    rows: Vec<u8>,
    count: u64,
}

impl Pending {
    fn push(&mut self, row: &[u8]) -> bool {
        self.rows.extend_from_slice(row);
        self.count += 1;
        self.rows.len() >= RAW_BYTES_TARGET
    }
}

impl<'a> SegmentSink<'a> {
    /// A sink for the relation at place `number` in the manifest's list.
    pub fn new(
        (vault, source): (VaultId, SourceId),
        (number, relation): (u32, &'a Relation),
        keys: &'a Arc<SubjectKeys>,
        packs: &'a mut PackStream,
        compressor: &'a mut Compressor,
        index: &'a IndexStream,
    ) -> Self {
        Self {
            vault,
            source,
            relation,
            keys,
            packs,
            compressor,
            index,
            blocks: BlockBuilder::new(number),
            entries: Vec::new(),
            commons: Pending::default(),
            heavy: None,
            sealed: Sealed::default(),
        }
    }

    /// Takes a row that is nobody's.
    pub fn commons_row(&mut self, row: &[u8]) -> Result<(), OpsError> {
        if self.commons.push(row) { self.seal_commons() } else { Ok(()) }
    }

    /// The commons' rows are complete. They come first in the index: call this before the
    /// partitions are handed over.
    pub fn end_of_commons(&mut self) -> Result<(), OpsError> {
        self.seal_commons()?;
        self.write_entries()
    }

    /// Everything was handed over.
    pub fn finish(mut self) -> Result<Sealed, OpsError> {
        if let Some(block) = self.blocks.take() {
            self.write_block(&block)?;
        }
        Ok(self.sealed)
    }

    fn seal_commons(&mut self) -> Result<(), OpsError> {
        let pending = std::mem::take(&mut self.commons);
        let keys = Arc::clone(self.keys);
        self.seal(SubjectReference::COMMONS, keys.commons(), &pending)
    }

    fn seal(
        &mut self,
        reference: SubjectReference,
        key: &[u8; 32],
        pending: &Pending,
    ) -> Result<(), OpsError> {
        if pending.count == 0 {
            return Ok(());
        }
        let (codec, payload) = self.compressor.compress(&pending.rows)?;
        let context = segment::context(self.vault, self.source, self.relation, reference, codec);
        let sealer = SegmentSealer::new(key);
        let content_mac = sealer.content_mac(&context, &payload);
        let sealed = sealer.seal(&context, &content_mac, &payload);
        let placed = self.packs.append(&sealed)?;
        self.entries.push(IndexEntry {
            reference,
            content_mac,
            codec,
            pack: placed.pack,
            offset: placed.offset,
            length: sealed.len() as u64,
            rows: pending.count,
            raw_bytes: pending.rows.len() as u64,
        });
        self.sealed.rows += pending.count;
        self.sealed.segments += 1;
        self.sealed.raw_bytes += pending.rows.len() as u64;
        self.sealed.stored_bytes += sealed.len() as u64;
        Ok(())
    }

    fn seal_resolved(
        &mut self,
        reference: SubjectReference,
        resolved: &Resolved,
        pending: &Pending,
    ) -> Result<(), OpsError> {
        match resolved {
            Resolved::Key(key) => self.seal(reference, key.expose(), pending),
            Resolved::Erased => {
                self.sealed.rows_of_erased += pending.count;
                Ok(())
            }
        }
    }

    fn finish_heavy(&mut self) -> Result<(), OpsError> {
        let Some((reference, resolved, pending)) = self.heavy.take() else { return Ok(()) };
        self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        self.seal_resolved(reference, &resolved, &pending)
    }

    fn write_entries(&mut self) -> Result<(), OpsError> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|entry| (entry.reference, entry.pack, entry.offset));
        for entry in entries.drain(..) {
            if let Some(block) = self.blocks.push(&entry) {
                self.write_block(&block)?;
            }
        }
        self.entries = entries;
        Ok(())
    }

    fn write_block(
        &self,
        block: &crate::container::index_block::PlainBlock,
    ) -> Result<(), OpsError> {
        self.index.block(block).map_err(|Stopped| OpsError::StoreStopped)
    }
}

impl RowSink for SegmentSink<'_> {
    type Error = OpsError;

    fn sorted(&mut self, rows: &SortedRows) -> Result<(), OpsError> {
        let references: Vec<_> = rows.subjects().map(|(reference, _)| reference).collect();
        let resolved = self.keys.resolve(&references)?;
        for ((reference, rows), resolved) in rows.subjects().zip(&resolved) {
            let mut pending = Pending::default();
            for row in rows {
                if pending.push(row) {
                    self.seal_resolved(reference, resolved, &pending)?;
                    pending = Pending::default();
                }
            }
            self.seal_resolved(reference, resolved, &pending)?;
            self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        }
        Ok(())
    }

    fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), OpsError> {
        if self.heavy.as_ref().is_none_or(|(heavy, _, _)| *heavy != reference) {
            self.finish_heavy()?;
            let resolved = self.keys.resolve(&[reference])?.pop();
            let resolved = resolved.ok_or(OpsError::Bug("a subject was not resolved"))?;
            self.heavy = Some((reference, resolved, Pending::default()));
        }
        if let Some((_, _, pending)) = &mut self.heavy
            && pending.push(row)
            && let Some((reference, resolved, pending)) = self.heavy.take()
        {
            self.seal_resolved(reference, &resolved, &pending)?;
            self.heavy = Some((reference, resolved, Pending::default()));
        }
        Ok(())
    }

    fn end_of_partition(&mut self) -> Result<(), OpsError> {
        self.finish_heavy()?;
        self.write_entries()
    }
}

impl From<io::Error> for OpsError {
    fn from(source: io::Error) -> Self {
        Self::Spill { source }
    }
}
