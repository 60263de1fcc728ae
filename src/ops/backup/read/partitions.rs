//! From the server's row order to the order of subjects, in bounded memory.
//!
//! Every reader of a table deals its rows into 256 partitions by the first byte of their subject
//! reference (a keyed hash, so the partitions are even). What exceeds the memory budget is spilled. At
//! the end partitions of all readers are taken together, a few at a time, and sorted, which gives all
//! rows in ascending order of references. A partition that is much larger than others is dealt again by
//! its next byte; a subject who owns most of it is handed on as her rows come, so that one person with
//! millions of rows costs no more than millions of people.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::spill::{Spill, SpillError, SpilledChunk};
use crate::base::ids::SubjectReference;
use crate::base::random;

const PARTITIONS: usize = 256;
/// reference (16) || row length (4), before every row.
const HEAD_BYTES: usize = SubjectReference::BYTES + 4;
/// Partitions are sorted together up to this many bytes, if the budget allows it.
const TOGETHER_BYTES_MAX: usize = 8 << 20;
/// Rows are gathered in pieces of so many bytes; a longer row is a piece by itself.
const PIECE_BYTES: usize = 16 << 10;
/// A reader tells the budget of its rows after so many bytes.
const TOLD_BYTES: usize = 256 << 10;

/// Memory for rows that wait to be sealed, for all readers together.
pub struct MemoryBudget {
    bytes_max: usize,
    used_bytes: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of about `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, used_bytes: AtomicUsize::new(0) })
    }

    /// Takes bytes; whether that is too many.
    fn take(&self, bytes: usize) -> bool {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What is sorted at one time by one thread.
    fn sorted_bytes_max(&self) -> usize {
        self.bytes_max / 8
    }
}

/// What becomes of the rows, in the order of the calls.
pub trait RowSink {
    /// Why it could not go on.
    type Error: From<SpillError>;

    /// Some subjects' rows, sorted: every row of each of these subjects that was not handed over
    /// by [`RowSink::heavy_row`].
    fn sorted(&mut self, rows: &SortedRows) -> Result<(), Self::Error>;

    /// One row of a subject who owns very many. Her rows come together, but before subjects with
    /// lower references of the same partition.
    fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), Self::Error>;
}

type Pieces = Vec<Vec<u8>>;

/// One reader's rows, dealt by one byte of their references.
pub struct Partitions {
    byte: usize,
    budget: Arc<MemoryBudget>,
    spill_folder: PathBuf,
    /// Of each partition, pieces that hold whole rows; the last one is being filled.
    buffers: Vec<Pieces>,
    buffered_bytes: usize,
    told_bytes: usize,
    spilled: Vec<Vec<SpilledChunk>>,
    spill: Option<Spill>,
}

impl Drop for Partitions {
    fn drop(&mut self) {
        self.budget.give_back(self.told_bytes);
    }
}

impl Partitions {
    /// Empty partitions that spill what exceeds the budget.
    #[must_use]
    pub fn new(budget: &Arc<MemoryBudget>, spill_folder: &Path) -> Self {
        Self::by_byte(0, budget, spill_folder)
    }

    fn by_byte(byte: usize, budget: &Arc<MemoryBudget>, spill_folder: &Path) -> Self {
        Self {
            byte,
            budget: Arc::clone(budget),
            spill_folder: spill_folder.to_owned(),
            buffers: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            buffered_bytes: 0,
            told_bytes: 0,
            spilled: vec![Vec::new(); PARTITIONS],
            spill: None,
        }
    }

    /// Takes one row.
    pub fn push(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), SpillError> {
        let length =
            u32::try_from(row.len()).map_err(|_| SpillError(io::ErrorKind::FileTooLarge.into()))?;
        let pieces = &mut self.buffers[usize::from(reference.0[self.byte])];
        let buffer = match pieces.last_mut() {
            Some(last) if last.len() + HEAD_BYTES + row.len() <= last.capacity() => last,
            _ => {
                // Small tables need little: a piece is as large as all before it.
                let pieces_bytes: usize = pieces.iter().map(Vec::len).sum();
                let piece_bytes = pieces_bytes.clamp(256, PIECE_BYTES).max(HEAD_BYTES + row.len());
                pieces.push_mut(Vec::with_capacity(piece_bytes))
            }
        };
        let mut head = [0; HEAD_BYTES];
        head[..SubjectReference::BYTES].copy_from_slice(&reference.0);
        head[SubjectReference::BYTES..].copy_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(&head);
        buffer.extend_from_slice(row);
        self.buffered_bytes += HEAD_BYTES + row.len();
        let new = self.buffered_bytes - self.told_bytes;
        if new < TOLD_BYTES.min(self.budget.bytes_max) {
            return Ok(());
        }
        self.told_bytes = self.buffered_bytes;
        let is_too_much = self.budget.take(new);
        // Not in crumbs, when others hold the whole budget.
        if is_too_much && self.buffered_bytes >= self.budget.bytes_max / 16 {
            self.spill_all()
        } else {
            Ok(())
        }
    }

    fn spill_all(&mut self) -> Result<(), SpillError> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create(&self.spill_folder, &mut random::system())?),
        };
        for (pieces, chunks) in self.buffers.iter_mut().zip(&mut self.spilled) {
            for piece in std::mem::take(pieces) {
                chunks.push(spill.write(piece)?);
            }
        }
        self.budget.give_back(self.told_bytes);
        self.buffered_bytes = 0;
        self.told_bytes = 0;
        Ok(())
    }
}

/// All readers' rows of one table, ready to be handed over.
pub struct Gathered {
    readers: Vec<Partitions>,
    dealt: Vec<Mutex<Dealt>>,
    /// What of the budget these rows hold.
    held_bytes: AtomicUsize,
    /// Partitions that are handed over together.
    units: Vec<Range<usize>>,
}

/// One partition: of each reader, in their order, what was spilled and what was not.
#[derive(Default)]
struct Dealt {
    parts: Vec<(Vec<SpilledChunk>, Pieces)>,
}

impl Dealt {
    fn bytes(&self) -> usize {
        let chunks = self.parts.iter().flat_map(|(chunks, _)| chunks);
        chunks.map(|chunk| chunk.raw_bytes).sum::<usize>() + self.bytes_in_memory()
    }

    fn bytes_in_memory(&self) -> usize {
        self.parts.iter().flat_map(|(_, pieces)| pieces).map(Vec::len).sum()
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        if let Some(first) = self.readers.first() {
            first.budget.give_back(self.held_bytes.load(Ordering::Relaxed));
        }
    }
}

impl Gathered {
    /// What the readers of one table have read. Their order is that of the table.
    #[must_use]
    pub fn new(mut readers: Vec<Partitions>) -> Self {
        let mut dealt: Vec<Dealt> = (0..PARTITIONS).map(|_| Dealt::default()).collect();
        let mut held_bytes = 0;
        for reader in &mut readers {
            held_bytes += std::mem::take(&mut reader.told_bytes);
            let buffers = reader.buffers.iter_mut().map(std::mem::take);
            let chunks = reader.spilled.iter_mut().map(std::mem::take);
            for ((dealt, chunks), buffer) in dealt.iter_mut().zip(chunks).zip(buffers) {
                dealt.parts.push((chunks, buffer));
            }
        }
        let together = readers
            .first()
            .map_or(0, |reader| TOGETHER_BYTES_MAX.min(reader.budget.sorted_bytes_max()));
        let mut units: Vec<Range<usize>> = Vec::new();
        let mut unit_bytes = 0;
        for (partition, dealt) in dealt.iter().enumerate() {
            unit_bytes += dealt.bytes();
            match units.last_mut() {
                Some(unit) if unit_bytes <= together => unit.end = partition + 1,
                _ => {
                    units.push(partition..partition + 1);
                    unit_bytes = dealt.bytes();
                }
            }
        }
        let dealt = dealt.into_iter().map(Mutex::new).collect();
        Self { readers, dealt, held_bytes: AtomicUsize::new(held_bytes), units }
    }

    /// How many units there are.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// The first bytes of a unit's references.
    pub fn first_bytes(&self, unit: usize) -> impl Iterator<Item = u8> + use<> {
        let range = self.units.get(unit).cloned().unwrap_or_default();
        range.filter_map(|byte| u8::try_from(byte).ok())
    }

    /// Hands one unit over. Every row of its subjects is in it; units ascend. Once a unit, from any
    /// thread.
    pub fn hand_over<S: RowSink>(&self, unit: usize, sink: &mut S) -> Result<(), S::Error> {
        let (Some(range), Some(first)) = (self.units.get(unit), self.readers.first()) else {
            return Ok(());
        };
        let unit: Vec<Dealt> = self
            .dealt
            .get(range.clone())
            .into_iter()
            .flatten()
            .map(|dealt| std::mem::take(&mut *dealt.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        let bytes: usize = unit.iter().map(Dealt::bytes).sum();
        let in_memory: usize = unit.iter().map(Dealt::bytes_in_memory).sum();
        let last_byte = first.byte + 1 == SubjectReference::BYTES;
        let handed_over = if bytes > first.budget.sorted_bytes_max() && !last_byte {
            unit.into_iter().try_for_each(|dealt| self.deal_again(&dealt, sink))
        } else {
            let mut pieces = Vec::new();
            for dealt in unit {
                self.take_pieces(dealt, &mut pieces)?;
            }
            if pieces.is_empty() { Ok(()) } else { sink.sorted(&SortedRows::new(pieces)) }
        };
        // What the budget has not been told of is not given back either.
        let held = self.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            Some(held.saturating_sub(in_memory))
        });
        first.budget.give_back(held.map_or(0, |held| held.min(in_memory)));
        handed_over
    }

    /// Takes what was dealt.
    fn take_pieces(&self, dealt: Dealt, all: &mut Pieces) -> Result<(), SpillError> {
        for (reader, (chunks, pieces)) in self.readers.iter().zip(dealt.parts) {
            if let Some(spill) = &reader.spill {
                for chunk in chunks {
                    all.push(spill.read(chunk)?);
                }
            }
            all.extend(pieces);
        }
        Ok(())
    }

    /// What was dealt, piece by piece in the order in which it came.
    fn each_piece<E: From<SpillError>>(
        &self,
        dealt: &Dealt,
        mut piece: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (reader, (chunks, pieces)) in self.readers.iter().zip(&dealt.parts) {
            if let Some(spill) = &reader.spill {
                for chunk in chunks {
                    piece(&spill.read(*chunk)?)?;
                }
            }
            pieces.iter().try_for_each(|one| piece(one))?;
        }
        Ok(())
    }

    /// A partition that is too large: the subject who owns most of it goes straight on, the rest is
    /// dealt by the next byte.
    fn deal_again<S: RowSink>(&self, dealt: &Dealt, sink: &mut S) -> Result<(), S::Error> {
        let Some(first) = self.readers.first() else { return Ok(()) };
        let mut majority = Majority::default();
        self.each_piece(dealt, |records| {
            Records(records).for_each(|(reference, row)| majority.weigh(reference, row.len()));
            Ok::<_, SpillError>(())
        })?;
        let mut rest = Partitions::by_byte(first.byte + 1, &first.budget, &first.spill_folder);
        self.each_piece(dealt, |records| {
            for (reference, row) in Records(records) {
                if Some(reference) == majority.candidate {
                    sink.heavy_row(reference, &records[row])?;
                } else {
                    rest.push(reference, &records[row])?;
                }
            }
            Ok::<_, S::Error>(())
        })?;
        let rest = Self::new(vec![rest]);
        (0..rest.units()).try_for_each(|unit| rest.hand_over(unit, sink))
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
    pieces: Pieces,
    rows: Vec<SortedRow>,
}

/// A row's place, and what nearly always decides on its order. Small: sorting moves it about.
struct SortedRow {
    reference: u128,
    /// The first bytes of the row.
    begins: u64,
    piece: u32,
    /// Where its record begins.
    start: u32,
}

impl SortedRow {
    fn bytes<'a>(&self, pieces: &'a Pieces) -> &'a [u8] {
        let record = &pieces[self.piece as usize][self.start as usize..];
        // Always there: only whole records are listed.
        Records(record).into_iter().next().map_or(&[], |(_, row)| &record[row])
    }
}

impl SortedRows {
    /// Cannot truncate: a piece is 16 KiB or one row, and a row is below 2^32 bytes.
    #[allow(clippy::cast_possible_truncation)]
    fn new(pieces: Pieces) -> Self {
        let mut rows = Vec::with_capacity(pieces.iter().map(Vec::len).sum::<usize>() / 64);
        for (records, piece) in pieces.iter().zip(0..) {
            for (reference, row) in Records(records) {
                let bytes = &records[row.clone()];
                let begins = bytes.first_chunk::<8>().copied().unwrap_or_else(|| {
                    let mut begins = [0; 8];
                    begins[..bytes.len()].copy_from_slice(bytes);
                    begins
                });
                rows.push(SortedRow {
                    reference: u128::from_be_bytes(reference.0),
                    begins: u64::from_be_bytes(begins),
                    piece,
                    start: (row.start - HEAD_BYTES) as u32,
                });
            }
        }
        rows.sort_unstable_by(|one, other| {
            (one.reference, one.begins)
                .cmp(&(other.reference, other.begins))
                .then_with(|| one.bytes(&pieces).cmp(other.bytes(&pieces)))
        });
        Self { pieces, rows }
    }

    /// The subjects, each with her rows.
    pub fn subjects(
        &self,
    ) -> impl Iterator<Item = (SubjectReference, impl Iterator<Item = &[u8]>)> {
        self.rows.chunk_by(|one, other| one.reference == other.reference).map(|rows| {
            let reference = SubjectReference(rows[0].reference.to_be_bytes());
            (reference, rows.iter().map(|one| one.bytes(&self.pieces)))
        })
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
    }

    impl RowSink for Collected {
        type Error = SpillError;

        fn sorted(&mut self, rows: &SortedRows) -> Result<(), SpillError> {
            self.sorted.extend(
                rows.subjects().map(|(one, rows)| (one, rows.map(<[u8]>::to_vec).collect())),
            );
            Ok(())
        }

        fn heavy_row(&mut self, reference: SubjectReference, row: &[u8]) -> Result<(), SpillError> {
            self.heavy.push((reference, row.to_vec()));
            Ok(())
        }
    }

    fn run(budget_bytes: usize, rows: &[(SubjectReference, Vec<u8>)], readers: usize) -> Collected {
        let folder = tempfile::tempdir().unwrap();
        let budget = MemoryBudget::new(budget_bytes);
        let mut partitions: Vec<_> =
            (0..readers).map(|_| Partitions::new(&budget, folder.path())).collect();
        let share = rows.len().div_ceil(readers).max(1);
        for (place, (reference, row)) in rows.iter().enumerate() {
            partitions[place / share].push(*reference, row).unwrap();
        }
        let gathered = Gathered::new(partitions);
        let mut collected = Collected::default();
        for unit in 0..gathered.units() {
            gathered.hand_over(unit, &mut collected).unwrap();
        }
        drop(gathered);
        assert_eq!(budget.used_bytes.load(Ordering::Relaxed), 0);
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
            readers in 1_usize..4,
        ) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(number, row)| (reference(number.wrapping_mul(0x0051_7cc1)), row))
                .collect();
            let collected = run(budget_bytes, &rows, readers);
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
        let collected = run(80_000, &rows, 2);
        assert_eq!(collected.heavy.len(), 5000);
        assert_eq!(collected.sorted, [(reference(8), vec![b"other".to_vec()])]);
    }
}
