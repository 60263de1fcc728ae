//! Rows in the order of subjects into sealed segments and index entries: one unit of one relation.

use std::io;
use std::sync::Arc;

use super::forms::RowForm;
use super::pack_stream::PackStream;
use super::partitions::{RowSink, SortedRows};
use super::previous::{Part, Previous, PreviousPartition};
use crate::container::columns::{self, Encoder};
use crate::container::index_block::IndexEntry;
use crate::container::segment::{self, Codec, Compressor, RAW_BYTES_TARGET, Relation};
use crate::crypto::segment::{ContentMac, SegmentSealer};
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

impl std::ops::AddAssign for Sealed {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.segments += other.segments;
        self.subjects += other.subjects;
        self.raw_bytes += other.raw_bytes;
        self.stored_bytes += other.stored_bytes;
        self.rows_of_erased += other.rows_of_erased;
    }
}

/// What a sealing thread works with, from one unit to the next.
pub struct SealingTools {
    /// Where segments go.
    pub packs: PackStream,
    compressor: Compressor,
    encoder: Encoder,
}

impl SealingTools {
    /// Tools that write to `packs`.
    pub fn new(packs: PackStream) -> io::Result<Self> {
        Ok(Self { packs, compressor: Compressor::new()?, encoder: Encoder::new()? })
    }
}

/// What all segments of a relation have in common.
#[derive(Clone, Copy)]
pub struct SegmentsOf<'a> {
    /// The vault.
    pub vault: VaultId,
    /// The source.
    pub source: SourceId,
    /// The relation.
    pub relation: &'a Relation,
    /// How its rows are sealed.
    pub form: &'a RowForm,
    /// The backup before, whose segments are referred to where they are the same.
    pub previous: Option<&'a Previous>,
}

impl SegmentsOf<'_> {
    /// What the previous backup has of a part.
    pub fn before(&self, part: Part) -> Result<Option<PreviousPartition>, OpsError> {
        let before = self.previous.map(|previous| previous.partition(self.relation, part));
        Ok(before.transpose()?.flatten())
    }
}

/// Seals the rows of one unit.
pub struct SegmentSink<'a> {
    of: SegmentsOf<'a>,
    keys: &'a Arc<SubjectKeys>,
    tools: &'a mut SealingTools,
    /// What the previous backup has of the part at hand.
    before: Option<(Part, Option<PreviousPartition>)>,
    entries: Vec<IndexEntry>,
    commons: Pending,
    hers: Pending,
    heavy: Option<(SubjectReference, Resolved, Pending)>,
    sealed: Sealed,
}

/// Rows that wait for their segment to fill.
#[derive(Default)]
struct Pending {
    rows: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Their length as lines or tuples.
    raw_bytes: usize,
}

impl Pending {
    /// Takes a row; whether the segment is full.
    fn push(&mut self, form: &RowForm, row: &[u8]) -> bool {
        self.rows.extend_from_slice(row);
        self.ends.push(self.rows.len());
        self.raw_bytes += match form {
            RowForm::Lines => row.len(),
            RowForm::Tuples(_) => columns::tuple_bytes(row),
        };
        self.raw_bytes >= RAW_BYTES_TARGET
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.ends.clear();
        self.raw_bytes = 0;
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.rows[begin..*end])
    }
}

impl<'a> SegmentSink<'a> {
    /// A sink for rows of a relation.
    pub fn new(
        of: SegmentsOf<'a>,
        keys: &'a Arc<SubjectKeys>,
        tools: &'a mut SealingTools,
    ) -> Self {
        Self {
            of,
            keys,
            tools,
            before: None,
            entries: Vec::new(),
            commons: Pending::default(),
            hers: Pending::default(),
            heavy: None,
            sealed: Sealed::default(),
        }
    }

    /// Takes a row that is nobody's.
    pub fn commons_row(&mut self, row: &[u8]) -> Result<(), OpsError> {
        if self.commons.push(self.of.form, row) { self.seal_commons() } else { Ok(()) }
    }

    /// Everything was handed over: the entries, ascending, and what was sealed.
    pub fn finish(mut self) -> Result<(Vec<IndexEntry>, Sealed), OpsError> {
        self.seal_commons()?;
        self.finish_heavy()?;
        // A subject's segments stay in the order in which they were sealed.
        self.entries.sort_by_key(|entry| entry.reference);
        Ok((self.entries, self.sealed))
    }

