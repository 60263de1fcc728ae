//! Blocks of a layer of an index (version 2): entries of one relation, ascending by subject reference.
//!
//! ```text
//! block = relation (varint) || count (varint) || entry*
//! entry = flags (1) || rest of the reference || segment, unless it has no rows now
//! segment = content_mac (32)
//!        || pack (varint: its place in the layer's list) || offset (varint), unless it follows
//!        || length (varint) || rows (varint) || raw_bytes (varint)
//! ```
//!
//! Flags: bits 0 to 2 the codec, or 7 for "no rows now"; bit 3 "follows": it lies in the same pack right
//! behind the segment before; bits 4 to 7 how many bytes of the reference are those of the entry before:
//! 0 to 14, or 15 for all 16. References are keyed digests, so neighbours share about two bytes of
//! sixteen in a million.
//!
//! There is one form of every block: what could be left out is left out.

use super::ContainerError;
use super::index_block::IndexEntry;
use super::segment::Codec;
use super::varint::{self, Reader};
use crate::base::ids::SubjectReference;

/// A block is sealed when its entries reach this many bytes.
pub const BLOCK_BYTES_TARGET: usize = 64 << 10;

const CODEC: u8 = 0b0111;
const FOLLOWS: u8 = 0b1000;
/// In the place of a codec: the subject has no rows of this relation now.
const NO_ROWS: u8 = 7;
/// As the number of shared bytes: the reference is that of the entry before.
const SAME: u8 = 15;

/// What a layer says of a subject in a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// One of her segments.
    Segment(IndexEntry),
    /// She has no rows of it now, whatever the layer below says.
    NoRows(SubjectReference),
}

impl Listed {
    /// Whose entry it is.
    #[must_use]
    pub fn reference(&self) -> SubjectReference {
        match self {
            Self::Segment(entry) => entry.reference,
            Self::NoRows(reference) => *reference,
        }
    }
}

/// Entries of one relation on their way into blocks.
pub struct BlockBuilder {
    relation: u32,
    entries: Vec<u8>,
    count: u64,
    first: SubjectReference,
    before: Before,
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

/// The entry before, to which an entry refers.
#[derive(Default)]
struct Before {
    reference: Option<SubjectReference>,
    /// Where its segment ends; a mark that there are no rows changes nothing.
    end: Option<(u32, u64)>,
    is_mark: bool,
}

impl Before {
    fn shared(&self, reference: SubjectReference) -> u8 {
        let Some(before) = self.reference else { return 0 };
        let equal = before.0.iter().zip(reference.0).take_while(|(one, other)| **one == *other);
        // Cannot truncate: a reference has 16 bytes.
        #[allow(clippy::cast_possible_truncation)]
        match equal.count() {
            SubjectReference::BYTES => SAME,
            count => (count as u8).min(SAME - 1),
        }
    }

    fn is_followed_by(&self, pack: u32, offset: u64) -> bool {
        self.end == Some((pack, offset))
    }

    fn pass(&mut self, listed: &Listed) {
        self.reference = Some(listed.reference());
        self.is_mark = matches!(listed, Listed::NoRows(_));
        if let Listed::Segment(entry) = listed {
            self.end = entry.offset.checked_add(entry.length).map(|end| (entry.pack, end));
        }
    }
}

impl BlockBuilder {
    /// A builder for the relation at that place in the manifest's list.
    #[must_use]
    pub fn new(relation: u32) -> Self {
        let first = SubjectReference::COMMONS;
        Self { relation, entries: Vec::new(), count: 0, first, before: Before::default() }
    }

