//! Entries of an index, and the blocks of version 1, which are read and no longer written
//! ([`super::layer_block`] has those of today): entries of one relation, ascending by subject reference.
//!
//! ```text
//! block = relation (varint) || count (varint) || entry*
//! entry = subject reference (16) || content_mac (32) || codec (1)
//!       || pack (varint: its place in the manifest's list) || offset (varint) || length (varint)
//!       || rows (varint) || raw_bytes (varint)
//! ```

use super::ContainerError;
use super::segment::Codec;
use super::varint::Reader;
use crate::base::ids::SubjectReference;
use crate::crypto::segment::ContentMac;

/// One segment of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Whose rows; [`SubjectReference::COMMONS`] for nobody's.
    pub reference: SubjectReference,
    /// The keyed digest that opens the segment together with the subject's key.
    pub content_mac: ContentMac,
    /// How the payload was made.
    pub codec: Codec,
    /// The pack: as its place in the manifest's list, or in the layer's own list while the layer is
    /// read or written.
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

/// Reads an opened block of version 1: the relation and its entries. `object` names the index in errors.
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
        // Columns came with layers.
        codec: Codec::from_number(reader.byte()?).filter(|codec| *codec != Codec::Columns)?,
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
    use crate::container::varint;
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

    fn block(relation: u32, entries: &[IndexEntry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, relation.into());
        varint::put(&mut bytes, entries.len() as u64);
        for entry in entries {
            bytes.extend_from_slice(&entry.reference.0);
            bytes.extend_from_slice(&entry.content_mac);
            bytes.push(entry.codec as u8);
            let IndexEntry { pack, offset, length, rows, raw_bytes, .. } = *entry;
            for number in [pack.into(), offset, length, rows, raw_bytes] {
                varint::put(&mut bytes, number);
            }
        }
        bytes
    }

    #[test]
    fn entries_come_back_and_every_cut_is_refused() {
        let entries: Vec<_> = (1..9).map(entry).collect();
        let bytes = block(5, &entries);
        assert_eq!(parse(&bytes, "i"), Ok((5, entries)));
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], "i").is_err());
        }
        assert!(parse(&block(5, &[entry(2), entry(1)]), "i").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes, "i");
        }
    }
}
