//! Rows in the order of subjects into sealed segments and index entries, one relation at a time.

use std::io;
use std::sync::Arc;

use super::layer_writer::LayerWriter;
use super::pack_stream::{PackList, PackStream};
use super::partitions::{RowSink, SortedRows};
use super::previous::{Part, Previous, PreviousPartition};
use crate::container::index_block::IndexEntry;
use crate::container::segment::{self, Compressor, RAW_BYTES_TARGET, Relation};
use crate::crypto::segment::SegmentSealer;
use crate::ids::{SourceId, SubjectReference, VaultId};
use crate::ops::OpsError;
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
    /// Bytes sealed, now or by an earlier backup.
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
    layer: LayerWriter,
    listed: &'a PackList,
    previous: Option<&'a Previous>,
    /// What the previous backup has of the partition at hand, once `is_looked_up`.
    before: Option<PreviousPartition>,
    is_looked_up: bool,
    /// The partition at hand; nothing behind the last.
    part: Option<Part>,
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
    /// A sink for one relation.
    pub fn new(
        (vault, source): (VaultId, SourceId),
        relation: &'a Relation,
        keys: &'a Arc<SubjectKeys>,
        (packs, listed, previous): (&'a mut PackStream, &'a PackList, Option<&'a Previous>),
        compressor: &'a mut Compressor,
        layer: LayerWriter,
    ) -> Self {
        Self {
            vault,
            source,
            relation,
            keys,
            packs,
            compressor,
            layer,
            listed,
            previous,
            before: None,
            is_looked_up: false,
            part: Some(Part::Commons),
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
        self.write_entries(Some(Part::FirstByte(0)))
    }

    /// Everything was handed over.
    pub fn finish(self) -> Result<Sealed, OpsError> {
        self.layer.finish()?;
        Ok(self.sealed)
    }

    /// What the previous backup has of the partition at hand.
    fn before(&mut self) -> Result<Option<&PreviousPartition>, OpsError> {
        if !self.is_looked_up {
            let there = self.previous.zip(self.part);
            let found = there.map(|(previous, part)| previous.partition(self.relation, part));
            self.before = found.transpose()?.flatten();
            self.is_looked_up = true;
        }
        Ok(self.before.as_ref())
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
        let there = self.before()?.and_then(|before| before.find(reference, &content_mac, codec));
        let entry = if let Some(there) = there {
            there.clone()
        } else {
            let sealed = sealer.seal(&context, &content_mac, &payload);
            let placed = self.packs.append(&sealed)?;
            IndexEntry {
                reference,
                content_mac,
                codec,
                pack: placed.pack,
                offset: placed.offset,
                length: sealed.len() as u64,
                rows: pending.count,
                raw_bytes: pending.rows.len() as u64,
            }
        };
        self.sealed.rows += pending.count;
        self.sealed.segments += 1;
        self.sealed.raw_bytes += pending.rows.len() as u64;
        self.sealed.stored_bytes += entry.length;
        self.entries.push(entry);
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

    /// The partition at hand is complete; `next` is the one that follows.
    fn write_entries(&mut self, next: Option<Part>) -> Result<(), OpsError> {
        self.before()?;
        // A subject's segments stay in the order in which they were sealed.
        self.entries.sort_by_key(|entry| entry.reference);
        self.listed.count(&self.entries);
        self.layer.partition(self.before.as_ref(), &self.entries)?;
        (self.before, self.is_looked_up) = (None, false);
        self.entries.clear();
        self.part = next;
        Ok(())
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
        let next = match self.part {
            Some(Part::FirstByte(byte)) => byte.checked_add(1),
            _ => None,
        };
        self.write_entries(next.map(Part::FirstByte))
    }
}

impl From<io::Error> for OpsError {
    fn from(source: io::Error) -> Self {
        Self::Spill { source }
    }
}
