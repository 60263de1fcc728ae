//! A payload back into tuples.

use super::cells::NUMERIC_AS_BYTES;
use super::encode::{ALL_EQUAL, ALL_NULL, SOME_NULL};
use super::integers;
use super::layout::{ColumnKind, ColumnLayout, Layout};
use super::numeric;
use super::{Malformed, bits};
use crate::container::varint::Reader;

/// The tuples of a payload, which must be `rows` and `tuple_bytes` long, as the index says.
///
/// Allocates in proportion to `tuple_bytes`, which the caller has bounded.
pub fn decode(
    layout: &Layout,
    payload: &[u8],
    rows: u64,
    tuple_bytes: u64,
) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader(payload);
    let fields = u16::try_from(layout.columns().len()).map_err(|_| Malformed)?;
    let least = (2 + 4 * u64::from(fields)).checked_mul(rows).ok_or(Malformed)?;
    if reader.number() != Some(rows) || least > tuple_bytes {
        return Err(Malformed);
    }
    let rows = usize::try_from(rows).map_err(|_| Malformed)?;
    let tuple_bytes = usize::try_from(tuple_bytes).map_err(|_| Malformed)?;

    let mut rest = reader.0;
    let mut columns = Vec::with_capacity(layout.columns().len());
    let mut literal_bytes = 0_usize;
    // Every group is a digit at least.
    let mut groups_max = tuple_bytes;
    for of in layout.columns() {
        let column = Column::take(of, rows, &mut groups_max, &mut rest)?;
        literal_bytes = literal_bytes.checked_add(column.literal_bytes()?).ok_or(Malformed)?;
        columns.push(column);
    }
    if literal_bytes > tuple_bytes {
        return Err(Malformed);
    }
    let literals = take_literals(rest, literal_bytes)?;
    let mut left = &literals[..];
    for column in &mut columns {
        let (own, after) = left.split_at_checked(column.literal_bytes()?).ok_or(Malformed)?;
        column.literals = own;
        left = after;
    }

    let mut tuples = Vec::with_capacity(tuple_bytes);
    for row in 0..rows {
        tuples.extend_from_slice(&fields.to_be_bytes());
        for column in &mut columns {
            column.write(row, &mut tuples).ok_or(Malformed)?;
        }
        if tuples.len() > tuple_bytes {
            return Err(Malformed);
        }
    }
    if tuples.len() == tuple_bytes && columns.iter().all(Column::is_used_up) {
        Ok(tuples)
    } else {
        Err(Malformed)
    }
}

fn take_literals(bytes: &[u8], length: usize) -> Result<Vec<u8>, Malformed> {
    if length == 0 {
        return if bytes.is_empty() { Ok(Vec::new()) } else { Err(Malformed) };
    }
    let mut reader = Reader(bytes);
    let compressed = reader.number().ok_or(Malformed)?;
    let literals = if compressed == 0 {
        reader.0.to_vec()
    } else if compressed == reader.0.len() as u64 {
        zstd::bulk::decompress(reader.0, length).map_err(|_| Malformed)?
    } else {
        return Err(Malformed);
    };
    if literals.len() == length { Ok(literals) } else { Err(Malformed) }
}

/// One column on its way back; the lists are used up from their beginnings.
struct Column<'a> {
    of: &'a ColumnLayout,
    nulls: Nulls,
    all_equal: bool,
    values: usize,
    tags: std::vec::IntoIter<i64>,
    numbers: std::vec::IntoIter<i64>,
    lengths: std::vec::IntoIter<i64>,
    groups: Vec<std::vec::IntoIter<i64>>,
    length_sum: usize,
    literals: &'a [u8],
}

enum Nulls {
    None,
    All,
    Some(Vec<bool>),
}

