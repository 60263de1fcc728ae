//! COPY's binary format as it arrives: chunks of bytes into tuples.
//!
//! Source: PostgreSQL's documentation of `COPY`, "Binary Format": a header of 19 bytes or more, tuples (a
//! 16-bit count of fields, then each field with a 32-bit length, -1 for NULL), and a trailer, which is
//! a count of -1.

use bytes::{Bytes, BytesMut};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags (none) and the length of the header's extension (none).
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the tuples.
pub const TRAILER: &[u8; 2] = b"\xff\xff";
/// Flags that a reader must know to read on (bit 16: rows with object identifiers, of servers before 12).
const CRITICAL_FLAGS: u32 = 0xffff_0000;

/// These bytes are not COPY's binary format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's rows are not in COPY's binary format")]
pub struct NotBinary;

/// Splits incoming chunks into tuples.
#[derive(Debug, Default)]
pub struct Tuples {
    chunk: Bytes,
    /// How much of the chunk has been taken.
    taken: usize,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Tuples,
    Ended,
}

impl Tuples {
    /// Hands over a chunk. All tuples of the one before must have been taken.
    pub fn push(&mut self, chunk: Bytes) {
        if self.taken == self.chunk.len() {
            self.chunk = chunk;
        } else {
            // A tuple that came in parts: chunks end where tuples do nearly always.
            let begun = self.chunk.get(self.taken..).unwrap_or_default();
            let mut joined = BytesMut::with_capacity(begun.len() + chunk.len());
            joined.extend_from_slice(begun);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
        self.taken = 0;
    }

    /// The next whole tuple, its count of fields included; `None` when another chunk is needed.
    pub fn next_tuple(&mut self) -> Result<Option<&[u8]>, NotBinary> {
        if self.state == State::Header && !self.skip_header()? {
            return Ok(None);
        }
        let begun = self.chunk.get(self.taken..).unwrap_or_default();
        let Some((count, mut rest)) = begun.split_first_chunk::<2>() else { return Ok(None) };
        if self.state == State::Ended {
            return Err(NotBinary);
        }
        if count == TRAILER {
            self.state = State::Ended;
            self.taken += 2;
            return if self.taken == self.chunk.len() { Ok(None) } else { Err(NotBinary) };
        }
        for _ in 0..u16::from_be_bytes(*count) {
            let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let length = match i32::from_be_bytes(*length) {
                -1 => 0,
                length => usize::try_from(length).map_err(|_| NotBinary)?,
            };
            let Some((_, after)) = after.split_at_checked(length) else { return Ok(None) };
            rest = after;
        }
        let length = begun.len() - rest.len();
        self.taken += length;
        Ok(begun.get(..length))
    }

    /// Whether the trailer came. False after the end of a COPY means that it was cut short.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Ended && self.taken == self.chunk.len()
    }

    fn skip_header(&mut self) -> Result<bool, NotBinary> {
        let Some((header, rest)) = self.chunk.split_first_chunk::<19>() else { return Ok(false) };
        let number = |place: usize| {
            u32::from_be_bytes([
                header[place],
                header[place + 1],
                header[place + 2],
                header[place + 3],
            ])
        };
        if header[..11] != *SIGNATURE || number(11) & CRITICAL_FLAGS != 0 {
            return Err(NotBinary);
        }
        let extension = usize::try_from(number(15)).map_err(|_| NotBinary)?;
        if rest.len() < extension {
            return Ok(false);
        }
        self.taken = HEADER.len() + extension;
        self.state = State::Tuples;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
        let value = prop::collection::vec(any::<u8>(), 0..9);
        prop::collection::vec(prop::option::of(value), 0..4)
    }

    proptest! {
        #[test]
        fn tuples_are_the_same_however_the_bytes_arrive(
            rows in prop::collection::vec(row(), 0..9),
            cuts in prop::collection::vec(0_usize..200, 0..9),
        ) {
            let tuple = |fields: &Vec<Option<Vec<u8>>>| {
                let mut tuple = u16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
                for field in fields {
                    let length = field.as_ref().map_or(-1, |field| i32::try_from(field.len()).unwrap());
                    tuple.extend(length.to_be_bytes());
                    tuple.extend(field.iter().flatten());
                }
                tuple
            };
            let expected: Vec<Vec<u8>> = rows.iter().map(tuple).collect();
            let bytes = [&HEADER[..], &expected.concat(), TRAILER].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut tuples, mut found, mut from) = (Tuples::default(), Vec::new(), 0);
            for cut in cuts {
                prop_assert!(!tuples.is_complete() || from == bytes.len());
                tuples.push(Bytes::copy_from_slice(&bytes[from..cut]));
                while let Some(tuple) = tuples.next_tuple().unwrap() {
                    found.push(tuple.to_vec());
                }
                from = cut;
            }
            prop_assert_eq!(found, expected);
            prop_assert!(tuples.is_complete());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut tuples = Tuples::default();
            tuples.push([&HEADER[..], &bytes].concat().into());
            while let Ok(Some(_)) = tuples.next_tuple() {}
        }
    }
}