    /// Adds an entry; entries must come in ascending order of their references. Gives a block when
    /// one is full.
    pub fn push(&mut self, listed: &Listed) -> Option<PlainBlock> {
        let reference = listed.reference();
        debug_assert!(self.before.reference <= Some(reference), "entries are ascending");
        if self.count == 0 {
            self.first = reference;
        }
        let shared = self.before.shared(reference);
        let rest = usize::from(shared).min(SubjectReference::BYTES);
        let rest = if shared == SAME { &[][..] } else { &reference.0[rest..] };
        match listed {
            Listed::NoRows(_) => {
                self.entries.push(shared << 4 | NO_ROWS);
                self.entries.extend_from_slice(rest);
            }
            Listed::Segment(entry) => {
                let follows = self.before.is_followed_by(entry.pack, entry.offset);
                let flags = shared << 4 | if follows { FOLLOWS } else { 0 } | entry.codec as u8;
                self.entries.push(flags);
                self.entries.extend_from_slice(rest);
                self.entries.extend_from_slice(&entry.content_mac);
                if !follows {
                    varint::put(&mut self.entries, entry.pack.into());
                    varint::put(&mut self.entries, entry.offset);
                }
                for number in [entry.length, entry.rows, entry.raw_bytes] {
                    varint::put(&mut self.entries, number);
                }
            }
        }
        self.count += 1;
        self.before.pass(listed);
        if self.entries.len() >= BLOCK_BYTES_TARGET { self.take() } else { None }
    }

