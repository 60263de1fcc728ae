//! An object of an index: sealed blocks, then a sealed directory that says where each lies. Version 1
//! is the whole index of one backup; version 2 is a layer that several backups may use.
//!
//! ```text
//! index     = header || sealed block* || sealed directory
//! header    = "SRINDX" || version (u16, big-endian: 1 or 2) || vault id (16) || backup id (23)
//! block n   = AES-256-GCM(index key, n, context(index block, vault, backup, n), block)
//! directory = AES-256-GCM(index key, 2^64 - 1, context(index directory, vault, backup), listing)
//! listing   = packs, in version 2 only || count (varint) || place*
//! packs     = count (varint) || pack id (16)*
//! place     = relation (varint) || first (16) || last (16) || entries (varint)
//!           || offset (varint) || length (varint)
//! ```
//!
//! The backup is the one that wrote the object. Block numbers count from 0 in the order of the places.
//! One subject is found by the directory and one block a relation, without reading the rest. The blocks
//! of version 1 are in [`super::index_block`], those of version 2 in [`super::layer_block`].

use super::layer_block::{self, Listed, PlainBlock};
use super::varint::{self, Reader};
use super::{ContainerError, index_block};
use crate::base::ids::{BackupId, PackId, SubjectReference, VaultId};
use crate::crypto::kdf::DerivedKey;
use crate::crypto::{Context, aead, labels};

/// The version of an index that is written here, and the newest that is known.
pub const VERSION: u16 = 2;
/// The header's length in bytes: the first block's offset.
pub const HEADER_BYTES: usize = 47;

/// The version of a backup's whole index, read and no longer written.
const VERSION_1: u16 = 1;
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

/// What the directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The packs that entries name by their places here; none in version 1, whose entries name
    /// places in the manifest's list.
    pub packs: Vec<PackId>,
    /// The blocks, in the order of their numbers.
    pub places: Vec<BlockPlace>,
}

/// What an index is bound to, and its key.
pub struct IndexSeal {
    version: u16,
    key: DerivedKey,
    vault: VaultId,
    backup: BackupId,
}

impl IndexSeal {
    /// The seal of the layer that a backup wrote.
    #[must_use]
    pub fn new(key: DerivedKey, vault: VaultId, backup: BackupId) -> Self {
        Self { version: VERSION, key, vault, backup }
    }

    /// The seal of a backup's index of version 1.
    #[must_use]
    pub fn of_version_1(key: DerivedKey, vault: VaultId, backup: BackupId) -> Self {
        Self { version: VERSION_1, key, vault, backup }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &DerivedKey {
        &self.key
    }

    /// The backup that wrote the object.
    #[must_use]
    pub fn backup(&self) -> &BackupId {
        &self.backup
    }

    /// The index's header.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&self.version.to_be_bytes());
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
        if !(VERSION_1..=VERSION).contains(&version) {
            return Err(ContainerError::NewerFormat {
                object: object.to_owned(),
                found: version.into(),
                known: VERSION.into(),
            });
        }
        if version != self.version {
            let reason = "it has another version than its backup's manifest says";
            return Err(ContainerError::malformed(object, reason));
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
    pub fn open_directory(&self, sealed: &[u8], object: &str) -> Result<Directory, ContainerError> {
        let listing =
            aead::open(self.key.expose(), DIRECTORY_NUMBER, &self.directory_context(), sealed)
                .map_err(|_| {
                    ContainerError::not_authentic(&format!("the directory of {object}"))
                })?;
        if self.version == VERSION_1 {
            let places = parse_listing(&listing, object)?;
            return Ok(Directory { packs: Vec::new(), places });
        }
        parse_layer_listing(&listing, object)
    }

    /// Opens the block of that number and checks it against its place.
    pub fn open_block(
        &self,
        number: u64,
        place: &BlockPlace,
        sealed: &[u8],
        object: &str,
    ) -> Result<Vec<Listed>, ContainerError> {
        let block = aead::open(self.key.expose(), number, &self.block_context(number), sealed)
            .map_err(|_| ContainerError::not_authentic(&format!("block {number} of {object}")))?;
        let (relation, entries) = if self.version == VERSION_1 {
            let (relation, entries) = index_block::parse(&block, object)?;
            (relation, entries.into_iter().map(Listed::Segment).collect())
        } else {
            layer_block::parse(&block, object)?
        };
        let fits = relation == place.relation
            && entries.len() as u64 == place.entries
            && entries.first().map(Listed::reference) == Some(place.first)
            && entries.last().map(Listed::reference) == Some(place.last);
        if fits {
            Ok(entries)
        } else {
            Err(ContainerError::malformed(object, "a block is not what the directory says"))
        }
    }

    fn block_context(&self, number: u64) -> Context {
        let first = self.version == VERSION_1;
        let label = if first { labels::INDEX_BLOCK } else { labels::LAYER_BLOCK };
        self.context(label).with_number(number)
    }

    fn directory_context(&self) -> Context {
        let first = self.version == VERSION_1;
        self.context(if first { labels::INDEX_DIRECTORY } else { labels::LAYER_DIRECTORY })
    }

    fn context(&self, label: &str) -> Context {
        Context::new(label).with(&self.vault.0).with(self.backup.as_str().as_bytes())
    }
}

/// Turns blocks into a layer's bytes, in the order in which they are to be written.
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

    /// How many entries the blocks hold.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.places.iter().map(|place| place.entries).sum()
    }

