//! Wrapped keys: shard keys, and what hangs on them. Nothing unwraps that was not wrapped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::base::ids::{Epoch, ShardId, SubjectReference, VaultId};
use strongroom::keys::ring::{KeyName, KeyRing};
use strongroom::keys::{EpochSecret, MasterSecret};
use strongroom_fuzz::VAULT;

fuzz_target!(|bytes: &[u8]| {
    let master = MasterSecret::from_slice(&[0x11; 32]).unwrap();
    let secret = EpochSecret::from_slice(&[0x22; 32]).unwrap();
    let (vault, epoch, shard) = (VaultId(VAULT), Epoch(7), ShardId(3));
    // The vectors' own shard key opens, so that what hangs on it is tried, too.
    let (wrapped, rest) = bytes.split_at(bytes.len().min(60));
    for wrapped in [bytes, wrapped] {
        let Ok(ring) = KeyRing::open(vault, epoch, &master, &secret, [(shard, wrapped)]) else {
            continue;
        };
        let name = KeyName::Subject(SubjectReference([9; 16]));
        assert!(ring.unwrap(&name, shard, rest).is_err());
        assert!(ring.unwrap(&name, ShardId(4), rest).is_err());
    }
});
