//! A head: which cells are the catalog at one moment, and the keys of the data objects they lie in.
//!
//! ```text
//! head   = header || sealed body
//! header = "SRHEAD" || version (u16, big-endian: 1) || vault id (16)
//!       || epoch (u64) || sequence (u64) || salt (32)
//! key    = HKDF(salt, R_e, context("strongroom replica key v1", vault, epoch, sequence))
//! body   = AES-256-GCM(key, 0, context("strongroom replica head v1", header), plain)
//! plain  = number of data objects (u32) || their keys (32 each, in the list's order) || zstd(JSON)
//! ```
//!
//! The keys stand before the list and not in it: nobody overwrites what a compressor or a parser
//! leaves in memory.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ObjectKey, check_beginning, compress, decompress};
use crate::base::ids::{Digest, Epoch, VaultId};
use crate::container::{ContainerError, names};
use crate::crypto::kdf::DerivedKey;
use crate::crypto::{Context, aead, labels};

/// The header's length in bytes.
pub const HEADER_BYTES: usize = 72;

const MAGIC: [u8; 6] = *b"SRHEAD";
/// A cell's name is at most this long, in bytes.
const CELL_BYTES_MAX: usize = 63;
/// The length of the number of keys, and of a key.
const COUNT_BYTES: usize = 4;
const KEY_BYTES: usize = 32;

/// What a head says before it is opened: enough to find the key, and to name a mix-up as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadHeader {
    /// The vault.
    pub vault: VaultId,
    /// The epoch whose root key opens it.
    pub epoch: Epoch,
    /// The replica's number: 1, 2, 3.
    pub sequence: u64,
    /// Random, so that no two heads share a key.
    pub salt: [u8; 32],
}

/// A replica of the catalog: what its head says. As JSON it has everything but the keys.
#[derive(Serialize)]
pub struct Head {
    /// The version of the catalog's schema that the rows have.
    pub schema: i64,
    /// When it was written.
    pub written_at: DateTime<Utc>,
    /// SHA-256 of the head before, if there was one.
    pub previous: Option<Digest>,
    /// The data objects in which cells lie, ascending by number.
    pub objects: Vec<DataObject>,
    /// Where each cell lies, ascending by name.
    pub cells: Vec<CellPlace>,
}

/// One data object.
#[derive(Serialize)]
pub struct DataObject {
    /// The number of the sync that wrote it.
    pub sequence: u64,
    /// Its name in the store.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its key.
    #[serde(skip)]
    pub key: ObjectKey,
}

/// A head's list as it is read: everything but the keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema: i64,
    written_at: DateTime<Utc>,
    #[serde(deserialize_with = "Option::deserialize")]
    previous: Option<Digest>,
    objects: Vec<ListedObject>,
    cells: Vec<CellPlace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedObject {
    sequence: u64,
    name: String,
    bytes: u64,
}

/// Where a cell lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellPlace {
    /// Its name.
    pub cell: String,
    /// The number of its data object.
    pub object: u64,
    /// The number of its first frame in that object, from 0.
    pub frame: u64,
    /// Where it begins in that object, in bytes.
    pub offset: u64,
    /// Its sealed length in bytes.
    pub length: u64,
    /// SHA-256 of its sealed bytes.
    pub sha256: Digest,
}

impl HeadHeader {
    /// Reads the header of a head. It is not authentic before the body has opened.
    pub fn parse(bytes: &[u8], object: &str) -> Result<Self, ContainerError> {
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| ContainerError::malformed(object, "it ends within its header"))?;
        check_beginning(header, MAGIC, "it is not the head of a replica", object)?;
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let (mut vault, mut salt) = (VaultId([0; 16]), [0; 32]);
        vault.0.copy_from_slice(&header[8..24]);
        salt.copy_from_slice(&header[40..]);
        Ok(Self { vault, epoch: Epoch(number(24)), sequence: number(32), salt })
    }

    /// Reads the header of the head of that vault and number.
    pub fn expect(
        bytes: &[u8],
        vault: VaultId,
        sequence: u64,
        object: &str,
    ) -> Result<Self, ContainerError> {
        let header = Self::parse(bytes, object)?;
        if header.vault != vault {
            return Err(ContainerError::OtherVault { object: object.to_owned() });
        }
        if header.sequence != sequence {
            return Err(ContainerError::OtherReplica { object: object.to_owned() });
        }
        Ok(header)
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&super::VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.vault.0);
        bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes
    }
}

