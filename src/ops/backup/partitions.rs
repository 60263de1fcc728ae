//! From the server's row order to the order of subjects, in bounded memory.
//!
//! Rows are dealt into 256 partitions by the first byte of their subject reference (a keyed hash,
//! so the partitions are even). What exceeds the memory budget is spilled. At the end the partitions are
//! read one after the other and sorted, which gives all rows in ascending order of references. A
//! partition that is larger than the budget is dealt again by its next byte; a subject who owns most
//! of it is handed on as her rows come, so that one person with millions of rows costs no more than
//! millions of people.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::spill::{Spill, SpilledChunk};
use crate::ids::SubjectReference;
use crate::random;

const PARTITIONS: usize = 256;
/// reference (16) || row length (4), before every row.
const HEAD_BYTES: usize = SubjectReference::BYTES + 4;

/// What becomes of the rows, in the order of the calls.
pub trait RowSink {
    /// Why it could not go on.
    type Error: From<io::Error>;

    /// A few subjects' rows, sorted: every row of each of these subjects that was not handed over
    /// by [`RowSink::heavy_row`].
    fn sorted(&mut self, rows: &SortedRows) -> Result<(), Self::Error>;

    /// One row of a subject who owns very many. Her rows come together, but before subjects with
    /// lower references of the same partition.
    fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), Self::Error>;

    /// Everything with this first byte has been handed over.
    fn end_of_partition(&mut self) -> Result<(), Self::Error>;
}

/// Rows dealt by one byte of their references.
pub struct Partitions {
    byte: usize,
    budget_bytes: usize,
    spill_folder: PathBuf,
    buffers: Vec<Vec<u8>>,
    buffered_bytes: usize,
    spilled: Vec<Vec<SpilledChunk>>,
    spill: Option<Spill>,
}

impl Partitions {
    /// Empty partitions that keep about `budget_bytes` in memory.
    #[must_use]
    pub fn new(budget_bytes: usize, spill_folder: &Path) -> Self {
        Self::by_byte(0, budget_bytes, spill_folder)
    }

    fn by_byte(byte: usize, budget_bytes: usize, spill_folder: &Path) -> Self {
        Self {
            byte,
            budget_bytes,
            spill_folder: spill_folder.to_owned(),
            buffers: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            buffered_bytes: 0,
            spilled: vec![Vec::new(); PARTITIONS],
            spill: None,
        }
    }

    /// Takes one row.
    pub fn push(&mut self, reference: SubjectReference, row: &[u8]) -> io::Result<()> {
        let length = u32::try_from(row.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let buffer = &mut self.buffers[usize::from(reference.0[self.byte])];
        buffer.extend_from_slice(&reference.0);
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(row);
        self.buffered_bytes += HEAD_BYTES + row.len();
        if self.buffered_bytes > self.budget_bytes { self.spill_all() } else { Ok(()) }
    }

    /// Hands all rows over.
    pub fn finish<S: RowSink>(mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.spill.is_some() {
            self.spill_all()?;
        }
        for partition in 0..PARTITIONS {
            self.finish_partition(partition, sink)?;
            if self.byte == 0 {
                sink.end_of_partition()?;
            }
        }
        Ok(())
    }

    fn finish_partition<S: RowSink>(
        &mut self,
        partition: usize,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let buffer = std::mem::take(&mut self.buffers[partition]);
        let chunks = std::mem::take(&mut self.spilled[partition]);
        let raw_bytes: usize = chunks.iter().map(|chunk| chunk.raw_bytes).sum();
        let last_byte = self.byte + 1 == SubjectReference::BYTES;
        if buffer.len() + raw_bytes <= self.budget_bytes || last_byte {
            let mut records = buffer;
            if let Some(spill) = &self.spill {
                records.reserve_exact(raw_bytes);
                for chunk in chunks {
                    records.extend_from_slice(&spill.read(chunk)?);
                }
            }
            if records.is_empty() { Ok(()) } else { sink.sorted(&SortedRows::new(records)) }
        } else {
            self.deal_again(&chunks, sink)
        }
    }

    /// A partition larger than the budget (so all of it is spilled): the subject who owns most of
    /// it goes straight on, the rest is dealt by the next byte.
    fn deal_again<S: RowSink>(
        &self,
        chunks: &[SpilledChunk],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some(spill) = &self.spill else { return Ok(()) };
        let mut majority = Majority::default();
        for chunk in chunks {
            let records = spill.read(*chunk)?;
            Records(&records).for_each(|(reference, row)| majority.weigh(reference, row.len()));
        }
        let mut rest = Self::by_byte(self.byte + 1, self.budget_bytes, &self.spill_folder);
        for chunk in chunks {
            let records = spill.read(*chunk)?;
            for (reference, row) in Records(&records) {
                if Some(reference) == majority.candidate {
                    sink.heavy_row(reference, &records[row])?;
                } else {
                    rest.push(reference, &records[row])?;
                }
            }
        }
        rest.finish(sink)
    }

    fn spill_all(&mut self) -> io::Result<()> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create(&self.spill_folder, &mut random::system())?),
        };
        for (buffer, chunks) in self.buffers.iter_mut().zip(&mut self.spilled) {
            if !buffer.is_empty() {
                chunks.push(spill.write(buffer)?);
                // The capacity goes too: what a partition held once says nothing of the next time.
                *buffer = Vec::new();
            }
        }
        self.buffered_bytes = 0;
        Ok(())
    }
}