    /// The entry of a segment that the previous backup has already.
    fn find(
        &mut self,
        reference: SubjectReference,
        content_mac: &ContentMac,
        codec: Codec,
    ) -> Result<Option<IndexEntry>, OpsError> {
        if self.of.previous.is_none() {
            return Ok(None);
        }
        let part = Part::of(reference);
        if self.before.as_ref().is_none_or(|(at_hand, _)| *at_hand != part) {
            self.before = Some((part, self.of.before(part)?));
        }
        let before = self.before.as_ref().and_then(|(_, before)| before.as_ref());
        Ok(before.and_then(|before| before.find(reference, content_mac, codec)).cloned())
    }

    fn seal_commons(&mut self) -> Result<(), OpsError> {
        let mut pending = std::mem::take(&mut self.commons);
        let keys = Arc::clone(self.keys);
        self.seal(SubjectReference::COMMONS, keys.commons(), &pending)?;
        pending.clear();
        self.commons = pending;
        Ok(())
    }

    fn seal(
        &mut self,
        reference: SubjectReference,
        key: &[u8; 32],
        pending: &Pending,
    ) -> Result<(), OpsError> {
        let rows = pending.ends.len() as u64;
        if rows == 0 {
            return Ok(());
        }
        let SegmentsOf { vault, source, relation, form, .. } = self.of;
        let (codec, payload, layout) = match form {
            RowForm::Lines => {
                let (codec, payload) = self.tools.compressor.compress(&pending.rows)?;
                (codec, payload, None)
            }
            RowForm::Tuples(layout) => {
                let (payload, _) = self.tools.encoder.encode(layout, pending.rows())?;
                (Codec::Columns, payload, Some(&**layout))
            }
        };
        let context = segment::context(vault, source, relation, reference, codec, layout);
        let sealer = SegmentSealer::new(key);
        let content_mac = sealer.content_mac(&context, &payload);
        let entry = match self.find(reference, &content_mac, codec)? {
            Some(there) => there,
            None => {
                let sealed = sealer.seal(&context, &content_mac, &payload);
                let placed = self.tools.packs.append(&sealed)?;
                IndexEntry {
                    reference,
                    content_mac,
                    codec,
                    pack: placed.pack,
                    offset: placed.offset,
                    length: sealed.len() as u64,
                    rows,
                    raw_bytes: pending.raw_bytes as u64,
                }
            }
        };
        self.sealed.rows += rows;
        self.sealed.segments += 1;
        self.sealed.raw_bytes += entry.raw_bytes;
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
                self.sealed.rows_of_erased += pending.ends.len() as u64;
                Ok(())
            }
        }
    }

    fn finish_heavy(&mut self) -> Result<(), OpsError> {
        let Some((reference, resolved, pending)) = self.heavy.take() else { return Ok(()) };
        self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        self.seal_resolved(reference, &resolved, &pending)
    }
}

impl RowSink for SegmentSink<'_> {
    type Error = OpsError;

    fn sorted(&mut self, rows: &SortedRows) -> Result<(), OpsError> {
        let references: Vec<_> = rows.subjects().map(|(reference, _)| reference).collect();
        let resolved = self.keys.resolve(&references)?;
        let mut pending = std::mem::take(&mut self.hers);
        for ((reference, rows), resolved) in rows.subjects().zip(&resolved) {
            for row in rows {
                if pending.push(self.of.form, row) {
                    self.seal_resolved(reference, resolved, &pending)?;
                    pending.clear();
                }
            }
            self.seal_resolved(reference, resolved, &pending)?;
            pending.clear();
            self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        }
        self.hers = pending;
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
            && pending.push(self.of.form, row)
            && let Some((reference, resolved, mut pending)) = self.heavy.take()
        {
            self.seal_resolved(reference, &resolved, &pending)?;
            pending.clear();
            self.heavy = Some((reference, resolved, pending));
        }
        Ok(())
    }
}

impl From<io::Error> for OpsError {
    fn from(source: io::Error) -> Self {
        Self::Spill { source }
    }
}
