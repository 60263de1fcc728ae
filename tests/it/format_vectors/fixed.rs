//! Fixed keys and ids. They protect nothing and must never protect anything.

use std::convert::Infallible;

use rand::rand_core::{TryCryptoRng, TryRng};
use strongroom::base::ids::{BackupId, PackId, SourceId, SubjectReference, VaultId};
use strongroom::base::schema::QualifiedName;
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::segment::Relation;
use strongroom::keys::vault_keys::{IndexKey, ReferenceMaker};

pub const MASTER: [u8; 32] = [0x11; 32];
pub const EPOCH_SECRET: [u8; 32] = [0x22; 32];
pub const SHARD_KEY: [u8; 32] = [0x33; 32];
pub const ANNA_KEY: [u8; 32] = [0x41; 32];
pub const BRUNO_KEY: [u8; 32] = [0x42; 32];
pub const COMMONS_KEY: [u8; 32] = [0x43; 32];
pub const INDEX_KEY: [u8; 32] = [0x44; 32];
pub const TOMBSTONE_KEY: [u8; 32] = [0x45; 32];

pub const IDENTITY: &str =
    "AGE-SECRET-KEY-1GERYV3JXGERYV3JXGERYV3JXGERYV3JXGERYV3JXGERYV3JXGERQFRPYGF";

/// Another backup's.
pub const OTHER_IDENTITY: &str =
    "AGE-SECRET-KEY-1GAR5W368GAR5W368GAR5W368GAR5W368GAR5W368GAR5W368GARSV3C77T";

const fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        #[allow(clippy::cast_possible_truncation)]
        let step = index as u8;
        bytes[index] = first + step;
        index += 1;
    }
    bytes
}

pub const VAULT: VaultId = VaultId(counting(0x01));
pub const OTHER_VAULT: VaultId = VaultId(counting(0xa1));
pub const SOURCE: SourceId = SourceId(counting(0x31));
pub const OTHER_SOURCE: SourceId = SourceId(counting(0xb1));
pub const PACK: PackId = PackId(counting(0x51));

pub fn backup() -> BackupId {
    "20261122T020000Z-3fa9c1".parse().unwrap()
}

pub fn other_backup() -> BackupId {
    "20261123T020000Z-000001".parse().unwrap()
}

pub fn identity() -> BackupIdentity {
    BackupIdentity::from_text(IDENTITY.as_bytes()).unwrap()
}

pub fn other_identity() -> BackupIdentity {
    BackupIdentity::from_text(OTHER_IDENTITY.as_bytes()).unwrap()
}

pub fn table(name: &str) -> Relation {
    Relation::Table(QualifiedName::new("public", name))
}

pub fn reference(key: &str) -> SubjectReference {
    let maker = ReferenceMaker::new(&IndexKey::from_slice(&INDEX_KEY).unwrap());
    maker.reference(SOURCE, "users", key.as_bytes())
}

/// "Random" bytes that count up: the nonces of the vectors.
pub struct Counting(pub u8);

impl TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counting {}

/// The bytes with one bit flipped.
pub fn flipped(bytes: &[u8], byte: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[byte] ^= 1;
    flipped
}