/// Finds the subject who owns more than half of the bytes, if there is one (Boyer and Moore's
/// majority vote, weighted). Where there is none, any candidate is harmless.
#[derive(Default)]
struct Majority {
    candidate: Option<SubjectReference>,
    weight: usize,
}

impl Majority {
    fn weigh(&mut self, reference: SubjectReference, bytes: usize) {
        if self.candidate == Some(reference) {
            self.weight += bytes;
        } else if self.weight >= bytes {
            self.weight -= bytes;
        } else {
            self.candidate = Some(reference);
            self.weight = bytes - self.weight;
        }
    }
}

/// Walks over records: the reference, and where the row lies.
struct Records<'a>(&'a [u8]);

struct RecordsIterator<'a> {
    records: &'a [u8],
    position: usize,
}

impl<'a> IntoIterator for Records<'a> {
    type Item = (SubjectReference, Range<usize>);
    type IntoIter = RecordsIterator<'a>;

    fn into_iter(self) -> RecordsIterator<'a> {
        RecordsIterator { records: self.0, position: 0 }
    }
}

impl Records<'_> {
    fn for_each(self, visit: impl FnMut((SubjectReference, Range<usize>))) {
        self.into_iter().for_each(visit);
    }
}

impl Iterator for RecordsIterator<'_> {
    type Item = (SubjectReference, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (reference, rest) = self.records.get(self.position..)?.split_first_chunk::<16>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        let start = self.position + HEAD_BYTES;
        let end = start + u32::from_le_bytes(*length) as usize;
        self.position = end;
        Some((SubjectReference(*reference), start..end))
    }
}

/// Rows in ascending order of reference, then of their bytes: equal rows give equal segments, in
/// whatever order the server sent them.
pub struct SortedRows {
    records: Vec<u8>,
    rows: Vec<(SubjectReference, Range<usize>)>,
}

impl SortedRows {
    fn new(records: Vec<u8>) -> Self {
        let mut rows: Vec<_> = Records(&records).into_iter().collect();
        rows.sort_unstable_by(|(one, one_row), (other, other_row)| {
            one.cmp(other).then_with(|| records[one_row.clone()].cmp(&records[other_row.clone()]))
        });
        Self { records, rows }
    }

    /// The subjects, each with her rows.
    pub fn subjects(
        &self,
    ) -> impl Iterator<Item = (SubjectReference, impl Iterator<Item = &[u8]>)> {
        self.rows
            .chunk_by(|(one, _), (other, _)| one == other)
            .map(|rows| (rows[0].0, rows.iter().map(|(_, row)| &self.records[row.clone()])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Collected {
        sorted: Vec<(SubjectReference, Vec<Vec<u8>>)>,
        heavy: Vec<(SubjectReference, Vec<u8>)>,
        ends: usize,
    }

    impl RowSink for Collected {
        type Error = io::Error;

        fn sorted(&mut self, rows: &SortedRows) -> io::Result<()> {
            self.sorted.extend(
                rows.subjects().map(|(one, rows)| (one, rows.map(<[u8]>::to_vec).collect())),
            );
            Ok(())
        }

        fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> io::Result<()> {
            self.heavy.push((reference, row.to_vec()));
            Ok(())
        }

        fn end_of_partition(&mut self) -> io::Result<()> {
            self.ends += 1;
            Ok(())
        }
    }

    fn run(budget_bytes: usize, rows: &[(SubjectReference, Vec<u8>)]) -> Collected {
        let folder = tempfile::tempdir().unwrap();
        let mut partitions = Partitions::new(budget_bytes, folder.path());
        for (reference, row) in rows {
            partitions.push(*reference, row).unwrap();
        }
        let mut collected = Collected::default();
        partitions.finish(&mut collected).unwrap();
        collected
    }

    fn reference(number: u32) -> SubjectReference {
        let mut reference = [1; 16];
        reference[..4].copy_from_slice(&number.to_be_bytes());
        SubjectReference(reference)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_row_is_lost_or_doubled_at_any_budget(
            rows in prop::collection::vec((0_u32..2000, prop::collection::vec(any::<u8>(), 0..40)), 0..400),
            budget_bytes in 64_usize..20_000,
        ) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(number, row)| (reference(number.wrapping_mul(0x0051_7cc1)), row))
                .collect();
            let collected = run(budget_bytes, &rows);
            prop_assert_eq!(collected.ends, 256);
            prop_assert!(collected.sorted.is_sorted_by_key(|(one, _)| *one));
            let mut expected = rows;
            let mut found = collected.heavy;
            for (one, rows) in collected.sorted {
                prop_assert!(rows.is_sorted());
                found.extend(rows.into_iter().map(|row| (one, row)));
            }
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn one_person_who_owns_nearly_everything_is_handed_on_as_her_rows_come() {
        let mut rows: Vec<_> = (0..5000).map(|_| (reference(7), vec![b'x'; 30])).collect();
        rows.push((reference(8), b"other".to_vec()));
        let collected = run(10_000, &rows);
        assert_eq!(collected.heavy.len(), 5000);
        assert_eq!(collected.sorted, [(reference(8), vec![b"other".to_vec()])]);
    }
}
