//! Rows as CSV (RFC 4180), where NULL is an empty field and an empty text is `""`: a difference that
//! the usual libraries do not make.

use crate::postgres::rows::row_values::{MalformedRow, Rows};

/// The line of the columns' names.
pub fn header<'a>(columns: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for (at, name) in columns.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        field(Some(name.as_bytes()), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A line for each row; how many.
pub fn rows(rows: Rows<'_>, out: &mut Vec<u8>) -> Result<u64, MalformedRow> {
    let mut count = 0;
    for row in rows {
        for (at, value) in row?.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            field(value?.as_deref(), out);
        }
        out.extend_from_slice(b"\r\n");
        count += 1;
    }
    Ok(count)
}

fn field(value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    let is_plain =
        !value.is_empty() && !value.iter().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'));
    if is_plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for part in value.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_an_empty_text_differ_and_what_needs_quotes_has_them() {
        let mut out = Vec::new();
        header(["id", "a \"b\""].into_iter(), &mut out);
        let lines = b"1\t\\N\n2\t\n3\ta,b\\nc\"\n4\t plain \n";
        assert_eq!(rows(Rows::text(lines, 2), &mut out), Ok(4));
        let expected = "id,\"a \"\"b\"\"\"\r\n1,\r\n2,\"\"\r\n3,\"a,b\nc\"\"\"\r\n4, plain \r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
