//! The negative test after an erasure: what was kept from before it must not open with what there is
//! now, and what is somebody else's must.
//!
//! It plays the holder of everything: the catalog from before (the wrapped keys as they stood, and
//! its replica in the store, where that can still be read), every affected backup, the master secret
//! and the new epoch's secret as the custodians hand it out.

use crate::vault::unlock::read_ring;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::look::{Affected, Found};
use crate::base::clock::timestamp;
use crate::base::durable;
use crate::base::ids::{Epoch, PackId, SubjectReference, VaultId};
use crate::catalog::erasure_proofs::{self, ErasureProofRow};
use crate::catalog::shards::{self, ShardRow};
use crate::catalog::sources::SourceRow;
use crate::catalog::subjects::{self, SubjectRow};
use crate::container::index_block::IndexEntry;
use crate::crypto::segment::ContentMac;
use crate::keys::replica_key::ReplicaKeys;
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::{EpochSecret, SubjectKey};
use crate::store::ObjectName;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::scan::open_segment;
use crate::vault::reader::{BackupReader, ReaderCache};
use crate::vault::subject_keys::{Standing, SubjectKeys};
use crate::vault::{CustodyError, OpsError, custody, replica};

/// What the test found. Figures only.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// When it ran.
    pub proven_at: String,
    /// Replicas of the catalog from before the erasure that were still in the store and were tried.
    pub replicas_tried: u64,
    /// Backups that were tried: all that held rows of the erased.
    pub backups_tried: u64,
    /// Their segments that were tried.
    pub segments_tried: u64,
    /// Those that opened: zero, or the erasure failed.
    pub segments_opened: u64,
    /// Segments of other people, one a backup where one was at hand, that opened.
    pub bystanders_opened: u64,
    /// Those that did not open. They are damaged, or their keys are.
    pub bystanders_failed: u64,
}

/// What somebody may have kept from before the erasure.
pub(super) struct Before {
    epoch: Epoch,
    shards: Vec<ShardRow>,
    subjects: Vec<SubjectRow>,
    replica: Option<ObjectName>,
}

impl Before {
    /// Keeps it, in memory. Wrapped keys only.
    pub fn remember(vault: &Vault, references: &[SubjectReference]) -> Result<Self, OpsError> {
        let replica = replica::present_head(vault)?;
        let catalog = vault.catalog();
        let connection = catalog.connection();
        let mut rows = Vec::new();
        for reference in references {
            rows.extend(subjects::get(connection, reference)?);
        }
        Ok(Self {
            epoch: crate::catalog::vault::read(connection)?.epoch,
            shards: shards::all(connection)?,
            subjects: rows,
            replica,
        })
    }

    /// Tries everything, and records the figures for each of `erasures`.
    pub async fn prove(
        &self,
        vault: &Vault,
        unlocked: &Arc<Unlocked>,
        source: &SourceRow,
        found: &Found,
        erasures: &[u64],
    ) -> Result<Proof, OpsError> {
        let proven_at = vault.clock().now();
        // As a stranger would have it: read again, from the catalog and the custodians.
        let ring = read_ring(vault, &unlocked.master())?;
        let present = crate::catalog::custody::present(vault.catalog().connection())?;
        let secret = custody::read_secret(vault, &present)?;
        let mut found_keys = self.keys_from_before(vault.id(), unlocked, &ring, &secret);
        let mut proof = Proof {
            proven_at: timestamp(proven_at),
            replicas_tried: 0,
            backups_tried: found.backups.len() as u64,
            segments_tried: 0,
            segments_opened: 0,
            bystanders_opened: 0,
            bystanders_failed: 0,
        };
        if let Some(name) = &self.replica
            && let Some(opens) =
                replica::opens(vault, name, &self.replica_keys(unlocked, &ring, &secret)).await?
        {
            proof.replicas_tried = 1;
            if opens {
                let what = format!("the replica {name}");
                return Err(CustodyError::Unproven { what }.into());
            }
        }
        // What is nobody's must not open what was hers either.
        found_keys.extend(SubjectKey::from_slice(unlocked.commons.expose()));
        let trial = Trial {
            vault,
            unlocked,
            source,
            keys: found_keys,
            opened: &found.opened,
            tried: HashMap::new(),
        };
        trial.run(&found.backups, &mut proof).await?;
        record(vault, &proof, proven_at, erasures)?;
        if proof.segments_opened > 0 {
            let what = format!("{} of the segments", proof.segments_opened);
            return Err(CustodyError::Unproven { what }.into());
        }
        Ok(proof)
    }

