//! The index of a backup: sealed blocks, then a sealed directory that says where each lies.
//!
//! ```text
//! index     = header || sealed block* || sealed directory
//! header    = "SRINDX" || version (u16, big-endian: 1) || vault id (16) || backup id (23)
//! block n   = AES-256-GCM(index key, n, context(index block, vault, backup, n), block)
//! directory = AES-256-GCM(index key, 2^64 - 1, context(index directory, vault, backup), listing)
//! listing   = count (varint) || place*
//! place     = relation (varint) || first (16) || last (16) || entries (varint)
//!           || offset (varint) || length (varint)
//! ```
//!
//! Block numbers count from 0 in the order of the places. One subject is found by the directory and
//! one block a relation, without reading the rest.

use super::ContainerError;
use super::index_block::{self, IndexEntry, PlainBlock};
use super::varint::{self, Reader};
use crate::crypto::kdf::DerivedKey;
use crate::crypto::{Context, aead, labels};
use crate::ids::{BackupId, SubjectReference, VaultId};

/// The newest index version that is known here.
pub const VERSION: u16 = 1;
/// The header's length in bytes: the first block's offset.
pub const HEADER_BYTES: usize = 47;

const MAGIC: &[u8; 6] = b"SRINDX";
const DIRECTORY_NUMBER: u64 = u64::MAX;

/// Where a block lies and what it spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPlace {
    /// The relation's place in the manifest's list.
    pub relation: u32,
    /// The first entry's subject.
    pub first: SubjectReference,
    /// The last entry's subject.
    pub last: SubjectReference,
    /// How many entries.
    pub entries: u64,
    /// The sealed block's offset in the index, in bytes.
    pub offset: u64,
    /// Its sealed length in bytes.
    pub length: u64,
}

/// What an index is bound to, and its key.
pub struct IndexSeal {
    key: DerivedKey,
    vault: VaultId,
    backup: BackupId,
}

impl IndexSeal {
    /// The seal of one backup's index.
    #[must_use]
    pub fn new(key: DerivedKey, vault: VaultId, backup: BackupId) -> Self {
        Self { key, vault, backup }
    }

    /// The index's header.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.extend_from_slice(&self.vault.0);
        header.extend_from_slice(self.backup.as_str().as_bytes());
        header
    }

    /// Checks an index's header, so that a mix-up is named as one.
    pub fn check_header(&self, bytes: &[u8], object: &str) -> Result<(), ContainerError> {
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| ContainerError::malformed(object, "it ends within its header"))?;
        if &header[..6] != MAGIC {
            return Err(ContainerError::malformed(object, "it is not an index"));
        }
        let version = u16::from_be_bytes([header[6], header[7]]);
        if version != VERSION {
            return Err(ContainerError::NewerFormat {
                object: object.to_owned(),
                found: version.into(),
                known: VERSION.into(),
            });
        }
        if header[8..24] != self.vault.0 {
            return Err(ContainerError::OtherVault { object: object.to_owned() });
        }
        if &header[24..] != self.backup.as_str().as_bytes() {
            return Err(ContainerError::OtherBackup { object: object.to_owned() });
        }
        Ok(())
    }

    /// Opens the directory.
    pub fn open_directory(
        &self,
        sealed: &[u8],
        object: &str,
    ) -> Result<Vec<BlockPlace>, ContainerError> {
        let listing =
            aead::open(self.key.expose(), DIRECTORY_NUMBER, &self.directory_context(), sealed)
                .map_err(|_| {
                    ContainerError::not_authentic(&format!("the directory of {object}"))
                })?;
        parse_listing(&listing, object)
    }

    /// Opens the block of that number and checks it against its place.
    pub fn open_block(
        &self,
        number: u64,
        place: &BlockPlace,
        sealed: &[u8],
        object: &str,
    ) -> Result<Vec<IndexEntry>, ContainerError> {
        let block = aead::open(self.key.expose(), number, &self.block_context(number), sealed)
            .map_err(|_| ContainerError::not_authentic(&format!("block {number} of {object}")))?;
        let (relation, entries) = index_block::parse(&block, object)?;
        let fits = relation == place.relation
            && entries.len() as u64 == place.entries
            && entries.first().map(|entry| entry.reference) == Some(place.first)
            && entries.last().map(|entry| entry.reference) == Some(place.last);
        if fits {
            Ok(entries)
        } else {
            Err(ContainerError::malformed(object, "a block is not what the directory says"))
        }
    }

    fn block_context(&self, number: u64) -> Context {
        self.context(labels::INDEX_BLOCK).with_number(number)
    }

    fn directory_context(&self) -> Context {
        self.context(labels::INDEX_DIRECTORY)
    }

    fn context(&self, label: &str) -> Context {
        Context::new(label).with(&self.vault.0).with(self.backup.as_str().as_bytes())
    }
}

/// Turns blocks into an index's bytes, in the order in which they are to be written.
pub struct IndexWriter {
    seal: IndexSeal,
    places: Vec<BlockPlace>,
    offset: u64,
}

impl IndexWriter {
    /// A writer, and the header to begin with.
    #[must_use]
    pub fn new(seal: IndexSeal) -> (Self, Vec<u8>) {
        let header = seal.header();
        (Self { seal, places: Vec::new(), offset: header.len() as u64 }, header)
    }