impl<'a> Column<'a> {
    fn take(
        of: &'a ColumnLayout,
        rows: usize,
        groups_max: &mut usize,
        bytes: &mut &[u8],
    ) -> Result<Self, Malformed> {
        let (&head, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        let all_equal = head & ALL_EQUAL != 0;
        let (nulls, values) = match head & !ALL_EQUAL {
            0 => (Nulls::None, rows),
            ALL_NULL => (Nulls::All, 0),
            SOME_NULL => {
                let mut nulls = Vec::with_capacity(rows);
                bits::take(bytes, 1, rows, |bit| nulls.push(bit == 1))?;
                let values = nulls.iter().filter(|null| !**null).count();
                (Nulls::Some(nulls), values)
            }
            _ => return Err(Malformed),
        };
        if all_equal && (of.kind.fixed_bytes().is_none() || values == 0) {
            return Err(Malformed);
        }
        let (mut tags, mut numbers, mut lengths, mut groups) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        match of.kind {
            ColumnKind::Bytes => lengths = integers::take(bytes, values)?,
            ColumnKind::Numeric => {
                tags = integers::take(bytes, values)?;
                let other = i64::from(NUMERIC_AS_BYTES);
                if tags.iter().any(|tag| !(0..=other).contains(tag)) {
                    return Err(Malformed);
                }
                let others = tags.iter().filter(|tag| **tag == other).count();
                numbers = integers::take(bytes, values - others)?;
                lengths = integers::take(bytes, others)?;
            }
            ColumnKind::Text => {
                tags = integers::take(bytes, values)?;
                let others = tags.iter().filter(|tag| **tag == 0).count();
                lengths = integers::take(bytes, others)?;
                groups = take_groups(of, &tags, groups_max, bytes)?;
            }
            _ if of.kind.integer_bytes().is_some() => numbers = integers::take(bytes, values)?,
            _ => {}
        }
        let mut length_sum = 0_usize;
        for length in &lengths {
            let length = usize::try_from(*length).map_err(|_| Malformed)?;
            length_sum = length_sum.checked_add(length).ok_or(Malformed)?;
        }
        Ok(Self {
            of,
            nulls,
            all_equal,
            values,
            tags: tags.into_iter(),
            numbers: numbers.into_iter(),
            lengths: lengths.into_iter(),
            groups: groups.into_iter().map(Vec::into_iter).collect(),
            length_sum,
            literals: &[],
        })
    }

    fn literal_bytes(&self) -> Result<usize, Malformed> {
        match self.of.kind.fixed_bytes() {
            Some(width) if self.all_equal => Ok(width),
            Some(width) => self.values.checked_mul(width).ok_or(Malformed),
            None => Ok(self.length_sum),
        }
    }

    fn is_used_up(&self) -> bool {
        self.literals.is_empty() || self.all_equal
    }

    /// Appends the field of a row.
    fn write(&mut self, row: usize, tuple: &mut Vec<u8>) -> Option<()> {
        let is_null = match &self.nulls {
            Nulls::None => false,
            Nulls::All => true,
            Nulls::Some(nulls) => *nulls.get(row)?,
        };
        if is_null {
            tuple.extend_from_slice(&(-1_i32).to_be_bytes());
            return Some(());
        }
        match self.of.kind {
            ColumnKind::Bytes => self.write_literal(tuple),
            ColumnKind::Numeric => {
                let scale = u8::try_from(self.tags.next()?).ok()?;
                if scale == NUMERIC_AS_BYTES {
                    return self.write_literal(tuple);
                }
                let mut value = [0; numeric::BYTES_MAX];
                let length = numeric::write(self.numbers.next()?, scale, &mut value);
                put_field(tuple, value.get(..length)?)
            }
            ColumnKind::Text => {
                let number = usize::try_from(self.tags.next()?).ok()?;
                let Some(pattern) = number.checked_sub(1) else {
                    return self.write_literal(tuple);
                };
                let start = tuple.len();
                tuple.extend_from_slice(&[0; 4]);
                let mut lists = self.groups.iter_mut();
                let mut groups = std::iter::from_fn(|| Some(lists.next()?.next()?.cast_unsigned()));
                self.of.patterns.put_together(pattern, &mut groups, tuple)?;
                let length = i32::try_from(tuple.len() - start - 4).ok()?;
                tuple.get_mut(start..start + 4)?.copy_from_slice(&length.to_be_bytes());
                Some(())
            }
            ColumnKind::Integer1 => {
                put_field(tuple, &i8::try_from(self.numbers.next()?).ok()?.to_be_bytes())
            }
            ColumnKind::Integer2 => {
                put_field(tuple, &i16::try_from(self.numbers.next()?).ok()?.to_be_bytes())
            }
            ColumnKind::Integer4 => {
                put_field(tuple, &i32::try_from(self.numbers.next()?).ok()?.to_be_bytes())
            }
            ColumnKind::Integer8 => put_field(tuple, &self.numbers.next()?.to_be_bytes()),
            ColumnKind::Fixed4 => self.write_fixed(4, tuple),
            ColumnKind::Fixed8 => self.write_fixed(8, tuple),
            ColumnKind::Fixed16 => self.write_fixed(16, tuple),
        }
    }

    fn write_fixed(&mut self, width: usize, tuple: &mut Vec<u8>) -> Option<()> {
        let (value, rest) = self.literals.split_at_checked(width)?;
        if !self.all_equal {
            self.literals = rest;
        }
        put_field(tuple, value)
    }

    fn write_literal(&mut self, tuple: &mut Vec<u8>) -> Option<()> {
        let length = usize::try_from(self.lengths.next()?).ok()?;
        let (value, rest) = self.literals.split_at_checked(length)?;
        self.literals = rest;
        put_field(tuple, value)
    }
}

/// The groups of digits: the first of every text, the second of every text that has one, and so on; of
/// all columns together no more than `groups_max`.
fn take_groups(
    of: &ColumnLayout,
    tags: &[i64],
    groups_max: &mut usize,
    bytes: &mut &[u8],
) -> Result<Vec<Vec<i64>>, Malformed> {
    // How many texts have so many groups.
    let mut counts: Vec<usize> = Vec::new();
    for tag in tags {
        let number = usize::try_from(*tag).map_err(|_| Malformed)?;
        let Some(pattern) = number.checked_sub(1) else { continue };
        let groups = of.patterns.groups(pattern).ok_or(Malformed)?;
        *groups_max = groups_max.checked_sub(groups).ok_or(Malformed)?;
        if counts.len() < groups {
            counts.resize(groups, 0);
        }
        counts.iter_mut().take(groups).for_each(|count| *count += 1);
    }
    counts.into_iter().map(|count| integers::take(bytes, count)).collect()
}

fn put_field(tuple: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    tuple.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
    tuple.extend_from_slice(value);
    Some(())
}