    /// The last block, if any entry is left.
    pub fn take(&mut self) -> Option<PlainBlock> {
        let last = std::mem::take(&mut self.before).reference?;
        let mut bytes = Vec::with_capacity(self.entries.len() + 10);
        varint::put(&mut bytes, self.relation.into());
        varint::put(&mut bytes, self.count);
        bytes.append(&mut self.entries);
        let count = std::mem::take(&mut self.count);
        Some(PlainBlock { relation: self.relation, first: self.first, last, count, bytes })
    }
}

/// Reads an opened block: the relation and its entries. `object` names the layer in errors.
pub fn parse(bytes: &[u8], object: &str) -> Result<(u32, Vec<Listed>), ContainerError> {
    let malformed = || ContainerError::malformed(object, "a block of it cannot be read");
    let mut reader = Reader(bytes);
    let relation = reader.number32().ok_or_else(malformed)?;
    let count = reader.number().ok_or_else(malformed)?;
    // No entry is shorter than 3 bytes: a count that lies allocates little.
    let possible = bytes.len() / 3;
    let mut entries = Vec::with_capacity(possible.min(usize::try_from(count).unwrap_or(0)));
    let mut before = Before::default();
    for _ in 0..count {
        let listed = parse_entry(&mut reader, &before).ok_or_else(malformed)?;
        before.pass(&listed);
        entries.push(listed);
    }
    if reader.is_empty() { Ok((relation, entries)) } else { Err(malformed()) }
}

fn parse_entry(reader: &mut Reader<'_>, before: &Before) -> Option<Listed> {
    let flags = reader.byte()?;
    let reference = parse_reference(reader, before, flags >> 4)?;
    let is_same = before.reference == Some(reference);
    if flags & CODEC == NO_ROWS {
        // The mark stands alone: the subject has no other entry.
        return (flags & FOLLOWS == 0 && !is_same).then_some(Listed::NoRows(reference));
    }
    if is_same && before.is_mark {
        return None;
    }
    let codec = Codec::from_number(flags & CODEC)?;
    let content_mac = reader.array()?;
    let (pack, offset) = if flags & FOLLOWS != 0 {
        before.end?
    } else {
        let place = (reader.number32()?, reader.number()?);
        // It follows, and does not say so: that is another form of the same.
        if before.is_followed_by(place.0, place.1) {
            return None;
        }
        place
    };
    Some(Listed::Segment(IndexEntry {
        reference,
        content_mac,
        codec,
        pack,
        offset,
        length: reader.number()?,
        rows: reader.number()?,
        raw_bytes: reader.number()?,
    }))
}

/// A reference that is greater than the one before or the same, in its one form.
fn parse_reference(
    reader: &mut Reader<'_>,
    before: &Before,
    shared: u8,
) -> Option<SubjectReference> {
    if shared == SAME {
        return before.reference;
    }
    let mut reference = before.reference.unwrap_or(SubjectReference::COMMONS);
    for byte in reference.0.get_mut(usize::from(shared)..)? {
        *byte = reader.byte()?;
    }
    let ascends = before.reference.is_none_or(|before| before < reference);
    (ascends && before.shared(reference) == shared).then_some(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(reference: u8, pack: u32, offset: u64) -> Listed {
        Listed::Segment(IndexEntry {
            reference: SubjectReference([reference; 16]),
            content_mac: [reference; 32],
            codec: Codec::Zstandard,
            pack,
            offset,
            length: 300,
            rows: 7,
            raw_bytes: 999,
        })
    }

    fn built(entries: &[Listed]) -> PlainBlock {
        let mut builder = BlockBuilder::new(5);
        assert!(entries.iter().all(|entry| builder.push(entry).is_none()));
        let block = builder.take().unwrap();
        assert!(builder.take().is_none());
        block
    }

    #[test]
    fn entries_come_back_and_every_cut_is_refused() {
        let mut near = SubjectReference([3; 16]);
        near.0[15] = 9;
        let entries = [
            segment(1, 3, 40),
            segment(1, 3, 340),
            segment(2, 3, 640),
            Listed::NoRows(SubjectReference([3; 16])),
            Listed::NoRows(near),
            segment(4, 3, 940),
            segment(5, 0, 1 << 40),
        ];
        let block = built(&entries);
        assert_eq!((block.first, block.last), (entries[0].reference(), entries[6].reference()));
        assert_eq!(block.count, 7);
        assert_eq!(parse(&block.bytes, "i"), Ok((5, entries.to_vec())));
        for length in 0..block.bytes.len() {
            assert!(parse(&block.bytes[..length], "i").is_err());
        }
        // Segments that follow one another cost little more than their content MAC.
        assert_eq!(built(&entries[..2]).bytes.len(), 2 + 56 + 38);
    }

    #[test]
    fn there_is_one_form_only() {
        let entry = |flags: u8, reference: &[u8], place: &[u8]| {
            [&[flags][..], reference, &[0xc1; 32], place, &[0xac, 2, 7, 9]].concat()
        };
        let block = |count: u8, entries: &[Vec<u8>]| [&[5, count][..], &entries.concat()].concat();
        let first = entry(1, &[1; 16], &[3, 40]);
        let right = block(2, &[first.clone(), entry(1 | FOLLOWS, &[2; 16], &[])]);
        assert!(parse(&right, "i").is_ok());
        for (what, second) in [
            ("it follows and does not say so", entry(1, &[2; 16], &[3, 0xd4, 2])),
            ("a shared byte is written", entry(1 | FOLLOWS, &[&[1][..], &[2; 15]].concat(), &[])),
            ("the whole reference is written", entry(1 | FOLLOWS, &[1; 16], &[])),
            ("it claims a shared byte that differs", entry(1 << 4 | 1 | FOLLOWS, &[0; 15], &[])),
            ("the reference descends", entry(1 | FOLLOWS, &[0; 16], &[])),
            ("an unknown codec", entry(6 | FOLLOWS, &[2; 16], &[])),
            ("a mark that follows", [&[NO_ROWS | FOLLOWS][..], &[2; 16]].concat()),
            ("a mark behind her segment", vec![SAME << 4 | NO_ROWS]),
        ] {
            assert!(parse(&block(2, &[first.clone(), second]), "i").is_err(), "{what}");
        }
        let mark = [&[NO_ROWS][..], &[1; 16]].concat();
        assert!(parse(&block(1, std::slice::from_ref(&mark)), "i").is_ok());
        let behind = entry(SAME << 4 | 1, &[], &[3, 40]);
        assert!(parse(&block(2, &[mark, behind]), "i").is_err());
        assert!(parse(&block(1, &[entry(1 | FOLLOWS, &[2; 16], &[])]), "i").is_err());
        assert!(parse(&block(1, &[vec![SAME << 4 | NO_ROWS]]), "i").is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again_the_same(bytes: Vec<u8>) {
            if let Ok((relation, entries)) = parse(&bytes, "i") {
                let mut builder = BlockBuilder::new(relation);
                for entry in &entries {
                    prop_assert!(builder.push(entry).is_none());
                }
                if let Some(block) = builder.take() {
                    prop_assert_eq!(block.bytes, bytes);
                }
            }
        }
    }
}
