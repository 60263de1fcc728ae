//! A head: which cells are the catalog at one moment, and the keys of the data objects they lie in.
//!
//! ```text
//! head   = header || sealed body
//! header = "SRHEAD" || version (u16, big-endian: 1) || vault id (16)
//!       || epoch (u64) || sequence (u64) || salt (32)
//! key    = HKDF(salt, R_e, context("strongroom replica key v1", vault, epoch, sequence))
//! body   = AES-256-GCM(key, 0, context("strongroom replica head v1", header), zstd(JSON))
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{ObjectKey, check_beginning, compress, decompress};
use crate::container::ContainerError;
use crate::container::names;
use crate::crypto::kdf::DerivedKey;
use crate::crypto::{Context, aead, labels};
use crate::ids::{Digest, Epoch, VaultId};

/// The header's length in bytes.
pub const HEADER_BYTES: usize = 72;

const MAGIC: [u8; 6] = *b"SRHEAD";
/// A cell's name is at most this long, in bytes.
const CELL_BYTES_MAX: usize = 63;

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

/// A replica of the catalog: what its head says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataObject {
    /// The number of the sync that wrote it.
    pub sequence: u64,
    /// Its name in the store.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its key.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub key: ObjectKey,
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
        // Reserved in full, so that growing leaves no copy of the objects' keys behind.
        let length = 4096 + self.objects.len() * 1200 + self.cells.len() * 300;
        let mut json = Zeroizing::new(Vec::with_capacity(length));
        serde_json::to_writer(&mut *json, self)
            .map_err(|_| ContainerError::malformed(object, "it cannot be written as JSON"))?;
        let body = Zeroizing::new(compress(&json, object)?);
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
        let json = Zeroizing::new(decompress(body, object)?);
        let head: Self = serde_json::from_slice(&json)
            .map_err(|_| ContainerError::malformed(object, "its list cannot be read"))?;
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

fn write_key<S: Serializer>(key: &ObjectKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(hex::encode(key.expose())))
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectKey, D::Error> {
    let digits = Zeroizing::new(String::deserialize(deserializer)?);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&*digits, bytes.as_mut_slice()).map_err(serde::de::Error::custom)?;
    ObjectKey::from_slice(bytes.as_slice()).ok_or_else(|| serde::de::Error::custom("no key"))
}

#[cfg(test)]
mod tests;
