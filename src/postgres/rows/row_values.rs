//! Stored rows as the values of their columns, each as text, whichever form they are stored in: lines
//! of COPY's text format, or tuples of its binary one.

use std::borrow::Cow;

use super::lines::unescape;
use super::values;

/// Bytes that are not rows of these columns. Says nothing of what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row is not as COPY writes it")]
pub struct MalformedRow;

/// Rows one after the other.
pub struct Rows<'a> {
    rest: &'a [u8],
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Text { columns: usize },
    Binary { types: &'a [u32] },
}

impl<'a> Rows<'a> {
    /// Lines of the text format, of so many columns.
    #[must_use]
    pub fn text(lines: &'a [u8], columns: usize) -> Self {
        Self { rest: lines, form: Form::Text { columns } }
    }

    /// Tuples of the binary format, without header and trailer, of columns of these types: for each,
    /// the number of fields in two bytes; for each field, its length in four (-1 for NULL), and its
    /// bytes.
    #[must_use]
    pub fn binary(tuples: &'a [u8], types: &'a [u32]) -> Self {
        Self { rest: tuples, form: Form::Binary { types } }
    }

    /// Cuts the next row off: its bytes.
    fn cut(&mut self) -> Result<&'a [u8], MalformedRow> {
        let length = match self.form {
            Form::Text { .. } => memchr::memchr(b'\n', self.rest).ok_or(MalformedRow)? + 1,
            Form::Binary { types } => {
                let (count, mut rest) = self.rest.split_first_chunk().ok_or(MalformedRow)?;
                if usize::from(u16::from_be_bytes(*count)) != types.len() {
                    return Err(MalformedRow);
                }
                for _ in types {
                    (_, rest) = binary_field(rest)?;
                }
                self.rest.len() - rest.len()
            }
        };
        let (row, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(row)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<RowValues<'a>, MalformedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let row = self.cut().and_then(|row| RowValues::new(row, self.form));
        if row.is_err() {
            self.rest = &[];
        }
        Some(row)
    }
}

/// The values of one row: `None` is NULL.
pub struct RowValues<'a> {
    rest: &'a [u8],
    form: Form<'a>,
    taken: usize,
}

impl<'a> RowValues<'a> {
    fn new(row: &'a [u8], form: Form<'a>) -> Result<Self, MalformedRow> {
        let rest = match form {
            Form::Text { columns } => {
                let line = row.strip_suffix(b"\n").ok_or(MalformedRow)?;
                let fields = memchr::memchr_iter(b'\t', line).count() + 1;
                // A row of no columns is an empty line.
                if fields != columns && !(columns == 0 && line.is_empty()) {
                    return Err(MalformedRow);
                }
                line
            }
            Form::Binary { .. } => row.get(2..).ok_or(MalformedRow)?,
        };
        Ok(Self { rest, form, taken: 0 })
    }

    fn columns(&self) -> usize {
        match self.form {
            Form::Text { columns } => columns,
            Form::Binary { types } => types.len(),
        }
    }

    fn take(&mut self) -> Result<Option<Cow<'a, [u8]>>, MalformedRow> {
        match self.form {
            Form::Text { .. } => {
                let end = memchr::memchr(b'\t', self.rest).unwrap_or(self.rest.len());
                let (field, rest) = self.rest.split_at(end);
                self.rest = rest.get(1..).unwrap_or_default();
                Ok((field != b"\\N").then(|| unescape(field)))
            }
            Form::Binary { types } => {
                let (field, rest) = binary_field(self.rest)?;
                self.rest = rest;
                let (Some(field), Some(type_oid)) = (field, types.get(self.taken)) else {
                    return Ok(None);
                };
                let mut text = Vec::new();
                values::text_of(*type_oid, field, &mut text).map_err(|_| MalformedRow)?;
                Ok(Some(Cow::Owned(text)))
            }
        }
    }
}

impl<'a> Iterator for RowValues<'a> {
    type Item = Result<Option<Cow<'a, [u8]>>, MalformedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.columns() {
            return None;
        }
        let value = self.take();
        self.taken += 1;
        Some(value)
    }
}

/// A field of a tuple, and what follows it.
fn binary_field(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), MalformedRow> {
    let (length, rest) = bytes.split_first_chunk().ok_or(MalformedRow)?;
    match i32::from_be_bytes(*length) {
        -1 => Ok((None, rest)),
        length => {
            let length = usize::try_from(length).map_err(|_| MalformedRow)?;
            let (field, rest) = rest.split_at_checked(length).ok_or(MalformedRow)?;
            Ok((Some(field), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INT4: u32 = 23;
    const TEXT: u32 = 25;

    fn read(rows: Rows<'_>) -> Result<Vec<Vec<Option<String>>>, MalformedRow> {
        let text = |value: Cow<'_, [u8]>| String::from_utf8_lossy(&value).into_owned();
        rows.map(|row| row?.map(|value| Ok(value?.map(text))).collect()).collect()
    }

    fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn both_forms_give_the_same_values() {
        let text = b"7\ta\\tb\\\\\n\\N\t\n-1\t\\\\N\n";
        let binary = [
            &[0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4][..],
            b"a\tb\\",
            &[0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            &[0, 2, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2],
            b"\\N",
        ]
        .concat();
        let expected = [
            row(&[Some("7"), Some("a\tb\\")]),
            row(&[None, Some("")]),
            row(&[Some("-1"), Some("\\N")]),
        ];
        assert_eq!(read(Rows::text(text, 2)).unwrap(), expected);
        assert_eq!(read(Rows::binary(&binary, &[INT4, TEXT])).unwrap(), expected);
    }

    #[test]
    fn rows_without_columns_are_counted() {
        assert_eq!(read(Rows::text(b"\n\n", 0)).unwrap(), [row(&[]), row(&[])]);
        assert_eq!(read(Rows::binary(&[0, 0, 0, 0], &[])).unwrap(), [row(&[]), row(&[])]);
    }

    #[test]
    fn what_is_no_row_of_these_columns_is_refused() {
        for (lines, columns) in [(&b"a\tb\n"[..], 1), (b"a\n", 2), (b"a", 1), (b"a\n", 0)] {
            assert_eq!(read(Rows::text(lines, columns)), Err(MalformedRow));
        }
        for tuple in [
            &[0][..],
            &[0, 2],
            &[0, 1],
            &[0, 1, 0, 0, 0, 4, 0, 0, 0],
            &[0, 1, 0, 0, 0, 2, 0, 0],
            &[0, 1, 0xff, 0xff, 0xff, 0xfe],
        ] {
            assert_eq!(read(Rows::binary(tuple, &[INT4])), Err(MalformedRow), "{tuple:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for rows in [Rows::text(&bytes, 2), Rows::binary(&bytes, &[INT4, TEXT])] {
                for row in read(rows).unwrap_or_default() {
                    prop_assert_eq!(row.len(), 2);
                }
            }
        }
    }
}
