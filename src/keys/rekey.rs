//! The arithmetic of a forgetting: new keys for the shards concerned, their survivors wrapped
//! again, and every shard wrapped under the next epoch's root key. Pure: what is to be stored comes
//! out as values; the order of durable steps is `ops::forget`'s.
//!
//! The argument is the key graph of Di Crescenzo et al. (STACS 1999) and Reardon et al. (CCS 2013):
//! every path from old copies of the catalog to a key leads through the old root key, which dies
//! with the old epoch secret.

use std::collections::BTreeSet;

use super::ring::{KeyName, KeyRing};
use super::{EpochSecret, KeyError, MasterSecret};
use crate::base::ids::ShardId;
use crate::base::random::CryptoRng;

/// A key that hangs on a shard, as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWrapping {
    /// Which key.
    pub name: KeyName,
    /// Its shard.
    pub shard: ShardId,
    /// Its wrapped bytes.
    pub wrapped: Vec<u8>,
}

/// Every shard's key, wrapped under the root key of an epoch.
pub type WrappedShards = Vec<(ShardId, Vec<u8>)>;

/// The ring of the next epoch, and every shard's key wrapped under its root key. The shards of
/// `concerned`, which hold a key to be forgotten, get fresh keys; all others keep theirs. `master`
/// is the master secret of the next epoch: the same as ever, unless it is being replaced.
pub fn next_ring(
    ring: &KeyRing,
    master: &MasterSecret,
    next_secret: &EpochSecret,
    concerned: &BTreeSet<ShardId>,
    random: &mut (impl CryptoRng + ?Sized),
) -> Result<(KeyRing, WrappedShards), KeyError> {
    let mut next = KeyRing::new(ring.vault(), ring.epoch().next(), master, next_secret);
    let mut shards = Vec::new();
    for shard in ring.shards() {
        let wrapped = if concerned.contains(&shard) {
            next.add_shard(shard, random)
        } else {
            next.adopt_shard(shard, ring, random)?
        };
        shards.push((shard, wrapped));
    }
    Ok((next, shards))
}

/// Wraps a survivor of a concerned shard under that shard's fresh key, and proves that it opens.
pub fn rewrap(
    ring: &KeyRing,
    next: &KeyRing,
    key: &KeyWrapping,
    random: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<u8>, KeyError> {
    let secret = ring.unwrap(&key.name, key.shard, &key.wrapped)?;
    let wrapped = next.wrap(&key.name, key.shard, &secret, random)?;
    if *next.unwrap(&key.name, key.shard, &wrapped)? != *secret {
        return Err(KeyError::Wrapped {
            key: key.name.to_string(),
            shard: key.shard,
            epoch: next.epoch(),
        });
    }
    Ok(wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Epoch, SubjectReference, VaultId};
    use crate::base::random;

    #[test]
    fn the_next_epoch_opens_survivors_and_nothing_of_the_last_one_does() {
        let random = &mut random::system();
        let vault = VaultId([3; 16]);
        let master = MasterSecret::generate(random);
        let (old_secret, new_secret) =
            (EpochSecret::generate(random), EpochSecret::generate(random));
        let mut ring = KeyRing::new(vault, Epoch::FIRST, &master, &old_secret);
        let (one, two) = (ShardId(2), ShardId(3));
        let old_shards = [(one, ring.add_shard(one, random)), (two, ring.add_shard(two, random))];
        let names: Vec<KeyName> =
            (1..=3).map(|n| KeyName::Subject(SubjectReference([n; 16]))).collect();
        let wrap = |ring: &KeyRing, index: usize, shard| KeyWrapping {
            name: names[index].clone(),
            shard,
            wrapped: ring
                .wrap(
                    &names[index],
                    shard,
                    &[u8::try_from(index).unwrap(); 32],
                    &mut random::system(),
                )
                .unwrap(),
        };
        let (anna, bruno, carla) = (wrap(&ring, 0, one), wrap(&ring, 1, one), wrap(&ring, 2, two));

        // Anna is forgotten: her shard is concerned, Bruno survives in it, Carla is elsewhere.
        let concerned = BTreeSet::from([one]);
        let (next, shards) = next_ring(&ring, &master, &new_secret, &concerned, random).unwrap();
        let survivor = rewrap(&ring, &next, &bruno, random).unwrap();

        let open = |secret: &EpochSecret, epoch, shards: &[(ShardId, Vec<u8>)]| {
            let shards = shards.iter().map(|(shard, wrapped)| (*shard, wrapped.as_slice()));
            KeyRing::open(vault, epoch, &master, secret, shards)
        };
        let next = open(&new_secret, Epoch(2), &shards).unwrap();
        assert_eq!(*next.unwrap(&names[1], one, &survivor).unwrap(), [1; 32]);
        assert_eq!(*next.unwrap(&names[2], two, &carla.wrapped).unwrap(), [2; 32]);

        // The new epoch opens no old copy, whole or mixed with new rows.
        assert!(next.unwrap(&names[0], one, &anna.wrapped).is_err());
        assert!(next.unwrap(&names[1], one, &bruno.wrapped).is_err());
        assert!(open(&new_secret, Epoch(1), &old_shards).is_err());
        assert!(open(&new_secret, Epoch(2), &old_shards).is_err());
        // And the old secret, while it lives, opens the old copy: it is what must be destroyed.
        assert!(open(&old_secret, Epoch(1), &old_shards).is_ok());
    }
}