impl Head {
    /// Seals a head: the whole object.
    pub fn seal(
        &self,
        header: &HeadHeader,
        key: &DerivedKey,
        object: &str,
    ) -> Result<Vec<u8>, ContainerError> {
        let json = serde_json::to_vec(self)
            .map_err(|_| ContainerError::malformed(object, "it cannot be written as JSON"))?;
        let list = compress(&json, object)?;
        let count = u32::try_from(self.objects.len())
            .map_err(|_| ContainerError::malformed(object, "it would have too many objects"))?;
        // Reserved in full, so that growing leaves no copy of the objects' keys behind.
        let length = COUNT_BYTES + self.objects.len() * KEY_BYTES + list.len();
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        body.extend_from_slice(&count.to_be_bytes());
        for object in &self.objects {
            body.extend_from_slice(object.key.expose());
        }
        body.extend_from_slice(&list);
        let mut bytes = header.to_bytes();
        let context = context(&bytes);
        bytes.extend_from_slice(&aead::seal(key.expose(), 0, &context, &body));
        Ok(bytes)
    }

    /// Opens a head whose header was read already.
    pub fn open(bytes: &[u8], key: &DerivedKey, object: &str) -> Result<Self, ContainerError> {
        let (header, sealed) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| ContainerError::malformed(object, "it ends within its header"))?;
        let body = aead::open(key.expose(), 0, &context(header), sealed)
            .map_err(|_| ContainerError::not_authentic(object))?;
        Self::parse(&Zeroizing::new(body), object)
    }

    /// Reads an opened body.
    pub fn parse(body: &[u8], object: &str) -> Result<Self, ContainerError> {
        let malformed = |reason| ContainerError::malformed(object, reason);
        let split = || {
            let (count, rest) = body.split_first_chunk::<COUNT_BYTES>()?;
            let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
            rest.split_at_checked(count.checked_mul(KEY_BYTES)?)
        };
        let (keys, list) = split().ok_or_else(|| malformed("it ends within its keys"))?;
        let json = decompress(list, object)?;
        let list: List =
            serde_json::from_slice(&json).map_err(|_| malformed("its list cannot be read"))?;
        if keys.len() != list.objects.len() * KEY_BYTES {
            return Err(malformed("it has another number of keys than of data objects"));
        }
        let objects = list.objects.into_iter().zip(keys.chunks_exact(KEY_BYTES));
        let objects = objects.map(|(listed, key)| {
            let ListedObject { sequence, name, bytes } = listed;
            Some(DataObject { sequence, name, bytes, key: ObjectKey::from_slice(key)? })
        });
        let List { schema, written_at, previous, cells, .. } = list;
        let objects: Option<_> = objects.collect();
        let objects = objects.ok_or_else(|| malformed("a key is not 32 bytes"))?;
        let head = Self { schema, written_at, previous, objects, cells };
        match head.broken_rule() {
            None => Ok(head),
            Some(reason) => Err(ContainerError::malformed(object, reason)),
        }
    }

    /// The data object of that number.
    #[must_use]
    pub fn object(&self, sequence: u64) -> Option<&DataObject> {
        let found = self.objects.binary_search_by_key(&sequence, |object| object.sequence);
        found.ok().map(|place| &self.objects[place])
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let ascending = self.objects.windows(2).all(|pair| pair[0].sequence < pair[1].sequence)
            && self.cells.windows(2).all(|pair| pair[0].cell < pair[1].cell);
        if !ascending {
            return Some("its lists are out of order");
        }
        let names: BTreeSet<_> = self.objects.iter().map(|object| &object.name).collect();
        let named =
            |object: &DataObject| names::replica_data_number(&object.name) == Some(object.sequence);
        if names.len() != self.objects.len() || !self.objects.iter().all(named) {
            return Some("a data object has a name that it cannot have");
        }
        let mut frames: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for cell in &self.cells {
            if cell.cell.is_empty() || cell.cell.len() > CELL_BYTES_MAX {
                return Some("a cell has a name that it cannot have");
            }
            let Some(object) = self.object(cell.object) else {
                return Some("a cell lies in an object that is not listed");
            };
            let end = cell.offset.checked_add(cell.length);
            if cell.length == 0 || end.is_none_or(|end| end > object.bytes) {
                return Some("a cell lies outside of its object");
            }
            frames.entry(cell.object).or_default().push((cell.offset, cell.offset + cell.length));
        }
        for places in frames.values_mut() {
            places.sort_unstable();
            if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Some("two cells overlap");
            }
        }
        None
    }
}

fn context(header: &[u8]) -> Context {
    Context::new(labels::REPLICA_HEAD).with(header)
}

#[cfg(test)]
mod tests;