    /// Seals the directory, with the packs that the entries name: the bytes to end with, and their
    /// offset.
    #[must_use]
    pub fn finish(self, packs: &[PackId]) -> (Vec<u8>, u64) {
        let mut listing = Vec::new();
        varint::put(&mut listing, packs.len() as u64);
        for pack in packs {
            listing.extend_from_slice(&pack.0);
        }
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

/// Reads an opened directory of version 1.
pub fn parse_listing(bytes: &[u8], object: &str) -> Result<Vec<BlockPlace>, ContainerError> {
    parse_places(&mut Reader(bytes)).ok_or_else(|| unreadable(object))
}

/// Reads an opened directory of a layer.
pub fn parse_layer_listing(bytes: &[u8], object: &str) -> Result<Directory, ContainerError> {
    let mut reader = Reader(bytes);
    let packs = parse_packs(&mut reader).ok_or_else(|| unreadable(object))?;
    let places = parse_places(&mut reader).ok_or_else(|| unreadable(object))?;
    Ok(Directory { packs, places })
}

fn unreadable(object: &str) -> ContainerError {
    ContainerError::malformed(object, "its directory cannot be read")
}

fn parse_packs(reader: &mut Reader<'_>) -> Option<Vec<PackId>> {
    let count = reader.number()?;
    let mut packs = Vec::new();
    for _ in 0..count {
        packs.push(PackId(reader.array()?));
    }
    Some(packs)
}

/// The places, which end the listing.
fn parse_places(reader: &mut Reader<'_>) -> Option<Vec<BlockPlace>> {
    let count = reader.number()?;
    let mut places = Vec::new();
    for _ in 0..count {
        places.push(parse_place(reader)?);
    }
    reader.is_empty().then_some(places)
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
    use crate::container::index_block::IndexEntry;
    use crate::container::layer_block::BlockBuilder;
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
                assert!(builder.push(&Listed::Segment(entry)).is_none());
            }
            bytes.extend(writer.block(&builder.take().unwrap()));
        }
        assert_eq!(writer.entries(), 57);
        let (directory, offset) = writer.finish(&[PackId([7; 16])]);
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
        let Directory { packs, places } = seal.open_directory(&bytes[offset..], "i").unwrap();
        assert_eq!((packs, places.len()), (vec![PackId([7; 16])], 3));
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
        let places = own.open_directory(&bytes[offset..], "i").unwrap().places;
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
        let old = IndexSeal::of_version_1(own.key.duplicate(), own.vault, own.backup.clone());
        assert!(old.check_header(&bytes, "i").is_err());
        assert!(old.open_directory(&bytes[offset..], "i").is_err());
        assert!(old.open_block(0, &places[0], slice(&bytes, &places[0]), "i").is_err());
        for length in 0..HEADER_BYTES {
            assert!(own.check_header(&bytes[..length], "i").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_listing_is_read_or_refused(bytes: Vec<u8>) {
            let _ = parse_listing(&bytes, "i");
            let _ = parse_layer_listing(&bytes, "i");
        }
    }
}
