//! One row in memory between the server and its segment: cells, compact and in a form that sorts.
//!
//! ```text
//! row  = cell of every column that is not NULL || NULLs (a bit a column) || length of the tuple (4)
//! cell of a number    zigzag varint; in the first column eight bytes, so that rows sort by it
//! cell of a numeric   scale (1) || units (zigzag varint), or 31 || length (varint) || bytes
//! cell of a text      pattern's number + 1 (varint) || groups (varints), or 0 || length || bytes
//! cell of bytes       length (varint) || bytes
//! cell of fixed bytes the bytes
//! ```
//!
//! This form is not stored; it may change.

use super::integers::zigzag;
use super::layout::{ColumnKind, Layout};
use super::patterns::Found;
use super::{Malformed, numeric};
use crate::container::varint;

/// A numeric that is kept as bytes.
pub(super) const NUMERIC_AS_BYTES: u8 = numeric::SCALE_MAX + 1;
const SIGN: u64 = 1 << 63;

/// The fields of a binary tuple: `u16` how many, then each with its length (`i32`, -1 for NULL).
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The number of fields, and the fields.
    pub fn of(tuple: &'a [u8]) -> Result<(usize, Self), Malformed> {
        let (count, rest) = tuple.split_first_chunk::<2>().ok_or(Malformed)?;
        Ok((usize::from(u16::from_be_bytes(*count)), Self(rest)))
    }

    /// What is left after the fields that were taken.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next field.
    pub fn take(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            self.0 = rest;
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (field, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Some(field))
    }
}

/// Turns tuples into rows of cells.
#[derive(Default)]
pub struct CellWriter {
    found: Found,
    nulls: Vec<u8>,
}

impl CellWriter {
    /// Appends the cells of `fields`, which must be the columns of the layout and no more.
    pub fn write(
        &mut self,
        layout: &Layout,
        mut fields: Fields<'_>,
        row: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.nulls.clear();
        self.nulls.resize(layout.null_bytes(), 0);
        let tuple_bytes = u32::try_from(2 + fields.0.len()).map_err(|_| Malformed)?;
        for (place, column) in layout.columns().iter().enumerate() {
            let Some(value) = fields.take()? else {
                self.nulls[place / 8] |= 1 << (place % 8);
                continue;
            };
            match column.kind {
                ColumnKind::Bytes => put_bytes(row, value),
                ColumnKind::Text => {
                    let patterns = &column.patterns;
                    let number = (!patterns.is_empty() && self.found.take_apart(value))
                        .then(|| patterns.number(&self.found))
                        .flatten();
                    if let Some(number) = number {
                        varint::put(row, number as u64 + 1);
                        self.found.groups.iter().for_each(|group| varint::put(row, *group));
                    } else {
                        row.push(0);
                        put_bytes(row, value);
                    }
                }
                ColumnKind::Numeric => {
                    if let Some((units, scale)) = numeric::read(value) {
                        row.push(scale);
                        varint::put(row, zigzag(units));
                    } else {
                        row.push(NUMERIC_AS_BYTES);
                        put_bytes(row, value);
                    }
                }
                ColumnKind::Integer1 => {
                    put_integer(row, place, array(value).map(i8::from_be_bytes)?.into());
                }
                ColumnKind::Integer2 => {
                    put_integer(row, place, array(value).map(i16::from_be_bytes)?.into());
                }
                ColumnKind::Integer4 => {
                    put_integer(row, place, array(value).map(i32::from_be_bytes)?.into());
                }
                ColumnKind::Integer8 => {
                    put_integer(row, place, array(value).map(i64::from_be_bytes)?);
                }
                ColumnKind::Fixed4 => row.extend_from_slice(&array::<4>(value)?),
                ColumnKind::Fixed8 => row.extend_from_slice(&array::<8>(value)?),
                ColumnKind::Fixed16 => row.extend_from_slice(&array::<16>(value)?),
            }
        }
        row.extend_from_slice(&self.nulls);
        row.extend_from_slice(&tuple_bytes.to_le_bytes());
        if fields.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn array<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed)
}

fn put_bytes(row: &mut Vec<u8>, value: &[u8]) {
    varint::put(row, value.len() as u64);
    row.extend_from_slice(value);
}

fn put_integer(row: &mut Vec<u8>, place: usize, number: i64) {
    if place == 0 {
        row.extend_from_slice(&(number.cast_unsigned() ^ SIGN).to_be_bytes());
    } else {
        varint::put(row, zigzag(number));
    }
}

/// How long the tuple of a row of cells is, in bytes.
#[must_use]
pub fn tuple_bytes(row: &[u8]) -> usize {
    row.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

/// The number that [`put_integer`] wrote in the first column.
pub(super) fn first_integer(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ SIGN).cast_signed()
}