    /// Seals the next block: the bytes to append.
    pub fn block(&mut self, block: &PlainBlock) -> Vec<u8> {
        let number = self.places.len() as u64;
        let context = self.seal.block_context(number);
        let sealed = aead::seal(self.seal.key.expose(), number, &context, &block.bytes);
        self.places.push(BlockPlace {
            relation: block.relation,
            first: block.first,
            last: block.last,
            entries: block.count,
            offset: self.offset,
            length: sealed.len() as u64,
        });
        self.offset += sealed.len() as u64;
        sealed
    }

    /// Seals the directory: the bytes to end with, and their offset.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, u64) {
        let mut listing = Vec::new();
        varint::put(&mut listing, self.places.len() as u64);
        for place in &self.places {
            varint::put(&mut listing, place.relation.into());
            listing.extend_from_slice(&place.first.0);
            listing.extend_from_slice(&place.last.0);
            for number in [place.entries, place.offset, place.length] {
                varint::put(&mut listing, number);
            }
        }
        let context = self.seal.directory_context();
        let sealed = aead::seal(self.seal.key.expose(), DIRECTORY_NUMBER, &context, &listing);
        (sealed, self.offset)
    }
}

/// Reads an opened directory.
pub fn parse_listing(bytes: &[u8], object: &str) -> Result<Vec<BlockPlace>, ContainerError> {
    let malformed = || ContainerError::malformed(object, "its directory cannot be read");
    let mut reader = Reader(bytes);
    let count = reader.number().ok_or_else(malformed)?;
    let mut places = Vec::new();
    for _ in 0..count {
        places.push(parse_place(&mut reader).ok_or_else(malformed)?);
    }
    if reader.is_empty() { Ok(places) } else { Err(malformed()) }
}

fn parse_place(reader: &mut Reader<'_>) -> Option<BlockPlace> {
    Some(BlockPlace {
        relation: reader.number32()?,
        first: SubjectReference(reader.array()?),
        last: SubjectReference(reader.array()?),
        entries: reader.number()?,
        offset: reader.number()?,
        length: reader.number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::index_block::BlockBuilder;
    use crate::container::segment::Codec;
    use crate::crypto::kdf;
    use proptest::prelude::*;

    fn seal(backup: &str) -> IndexSeal {
        IndexSeal::new(kdf::derive(b"", b"k", b"i"), VaultId([1; 16]), backup.parse().unwrap())
    }

    fn index(backup: &str) -> (Vec<u8>, usize) {
        let (mut writer, mut bytes) = IndexWriter::new(seal(backup));
        for relation in 0..3 {
            let mut builder = BlockBuilder::new(relation);
            for subject in 1..20 {
                let entry = IndexEntry {
                    reference: SubjectReference([subject; 16]),
                    content_mac: [0; 32],
                    codec: Codec::Stored,
                    pack: 0,
                    offset: 1,
                    length: 2,
                    rows: 3,
                    raw_bytes: 4,
                };
                assert!(builder.push(&entry).is_none());
            }
            bytes.extend(writer.block(&builder.take().unwrap()));
        }
        let (directory, offset) = writer.finish();
        bytes.extend(directory);
        (bytes, usize::try_from(offset).unwrap())
    }

    fn slice<'a>(bytes: &'a [u8], place: &BlockPlace) -> &'a [u8] {
        let offset = usize::try_from(place.offset).unwrap();
        &bytes[offset..offset + usize::try_from(place.length).unwrap()]
    }

    const BACKUP: &str = "20261122T020000Z-000001";

    #[test]
    fn an_index_is_read_back_block_by_block() {
        let (bytes, offset) = index(BACKUP);
        let seal = seal(BACKUP);
        seal.check_header(&bytes, "i").unwrap();
        let places = seal.open_directory(&bytes[offset..], "i").unwrap();
        assert_eq!(places.len(), 3);
        for (number, place) in (0..).zip(&places) {
            let entries = seal.open_block(number, place, slice(&bytes, place), "i").unwrap();
            assert_eq!(entries.len(), 19);
        }
    }

    #[test]
    fn swapped_blocks_flipped_bits_and_other_backups_are_refused() {
        let (bytes, offset) = index(BACKUP);
        let own = seal(BACKUP);
        let other = seal("20261122T020000Z-000002");
        let places = own.open_directory(&bytes[offset..], "i").unwrap();
        assert!(other.check_header(&bytes, "i").is_err());
        assert!(other.open_directory(&bytes[offset..], "i").is_err());
        assert!(own.open_block(1, &places[0], slice(&bytes, &places[0]), "i").is_err());
        assert!(own.open_block(0, &places[1], slice(&bytes, &places[1]), "i").is_err());
        assert!(own.open_block(0, &places[1], slice(&bytes, &places[0]), "i").is_err());
        for byte in offset..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1;
            assert!(own.open_directory(&flipped[offset..], "i").is_err());
        }
        for length in 0..HEADER_BYTES {
            assert!(own.check_header(&bytes[..length], "i").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_listing_is_read_or_refused(bytes: Vec<u8>) {
            let _ = parse_listing(&bytes, "i");
        }
    }
}
