//! COPY's text format as it arrives: chunks of bytes into lines, a line into its owner and its rest.
//!
//! In this format a newline or a tab inside a value is always escaped, so a bare newline ends a row
//! and a bare tab ends a field. Source: PostgreSQL's documentation of `COPY`, "Text Format".

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// Splits incoming chunks into lines. A line keeps its newline, so that it can be sent back to
/// `COPY FROM` as it is.
#[derive(Debug, Default)]
pub struct Lines {
    chunk: Bytes,
    /// The beginning of a line whose end has not arrived. Empty nearly always: chunks end
    /// where rows do.
    begun: BytesMut,
}

impl Lines {
    /// Without any bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands over a chunk. All lines of the one before must have been taken.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "lines of the chunk before were not taken");
        self.chunk = chunk;
    }

    /// The next whole line with its newline, `None` when another chunk is needed. Copies nothing,
    /// unless the line came in several chunks.
    pub fn next_line(&mut self) -> Option<Bytes> {
        let Some(end) = memchr::memchr(b'\n', &self.chunk) else {
            self.begun.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return None;
        };
        let line = self.chunk.split_to(end + 1);
        if self.begun.is_empty() {
            return Some(line);
        }
        self.begun.extend_from_slice(&line);
        Some(self.begun.split().freeze())
    }

    /// Whether the last line was whole. False after the end of a COPY means that it was cut short.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.begun.is_empty() && self.chunk.is_empty()
    }
}

/// Splits a line of an owned table's COPY into its owner's key, unescaped (`None` for nobody), and
/// the rest: exactly the line, newline included if it has one, that `COPY FROM` wants.
#[must_use]
pub fn split_owner(line: &[u8]) -> (Option<Cow<'_, [u8]>>, &[u8]) {
    let end = memchr::memchr2(b'\t', b'\n', line).unwrap_or(line.len());
    let key = &line[..end];
    let rest = match line.get(end) {
        Some(b'\t') => &line[end + 1..],
        _ => &line[end..],
    };
    let key = (key != b"\\N").then(|| unescape(key));
    (key, rest)
}

/// Undoes COPY's escapes in one field.
#[must_use]
pub fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            match bytes.next() {
                Some(b'b') => plain.push(8),
                Some(b'f') => plain.push(12),
                Some(b'n') => plain.push(b'\n'),
                Some(b'r') => plain.push(b'\r'),
                Some(b't') => plain.push(b'\t'),
                Some(b'v') => plain.push(11),
                // COPY TO writes no octal or hexadecimal escapes.
                Some(other) => plain.push(other),
                None => plain.push(b'\\'),
            }
        } else {
            plain.push(byte);
        }
    }
    Cow::Owned(plain)
}

/// The canonical subject key of several parts: joined with `,`, where a `\` or `,` inside a part is
/// preceded by `\`. One part is the key as it is.
#[must_use]
pub fn composite_key(parts: &[&str]) -> String {
    match parts {
        [single] => (*single).to_owned(),
        several => several
            .iter()
            .map(|part| part.replace('\\', "\\\\").replace(',', "\\,"))
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// The parts of a canonical subject key; `None` if there are not `count` of them.
#[must_use]
pub fn key_parts(key: &str, count: usize) -> Option<Vec<String>> {
    if count == 1 {
        return Some(vec![key.to_owned()]);
    }
    let mut parts = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        match character {
            ',' => parts.push(String::new()),
            '\\' => parts.last_mut()?.push(characters.next()?),
            other => parts.last_mut()?.push(other),
        }
    }
    (parts.len() == count).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_owner_is_unescaped_and_the_rest_is_untouched() {
        let (owner, rest) = split_owner(b"a\\tb\\\\\tc\\td\te\n");
        assert_eq!(owner.as_deref(), Some(&b"a\tb\\"[..]));
        assert_eq!(rest, b"c\\td\te\n");
        assert_eq!(split_owner(b"\\N\tx\n"), (None, &b"x\n"[..]));
        assert_eq!(split_owner(b"\\\\N\tx").0.as_deref(), Some(&b"\\N"[..]));
    }

    #[test]
    fn a_row_without_columns_is_an_empty_line() {
        assert_eq!(split_owner(b"\\N\n"), (None, &b"\n"[..]));
        let (owner, rest) = split_owner(b"7\n");
        assert_eq!((owner.as_deref(), rest), (Some(&b"7"[..]), &b"\n"[..]));
        assert_eq!(split_owner(b"\tx\n").0.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn one_part_is_the_key_itself_and_several_are_told_apart() {
        assert_eq!(composite_key(&["a,b"]), "a,b");
        assert_eq!(composite_key(&["a,b", "c\\"]), "a\\,b,c\\\\");
        assert_ne!(composite_key(&["a,b", "c"]), composite_key(&["a", "b,c"]));
        assert_eq!(key_parts("1,2", 3), None);
    }

    proptest! {
        #[test]
        fn key_parts_undoes_composite_key(parts in proptest::collection::vec(".{0,4}", 1..4)) {
            let borrowed: Vec<&str> = parts.iter().map(String::as_str).collect();
            prop_assert_eq!(key_parts(&composite_key(&borrowed), parts.len()), Some(parts));
        }

        #[test]
        fn lines_are_the_same_however_the_bytes_arrive(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..60),
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut lines, mut taken, mut from) = (Lines::new(), Vec::new(), 0);
            for cut in cuts {
                lines.push(Bytes::copy_from_slice(&text[from..cut]));
                while let Some(line) = lines.next_line() {
                    taken.push(line.to_vec());
                }
                from = cut;
            }
            let whole: Vec<Vec<u8>> = text
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| line.ends_with(b"\n"))
                .map(<[u8]>::to_vec)
                .collect();
            prop_assert_eq!(taken, whole);
            prop_assert_eq!(lines.is_complete(), text.is_empty() || text.ends_with(b"\n"));
        }
    }
}
