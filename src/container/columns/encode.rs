//! Rows of cells into a payload.
//!
//! ```text
//! payload = rows (varint) || column* || literals
//! column  = head (1) || NULLs, if head says that some are || lists
//! head    = 0 no value is NULL | 1 all are | 2 some are: a bit a row follows; + 4 all fixed bytes are equal
//! lists   of a number      the numbers
//!         of a numeric     the scales (31: kept as bytes) || the units || the lengths of those kept as bytes
//!         of a text        the patterns' numbers + 1 (0: kept as bytes) || the lengths of those kept as
//!                          bytes || the first groups of digits || the second groups || …
//!         of bytes         the lengths
//!         of fixed bytes   none
//! literals = nothing, or length (varint; 0: not compressed) || the bytes of all columns
//! ```

use super::cells::{NUMERIC_AS_BYTES, first_integer};
use super::integers::{self, unzigzag};
use super::layout::{ColumnKind, ColumnLayout, Layout};
use super::{Malformed, bits};
use crate::container::varint::{self, Reader};

pub(super) const SOME_NULL: u8 = 2;
pub(super) const ALL_NULL: u8 = 1;
pub(super) const ALL_EQUAL: u8 = 4;

/// Fewer literal bytes are not worth a compressed frame.
const COMPRESSED_FROM_BYTES: usize = 160;
const COMPRESSION_LEVEL: i32 = 3;

/// Turns rows of cells into payloads; keeps its working memory between them.
pub struct Encoder {
    columns: Vec<Column>,
    rows: u64,
    literals: Vec<u8>,
    compressor: zstd::bulk::Compressor<'static>,
}

/// What was gathered of one column.
#[derive(Default)]
struct Column {
    /// Whether a row is NULL; empty as long as none is.
    nulls: Vec<bool>,
    null_count: usize,
    /// How many rows are not.
    values: usize,
    /// The numbers, the units, or the lengths of bytes.
    numbers: Vec<i64>,
    /// The scales, or the patterns' numbers.
    tags: Vec<i64>,
    lengths: Vec<i64>,
    groups: Vec<Vec<i64>>,
    bytes: Vec<u8>,
}

impl Column {
    fn clear(&mut self) {
        self.nulls.clear();
        self.null_count = 0;
        self.values = 0;
        self.numbers.clear();
        self.tags.clear();
        self.lengths.clear();
        self.groups.iter_mut().for_each(Vec::clear);
        self.bytes.clear();
    }
}

impl Encoder {
    /// An encoder.
    pub fn new() -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?;
        compressor.include_checksum(false)?;
        compressor.include_contentsize(true)?;
        Ok(Self { columns: Vec::new(), rows: 0, literals: Vec::new(), compressor })
    }

    /// Takes a row of cells. All rows of a payload have the same layout.
    pub fn push(&mut self, layout: &Layout, row: &[u8]) -> Result<(), Malformed> {
        if self.rows == 0 {
            self.columns.resize_with(layout.columns().len(), Column::default);
            self.columns.iter_mut().for_each(Column::clear);
        }
        self.rows += 1;
        let (rest, _) = row.split_last_chunk::<4>().ok_or(Malformed)?;
        let cells_bytes = rest.len().checked_sub(layout.null_bytes()).ok_or(Malformed)?;
        let (cells, nulls) = rest.split_at(cells_bytes);
        let mut cells = Reader(cells);
        for (place, (column, of)) in self.columns.iter_mut().zip(layout.columns()).enumerate() {
            if nulls[place / 8] >> (place % 8) & 1 == 1 {
                column.push_null();
            } else {
                column.take(of, place, &mut cells).ok_or(Malformed)?;
                column.values += 1;
            }
        }
        if cells.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// The payload of the rows since the last one.
    pub fn finish(&mut self, layout: &Layout) -> Result<Vec<u8>, Malformed> {
        let rows = std::mem::take(&mut self.rows);
        let mut payload = Vec::with_capacity(512);
        varint::put(&mut payload, rows);
        self.literals.clear();
        if rows > 0 {
            for (column, of) in self.columns.iter_mut().zip(layout.columns()) {
                column.put(of.kind, &mut payload, &mut self.literals);
            }
        }
        self.put_literals(&mut payload)?;
        Ok(payload)
    }

    fn put_literals(&mut self, payload: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.literals.is_empty() {
            return Ok(());
        }
        if self.literals.len() >= COMPRESSED_FROM_BYTES {
            // Fails only where memory does.
            let frame = self.compressor.compress(&self.literals).map_err(|_| Malformed)?;
            if frame.len() < self.literals.len() {
                varint::put(payload, frame.len() as u64);
                payload.extend_from_slice(&frame);
                return Ok(());
            }
        }
        payload.push(0);
        payload.extend_from_slice(&self.literals);
        Ok(())
    }
}

