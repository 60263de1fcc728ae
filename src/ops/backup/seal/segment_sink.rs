//! Rows in the order of subjects into sealed segments and index entries: one unit of one relation.

use super::sealed::Sealed;
use std::io;
use std::sync::Arc;

use crate::base::ids::{SourceId, SubjectReference, VaultId};
use crate::container::columns::{self, Encoder};
use crate::container::index_block::IndexEntry;
use crate::container::segment::{self, Codec, Compressor, RAW_BYTES_TARGET, Relation};
use crate::crypto::segment::{ContentMac, SegmentSealer};
use crate::ops::backup::index::previous::{Part, Previous, PreviousPartition};
use crate::ops::backup::pack_stream::PackStream;
use crate::ops::backup::read::forms::RowForm;
use crate::ops::backup::read::known_references::KnownReferences;
use crate::ops::backup::read::partitions::{RowSink, SortedRows};
use crate::vault::OpsError;
use crate::vault::subject_keys::{Resolved, SubjectKeys};

/// What a sealing thread works with, from one unit to the next.
pub struct SealingTools {
    /// Where segments go.
    pub packs: PackStream,
    /// The references of people whom a thread with these tools has met.
    pub known: KnownReferences,
    filling: Filling,
}

impl SealingTools {
    /// Tools that write to `packs`.
    pub fn new(packs: PackStream) -> Result<Self, OpsError> {
        let filling = Filling {
            compressor: Compressor::new().map_err(compressing)?,
            encoder: Encoder::new().map_err(compressing)?,
            lines: Vec::new(),
            rows: 0,
            raw_bytes: 0,
        };
        Ok(Self { packs, known: KnownReferences::default(), filling })
    }
}

fn compressing(source: io::Error) -> OpsError {
    OpsError::Compress { source }
}

/// Columns fail to be compressed only where memory does.
fn no_memory() -> OpsError {
    compressing(io::ErrorKind::OutOfMemory.into())
}

/// The one segment that is being filled.
struct Filling {
    compressor: Compressor,
    encoder: Encoder,
    lines: Vec<u8>,
    rows: u64,
    /// The rows' length as lines or tuples.
    raw_bytes: usize,
}

impl Filling {
    /// Takes a row; whether the segment is full.
    fn push(&mut self, form: &RowForm, row: &[u8]) -> Result<bool, OpsError> {
        self.rows += 1;
        match form {
            RowForm::Lines => {
                self.lines.extend_from_slice(row);
                self.raw_bytes += row.len();
            }
            RowForm::Tuples(layout) => {
                self.encoder.push(layout, row).map_err(|_| OpsError::Tuples)?;
                self.raw_bytes += columns::tuple_bytes(row);
            }
        }
        Ok(self.raw_bytes >= RAW_BYTES_TARGET)
    }

