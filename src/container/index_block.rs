//! Blocks of an index: entries of one relation, ascending by subject reference.
//!
//! ```text
//! block = relation (varint) || count (varint) || entry*
//! entry = subject reference (16) || content_mac (32) || codec (1)
//!       || pack (varint: its place in the manifest's list) || offset (varint) || length (varint)
//!       || rows (varint) || raw_bytes (varint)
//! ```

use super::ContainerError;
use super::segment::Codec;
use super::varint::{self, Reader};
use crate::crypto::segment::ContentMac;
use crate::ids::SubjectReference;

/// A block is sealed when its entries reach this many bytes.
pub const BLOCK_BYTES_TARGET: usize = 64 << 10;

/// One segment of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Whose rows; [`SubjectReference::COMMONS`] for nobody's.
    pub reference: SubjectReference,
    /// The keyed digest that opens the segment together with the subject's key.
    pub content_mac: ContentMac,
    /// How the payload was made.
    pub codec: Codec,
    /// The pack, as its place in the manifest's list.
    pub pack: u32,
    /// Where the sealed segment begins in the pack, in bytes.
    pub offset: u64,
    /// The sealed length in bytes.
    pub length: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// The rows' length in bytes before compression.
    pub raw_bytes: u64,
}

/// Entries of one relation on their way into blocks.
pub struct BlockBuilder {
    relation: u32,
    entries: Vec<u8>,
    count: u64,
    first: SubjectReference,
    last: SubjectReference,
}

/// A full block, not yet sealed.
pub struct PlainBlock {
    /// The relation's place in the manifest's list.
    pub relation: u32,
    /// The first entry's subject.
    pub first: SubjectReference,
    /// The last entry's subject.
    pub last: SubjectReference,
    /// How many entries.
    pub count: u64,
    /// The block's bytes.
    pub bytes: Vec<u8>,
}

impl BlockBuilder {
    /// A builder for the relation at that place in the manifest's list.
    #[must_use]
    pub fn new(relation: u32) -> Self {
        let nobody = SubjectReference::COMMONS;
        Self { relation, entries: Vec::new(), count: 0, first: nobody, last: nobody }
    }

    /// Adds an entry; entries must come in ascending order of their references. Gives a block when
    /// one is full.
    pub fn push(&mut self, entry: &IndexEntry) -> Option<PlainBlock> {
        debug_assert!(self.count == 0 || self.last <= entry.reference, "entries are ascending");
        if self.count == 0 {
            self.first = entry.reference;
        }
        self.last = entry.reference;
        self.count += 1;
        self.entries.extend_from_slice(&entry.reference.0);
        self.entries.extend_from_slice(&entry.content_mac);
        self.entries.push(entry.codec as u8);
        for number in [entry.pack.into(), entry.offset, entry.length, entry.rows, entry.raw_bytes] {
            varint::put(&mut self.entries, number);
        }
        if self.entries.len() >= BLOCK_BYTES_TARGET { self.take() } else { None }
    }

    /// The last block, if any entry is left.
    pub fn take(&mut self) -> Option<PlainBlock> {
        if self.count == 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.entries.len() + 10);
        varint::put(&mut bytes, self.relation.into());
        varint::put(&mut bytes, self.count);
        bytes.append(&mut self.entries);
        let block = PlainBlock {
            relation: self.relation,
            first: self.first,
            last: self.last,
            count: self.count,
            bytes,
        };
        self.count = 0;
        Some(block)
    }
}

/// Reads an opened block: the relation and its entries. `object` names the index in errors.
pub fn parse(bytes: &[u8], object: &str) -> Result<(u32, Vec<IndexEntry>), ContainerError> {
    let malformed = || ContainerError::malformed(object, "a block of it cannot be read");
    let mut reader = Reader(bytes);
    let relation = reader.number32().ok_or_else(malformed)?;
    let count = reader.number().ok_or_else(malformed)?;
    // Every entry is longer than 48 bytes: a count that lies allocates nothing.
    let possible = bytes.len() / 48;
    let mut entries: Vec<IndexEntry> =
        Vec::with_capacity(possible.min(usize::try_from(count).unwrap_or(0)));
    for _ in 0..count {
        let entry = parse_entry(&mut reader).ok_or_else(malformed)?;
        if entries.last().is_some_and(|last| last.reference > entry.reference) {
            return Err(ContainerError::malformed(object, "its entries are out of order"));
        }
        entries.push(entry);
    }
    if reader.is_empty() { Ok((relation, entries)) } else { Err(malformed()) }
}

fn parse_entry(reader: &mut Reader<'_>) -> Option<IndexEntry> {
    Some(IndexEntry {
        reference: SubjectReference(reader.array()?),
        content_mac: reader.array()?,
        codec: Codec::from_number(reader.byte()?)?,
        pack: reader.number32()?,
        offset: reader.number()?,
        length: reader.number()?,
        rows: reader.number()?,
        raw_bytes: reader.number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(number: u8) -> IndexEntry {
        IndexEntry {
            reference: SubjectReference([number; 16]),
            content_mac: [number; 32],
            codec: Codec::Zstandard,
            pack: 3,
            offset: 1 << 40,
            length: 300,
            rows: 7,
            raw_bytes: 999,
        }
    }

    #[test]
    fn entries_come_back_and_every_cut_is_refused() {
        let mut builder = BlockBuilder::new(5);
        let entries: Vec<_> = (1..9).map(entry).collect();
        assert!(entries.iter().all(|entry| builder.push(entry).is_none()));
        let block = builder.take().unwrap();
        assert!(builder.take().is_none());
        assert_eq!(
            (block.first, block.last, block.count),
            (entries[0].reference, entries[7].reference, 8)
        );
        assert_eq!(parse(&block.bytes, "i"), Ok((5, entries)));
        for length in 0..block.bytes.len() {
            assert!(parse(&block.bytes[..length], "i").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes, "i");
        }
    }
}