impl Column {
    fn push_null(&mut self) {
        self.nulls.resize(self.values + self.null_count, false);
        self.nulls.push(true);
        self.null_count += 1;
    }

    /// Takes a cell that is not NULL.
    fn take(&mut self, of: &ColumnLayout, place: usize, cells: &mut Reader<'_>) -> Option<()> {
        match of.kind {
            ColumnKind::Bytes => self.take_bytes(cells)?,
            ColumnKind::Text => {
                let number = cells.number()?;
                self.tags.push(number.cast_signed());
                match usize::try_from(number).ok()?.checked_sub(1) {
                    None => self.take_bytes(cells)?,
                    Some(pattern) => {
                        let groups = of.patterns.groups(pattern)?;
                        if self.groups.len() < groups {
                            self.groups.resize_with(groups, Vec::new);
                        }
                        for group in self.groups.iter_mut().take(groups) {
                            group.push(cells.number()?.cast_signed());
                        }
                    }
                }
            }
            ColumnKind::Numeric => {
                let scale = cells.byte()?;
                self.tags.push(scale.into());
                if scale == NUMERIC_AS_BYTES {
                    self.take_bytes(cells)?;
                } else {
                    self.numbers.push(unzigzag(cells.number()?));
                }
            }
            ColumnKind::Integer1
            | ColumnKind::Integer2
            | ColumnKind::Integer4
            | ColumnKind::Integer8 => self.numbers.push(if place == 0 {
                first_integer(cells.array()?)
            } else {
                unzigzag(cells.number()?)
            }),
            ColumnKind::Fixed4 => self.bytes.extend_from_slice(&cells.array::<4>()?),
            ColumnKind::Fixed8 => self.bytes.extend_from_slice(&cells.array::<8>()?),
            ColumnKind::Fixed16 => self.bytes.extend_from_slice(&cells.array::<16>()?),
        }
        Some(())
    }

    fn take_bytes(&mut self, cells: &mut Reader<'_>) -> Option<()> {
        let length = usize::try_from(cells.number()?).ok()?;
        let (value, rest) = cells.0.split_at_checked(length)?;
        cells.0 = rest;
        self.lengths.push(i64::try_from(length).ok()?);
        self.bytes.extend_from_slice(value);
        Some(())
    }

    /// Appends the column's head and lists to the payload, its bytes to the literals.
    fn put(&mut self, kind: ColumnKind, payload: &mut Vec<u8>, literals: &mut Vec<u8>) {
        let values = self.values;
        let equal = kind.fixed_bytes().filter(|width| {
            let mut all = self.bytes.chunks_exact(*width);
            let first = all.next();
            values > 1 && all.all(|value| Some(value) == first)
        });
        let nulls = match self.null_count {
            0 => 0,
            _ if values == 0 => ALL_NULL,
            _ => SOME_NULL,
        };
        payload.push(nulls | if equal.is_some() { ALL_EQUAL } else { 0 });
        if nulls == SOME_NULL {
            self.nulls.resize(values + self.null_count, false);
            bits::put(payload, 1, self.nulls.iter().map(|null| u64::from(*null)));
        }
        integers::put(payload, &self.tags);
        integers::put(payload, &self.numbers);
        integers::put(payload, &self.lengths);
        for group in &self.groups {
            integers::put(payload, group);
        }
        let bytes = equal.and_then(|width| self.bytes.get(..width)).unwrap_or(&self.bytes);
        literals.extend_from_slice(bytes);
    }
}