    /// The payload, and its rows and their length.
    fn finish(&mut self, form: &RowForm) -> Result<(Codec, Vec<u8>, u64, u64), OpsError> {
        let (codec, payload) = match form {
            RowForm::Lines => self.compressor.compress(&self.lines).map_err(compressing)?,
            RowForm::Tuples(layout) => {
                (Codec::Columns, self.encoder.finish(layout).map_err(|_| no_memory())?)
            }
        };
        self.lines.clear();
        let (rows, raw_bytes) =
            (std::mem::take(&mut self.rows), std::mem::take(&mut self.raw_bytes));
        Ok((codec, payload, rows, raw_bytes as u64))
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

/// Seals the rows of one unit. One segment at a time is being filled: of the commons, of a subject who
/// owns very many rows, or of the subject at hand.
pub struct SegmentSink<'a> {
    of: SegmentsOf<'a>,
    keys: &'a Arc<SubjectKeys>,
    tools: &'a mut SealingTools,
    /// What the previous backup has of the part at hand.
    before: Option<(Part, Option<PreviousPartition>)>,
    entries: Vec<IndexEntry>,
    heavy: Option<(SubjectReference, Resolved)>,
    sealed: Sealed,
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
            heavy: None,
            sealed: Sealed::default(),
        }
    }

    /// Takes a row that is nobody's.
    pub fn commons_row(&mut self, row: &[u8]) -> Result<(), OpsError> {
        if self.tools.filling.push(self.of.form, row)? { self.seal_commons() } else { Ok(()) }
    }

    /// Everything was handed over: the entries, ascending, and what was sealed.
    pub fn finish(mut self) -> Result<(Vec<IndexEntry>, Sealed), OpsError> {
        self.finish_heavy()?;
        self.seal_commons()?;
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
        let keys = Arc::clone(self.keys);
        self.seal(SubjectReference::COMMONS, keys.commons())
    }

    /// Seals the segment that is being filled, if there is a row in it.
    fn seal(&mut self, reference: SubjectReference, key: &[u8; 32]) -> Result<(), OpsError> {
        if self.tools.filling.rows == 0 {
            return Ok(());
        }
        let SegmentsOf { vault, source, relation, form, .. } = self.of;
        let (codec, payload, rows, raw_bytes) = self.tools.filling.finish(form)?;
        let layout = match form {
            RowForm::Lines => None,
            RowForm::Tuples(layout) => Some(&**layout),
        };
        let context = segment::context(vault, source, relation, reference, codec, layout);
        let sealer = SegmentSealer::new(key);
        let content_mac = sealer.content_mac(&context, &payload);
        let entry = if let Some(there) = self.find(reference, &content_mac, codec)? {
            there
        } else {
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
                raw_bytes,
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
    ) -> Result<(), OpsError> {
        match resolved {
            Resolved::Key(key) => self.seal(reference, key.expose()),
            Resolved::Erased => {
                let (_, _, rows, _) = self.tools.filling.finish(self.of.form)?;
                self.sealed.rows_of_erased += rows;
                self.keys.leave_out(reference, rows);
                Ok(())
            }
        }
    }

    fn finish_heavy(&mut self) -> Result<(), OpsError> {
        let Some((reference, resolved)) = self.heavy.take() else { return Ok(()) };
        self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        self.seal_resolved(reference, &resolved)
    }
}

impl RowSink for SegmentSink<'_> {
    type Error = OpsError;

    fn sorted(&mut self, rows: &SortedRows) -> Result<(), OpsError> {
        self.finish_heavy()?;
        let references: Vec<_> = rows.subjects().map(|(reference, _)| reference).collect();
        let resolved = self.keys.resolve(&references)?;
        for ((reference, rows), resolved) in rows.subjects().zip(&resolved) {
            for row in rows {
                if self.tools.filling.push(self.of.form, row)? {
                    self.seal_resolved(reference, resolved)?;
                }
            }
            self.seal_resolved(reference, resolved)?;
            self.sealed.subjects += u64::from(matches!(resolved, Resolved::Key(_)));
        }
        Ok(())
    }

    fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), OpsError> {
        if self.heavy.as_ref().is_none_or(|(heavy, _)| *heavy != reference) {
            self.finish_heavy()?;
            let resolved = self.keys.resolve(&[reference])?.pop();
            let resolved = resolved.ok_or(OpsError::Bug("a subject was not resolved"))?;
            self.heavy = Some((reference, resolved));
        }
        if self.tools.filling.push(self.of.form, row)?
            && let Some((reference, resolved)) = self.heavy.take()
        {
            self.seal_resolved(reference, &resolved)?;
            self.heavy = Some((reference, resolved));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::backup::read::spill::SpillError;
    use crate::vault::ErrorKind;

    #[test]
    fn only_what_fails_in_the_spill_folder_is_blamed_on_it() {
        let failed = || io::Error::other("failed");
        let spill = OpsError::from(SpillError(failed()));
        assert!(spill.to_string().contains("spill folder"), "{spill}");
        assert_eq!(spill.kind(), ErrorKind::Vault);
        let compressor = compressing(failed());
        assert!(!compressor.to_string().contains("spill"), "{compressor}");
        assert_eq!(compressor.kind(), ErrorKind::Internal);
        assert!(!no_memory().to_string().contains("database"), "{}", no_memory());
    }
}
