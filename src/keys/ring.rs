//! The key ring: the shard keys of one epoch, opened, and the wrapping of everything that hangs on
//! them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{EpochSecret, KeyError, MasterSecret};
use crate::base::ids::{BackupId, Epoch, ShardId, SubjectReference, VaultId};
use crate::base::random::CryptoRng;
use crate::crypto::kdf::{self, DerivedKey};
use crate::crypto::{Context, aead, labels};

crate::secret_key!(
    /// S: wraps the keys of one shard.
    ShardKey
);

/// Which key is wrapped. The name is part of the wrapping's context, so that a wrapped key opens
/// in its own place only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyName {
    /// A subject's key.
    Subject(SubjectReference),
    /// A backup's age identity.
    Backup(BackupId),
    /// A key of the vault itself, by its kind (`commons`, `index`, `tombstone:2026Q4`, `canary`).
    Vault(String),
}

impl KeyName {
    fn context(&self, vault: VaultId, shard: ShardId) -> Context {
        let bound = |label| Context::new(label).with(&vault.0).with_number(shard.0.into());
        match self {
            Self::Subject(reference) => bound(labels::WRAP_SUBJECT).with(&reference.0),
            Self::Backup(id) => bound(labels::WRAP_BACKUP).with(id.as_str().as_bytes()),
            Self::Vault(kind) => bound(labels::WRAP_VAULT_KEY).with(kind.as_bytes()),
        }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject(reference) => write!(formatter, "the key of subject {reference}"),
            Self::Backup(id) => write!(formatter, "the key of backup {id}"),
            Self::Vault(kind) => write!(formatter, "the vault key `{kind}`"),
        }
    }
}

/// All shard keys of one epoch.
pub struct KeyRing {
    vault: VaultId,
    epoch: Epoch,
    root: DerivedKey,
    shards: BTreeMap<ShardId, ShardKey>,
}

impl KeyRing {
    /// An empty ring for a new epoch.
    #[must_use]
    pub fn new(vault: VaultId, epoch: Epoch, master: &MasterSecret, secret: &EpochSecret) -> Self {
        Self { vault, epoch, root: root_key(vault, epoch, master, secret), shards: BTreeMap::new() }
    }

    /// Opens every shard key that the catalog holds.
    pub fn open<'a>(
        vault: VaultId,
        epoch: Epoch,
        master: &MasterSecret,
        secret: &EpochSecret,
        wrapped_shards: impl IntoIterator<Item = (ShardId, &'a [u8])>,
    ) -> Result<Self, KeyError> {
        let mut ring = Self::new(vault, epoch, master, secret);
        for (shard, wrapped) in wrapped_shards {
            let failed = || KeyError::Wrapped { key: "the shard key".to_owned(), shard, epoch };
            let key =
                aead::unwrap(ring.root.expose(), &shard_context(vault, epoch, shard), wrapped)
                    .map_err(|_| failed())?;
            let key = ShardKey::from_slice(&key).ok_or_else(failed)?;
            ring.shards.insert(shard, key);
        }
        Ok(ring)
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> VaultId {
        self.vault
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The shards that the ring holds, ascending.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.shards.keys().copied()
    }

    /// Adds a shard with a fresh key; returns it wrapped under the root key, for the catalog.
    pub fn add_shard(&mut self, shard: ShardId, random: &mut (impl CryptoRng + ?Sized)) -> Vec<u8> {
        let key = ShardKey::generate(random);
        let wrapped = self.wrap_shard(shard, &key, random);
        self.shards.insert(shard, key);
        wrapped
    }

    /// Takes a shard over from another epoch; returns its key wrapped under this epoch's root.
    pub(super) fn adopt_shard(
        &mut self,
        shard: ShardId,
        from: &Self,
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Vec<u8>, KeyError> {
        let key = from.shard(shard)?;
        let wrapped = self.wrap_shard(shard, key, random);
        let copy = ShardKey::from_slice(key.expose()).ok_or(KeyError::NoShard { shard })?;
        self.shards.insert(shard, copy);
        Ok(wrapped)
    }

    /// The root key, for what hangs on the epoch itself.
    pub(super) fn root(&self) -> &DerivedKey {
        &self.root
    }

    /// A ring of the same epoch that holds this shard alone, if this one holds it.
    pub(super) fn only(&self, shard: ShardId) -> Self {
        let copy = |key: &ShardKey| ShardKey::from_slice(key.expose());
        let shards = self.shards.get(&shard).and_then(copy).map(|key| (shard, key));
        let root = self.root.duplicate();
        Self { vault: self.vault, epoch: self.epoch, root, shards: shards.into_iter().collect() }
    }

    /// Wraps a key under its shard's.
    pub fn wrap(
        &self,
        name: &KeyName,
        shard: ShardId,
        secret: &[u8],
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Vec<u8>, KeyError> {
        let context = name.context(self.vault, shard);
        Ok(aead::wrap(self.shard(shard)?.expose(), &context, secret, random))
    }

    /// Opens a key that hangs on a shard.
    pub fn unwrap(
        &self,
        name: &KeyName,
        shard: ShardId,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let context = name.context(self.vault, shard);
        aead::unwrap(self.shard(shard)?.expose(), &context, wrapped)
            .map_err(|_| KeyError::Wrapped { key: name.to_string(), shard, epoch: self.epoch })
    }

    fn shard(&self, shard: ShardId) -> Result<&ShardKey, KeyError> {
        self.shards.get(&shard).ok_or(KeyError::NoShard { shard })
    }

    fn wrap_shard(
        &self,
        shard: ShardId,
        key: &ShardKey,
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Vec<u8> {
        let context = shard_context(self.vault, self.epoch, shard);
        aead::wrap(self.root.expose(), &context, key.expose(), random)
    }
}

/// `R_e = HKDF-SHA-256(salt = vault id || e, ikm = E_e || M, info = "strongroom root v1")`, with e
/// as eight bytes, big-endian.
fn root_key(
    vault: VaultId,
    epoch: Epoch,
    master: &MasterSecret,
    secret: &EpochSecret,
) -> DerivedKey {
    let mut salt = vault.0.to_vec();
    salt.extend_from_slice(&epoch.0.to_be_bytes());
    let mut material = Zeroizing::new([0; 64]);
    material[..32].copy_from_slice(secret.expose());
    material[32..].copy_from_slice(master.expose());
    kdf::derive(&salt, material.as_slice(), labels::ROOT.as_bytes())
}

fn shard_context(vault: VaultId, epoch: Epoch, shard: ShardId) -> Context {
    Context::new(labels::WRAP_SHARD).with(&vault.0).with_number(epoch.0).with_number(shard.0.into())
}