    /// The keys of the erased that open from the old wrappings: none, or the erasure failed.
    fn keys_from_before(
        &self,
        vault: VaultId,
        unlocked: &Unlocked,
        ring: &KeyRing,
        secret: &EpochSecret,
    ) -> Vec<SubjectKey> {
        let mut found = Vec::new();
        for row in &self.subjects {
            let name = KeyName::Subject(row.reference);
            for shard in ring.shards() {
                let key = ring.unwrap(&name, shard, &row.wrapped_key).ok();
                found.extend(key.and_then(|key| SubjectKey::from_slice(&key)));
            }
        }
        let master = unlocked.master();
        for epoch in [self.epoch, ring.epoch()] {
            for shard in &self.shards {
                let wrapped = [(shard.shard_id, shard.wrapped_key.as_slice())];
                let Ok(old) = KeyRing::open(vault, epoch, &master, secret, wrapped) else {
                    continue;
                };
                for row in self.subjects.iter().filter(|row| row.shard_id == shard.shard_id) {
                    let name = KeyName::Subject(row.reference);
                    let key = old.unwrap(&name, shard.shard_id, &row.wrapped_key).ok();
                    found.extend(key.and_then(|key| SubjectKey::from_slice(&key)));
                }
            }
        }
        found
    }

    /// What could open a head: the present keys, as they are and under the old number.
    fn replica_keys(
        &self,
        unlocked: &Unlocked,
        ring: &KeyRing,
        secret: &EpochSecret,
    ) -> [ReplicaKeys; 2] {
        let old = KeyRing::new(ring.vault(), self.epoch, &unlocked.master(), secret);
        [ring.replica_keys(), old.replica_keys()]
    }
}

/// A segment in a pack: backups that share it share what came of trying it.
type Tried = HashMap<(PackId, u64, u64, ContentMac), bool>;

/// What the segments are tried with.
struct Trial<'a> {
    vault: &'a Vault,
    unlocked: &'a Arc<Unlocked>,
    source: &'a SourceRow,
    keys: Vec<SubjectKey>,
    /// Manifests and indexes from before, which name the segments.
    opened: &'a Arc<ReaderCache>,
    tried: Tried,
}

impl Trial<'_> {
    async fn run(mut self, backups: &[Affected], proof: &mut Proof) -> Result<(), OpsError> {
        for backup in backups {
            self.try_backup(backup, proof).await?;
        }
        Ok(())
    }

    async fn try_backup(&mut self, backup: &Affected, proof: &mut Proof) -> Result<(), OpsError> {
        let identity = self.unlocked.backup_identity(&backup.row)?;
        let (vault, opened) = (self.vault, self.opened);
        let reader = BackupReader::open_with(vault, &backup.row, identity, opened).await?;
        let readers_keys = SubjectKeys::of_backup(vault, self.unlocked, &backup.row)?;
        for (number, entry) in &backup.segments {
            proof.segments_tried += 1;
            let standing = readers_keys.standing(&[entry.reference])?;
            let mut is_open = matches!(standing.first(), Some(Standing::Key(_)));
            is_open |= self.any_key_opens(&reader, *number, entry).await?;
            proof.segments_opened += u64::from(is_open);
        }
        if let Some((number, entry)) = &backup.bystander
            && let Some(Standing::Key(key)) = readers_keys.standing(&[entry.reference])?.first()
        {
            if self.opens(&reader, *number, entry, key.expose()).await {
                proof.bystanders_opened += 1;
            } else {
                proof.bystanders_failed += 1;
            }
        }
        Ok(())
    }

    /// Whether any of the keys opens a segment. The same bytes are tried once.
    async fn any_key_opens(
        &mut self,
        reader: &BackupReader,
        number: u32,
        entry: &IndexEntry,
    ) -> Result<bool, OpsError> {
        let pack = reader.pack(entry.pack)?.0.id;
        let segment = (pack, entry.offset, entry.length, entry.content_mac);
        if let Some(known) = self.tried.get(&segment) {
            return Ok(*known);
        }
        let mut is_open = false;
        for key in &self.keys {
            is_open |= self.opens(reader, number, entry, key.expose()).await;
        }
        self.tried.insert(segment, is_open);
        Ok(is_open)
    }

    async fn opens(
        &self,
        reader: &BackupReader,
        number: u32,
        entry: &IndexEntry,
        key: &[u8; 32],
    ) -> bool {
        let Some(summary) = reader.manifest().relations.get(number as usize) else { return false };
        let read = reader.read_pack(entry.pack, entry.offset, entry.length).await;
        let (vault, source) = (self.vault.id(), self.source.source_id);
        let open =
            |sealed: Bytes| open_segment(vault, source, summary, entry, key, &sealed).is_ok();
        read.is_ok_and(open)
    }
}

fn record(
    vault: &Vault,
    proof: &Proof,
    proven_at: DateTime<Utc>,
    erasures: &[u64],
) -> Result<(), OpsError> {
    durable::step("erase.proof", || {
        vault.catalog().transaction(|transaction| {
            for erasure_id in erasures {
                erasure_proofs::put(
                    transaction,
                    &ErasureProofRow {
                        erasure_id: *erasure_id,
                        proven_at,
                        replicas_tried: proof.replicas_tried,
                        backups_tried: proof.backups_tried,
                        segments_tried: proof.segments_tried,
                        segments_opened: proof.segments_opened,
                        bystanders_opened: proof.bystanders_opened,
                    },
                )?;
            }
            Ok::<_, OpsError>(())
        })
    })
}
