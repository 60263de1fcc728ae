//! What the tests of the catalog begin with.

use chrono::{DateTime, TimeDelta, Utc};

use super::shards::{self, ShardRow};
use super::sources::{self, SourceRow, SourceUrl};
use super::subjects::SubjectRow;
use super::{Catalog, NewVault};
use crate::base::ids::{Epoch, ShardId, SourceId, SubjectReference, VaultId};

/// The source that [`catalog`] holds.
pub const SOURCE: SourceId = SourceId([2; 16]);

/// `second` seconds after a fixed moment.
pub fn moment(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + second)
}

/// A new catalog in its own folder, with one source and one shard.
pub fn catalog() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let vault = NewVault {
        vault_id: VaultId([1; 16]),
        format_version: 1,
        created_at: moment(0),
        epoch: Epoch(1),
    };
    let catalog = Catalog::create(&folder.path().join("vault.db"), &vault).unwrap();
    catalog
        .transaction(|transaction| {
            let url = SourceUrl::Environment("DATABASE_URL".into());
            let source =
                SourceRow { source_id: SOURCE, name: "shop".into(), url, created_at: moment(1) };
            sources::insert(transaction, &source)?;
            shards::insert(transaction, &shard(1, 100))
        })
        .unwrap();
    (folder, catalog)
}

/// A shard with a recognisable key.
pub fn shard(number: u32, capacity: u64) -> ShardRow {
    ShardRow { shard_id: ShardId(number), wrapped_key: vec![number.to_le_bytes()[0]; 60], capacity }
}

/// A subject of the first shard whose reference and wrapped key follow from `number`.
pub fn subject(number: u64) -> SubjectRow {
    let mut reference = [0; 16];
    reference[..8].copy_from_slice(&scattered(number).to_be_bytes());
    reference[8..].copy_from_slice(&number.to_be_bytes());
    let mut wrapped_key = b"wrapped-key-of-a-subject".to_vec();
    for round in 1..=5 {
        let part = scattered(scattered(number).wrapping_add(round));
        wrapped_key.extend_from_slice(&part.to_be_bytes());
    }
    SubjectRow {
        reference: SubjectReference(reference),
        source_id: SOURCE,
        shard_id: ShardId(1),
        wrapped_key,
        created_at: moment(2),
        readmitted_epoch: None,
    }
}

/// A permutation of the numbers as unordered as chance (the finalizer of `SplitMix64`).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
