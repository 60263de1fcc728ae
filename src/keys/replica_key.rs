//! The keys of the catalog's replica in the store. A head's key hangs on the root key of its epoch
//! and dies with it; the keys of data objects are in the head, and at home on the vault's shard.

use zeroize::Zeroizing;

use super::KeyError;
use super::ring::{KeyName, KeyRing};
use crate::base::ids::{Epoch, ShardId, VaultId};
use crate::base::random::CryptoRng;
use crate::crypto::kdf::{self, DerivedKey};
use crate::crypto::{Context, labels};

/// What a sync needs of a key ring, and no more: owned, so that no lock is held while it waits for
/// the store.
pub struct ReplicaKeys(KeyRing);

impl KeyRing {
    /// The keys of the catalog's replica in this epoch.
    #[must_use]
    pub fn replica_keys(&self) -> ReplicaKeys {
        ReplicaKeys(self.only(ShardId::VAULT))
    }
}

impl ReplicaKeys {
    /// The vault.
    #[must_use]
    pub fn vault(&self) -> VaultId {
        self.0.vault()
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    /// The key of one head: `HKDF(salt, R_e, context(label, vault, epoch, sequence))`.
    #[must_use]
    pub fn head_key(&self, salt: &[u8; 32], sequence: u64) -> DerivedKey {
        let info = Context::new(labels::REPLICA_KEY)
            .with(&self.vault().0)
            .with_number(self.epoch().0)
            .with_number(sequence);
        kdf::derive(salt, self.0.root().expose(), info.as_bytes())
    }

    /// The kind under which the catalog keeps the key of a data object.
    #[must_use]
    pub fn kind(sequence: u64) -> String {
        format!("{}{sequence:010}", super::vault_keys::kinds::REPLICA_PREFIX)
    }

    /// Wraps the key of a data object for the catalog.
    pub fn wrap(
        &self,
        sequence: u64,
        key: &[u8; 32],
        random: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Vec<u8>, KeyError> {
        self.0.wrap(&KeyName::Vault(Self::kind(sequence)), ShardId::VAULT, key, random)
    }

    /// Opens the key of a data object as the catalog has it.
    pub fn unwrap(&self, sequence: u64, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.unwrap(&KeyName::Vault(Self::kind(sequence)), ShardId::VAULT, wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::keys::{EpochSecret, MasterSecret};

    #[test]
    fn a_heads_key_is_of_its_vault_epoch_number_and_salt() {
        let random = &mut random::system();
        let (master, secret) = (MasterSecret::generate(random), EpochSecret::generate(random));
        let keys = |vault, epoch| {
            KeyRing::new(VaultId([vault; 16]), Epoch(epoch), &master, &secret).replica_keys()
        };
        let key =
            |keys: ReplicaKeys, salt, sequence| *keys.head_key(&[salt; 32], sequence).expose();
        let one = key(keys(1, 1), 0, 1);
        assert_eq!(one, key(keys(1, 1), 0, 1));
        for other in [
            key(keys(2, 1), 0, 1),
            key(keys(1, 2), 0, 1),
            key(keys(1, 1), 1, 1),
            key(keys(1, 1), 0, 2),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_data_objects_key_opens_under_its_own_number() {
        let random = &mut random::system();
        let (master, secret) = (MasterSecret::generate(random), EpochSecret::generate(random));
        let mut ring = KeyRing::new(VaultId([1; 16]), Epoch(1), &master, &secret);
        assert!(ring.replica_keys().wrap(7, &[9; 32], random).is_err());
        ring.add_shard(ShardId::VAULT, random);
        let keys = ring.replica_keys();
        let wrapped = keys.wrap(7, &[9; 32], random).unwrap();
        assert_eq!(*keys.unwrap(7, &wrapped).unwrap(), [9; 32]);
        assert!(keys.unwrap(8, &wrapped).is_err());
        assert_eq!(ReplicaKeys::kind(7), "replica:0000000007");
    }
}
