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

use super::look::{Affected, Found, cannot_be_read};
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
    /// `proven`; or `inconclusive`, where a part could not be read, and so was not tried.
    pub state: &'static str,
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
    /// Segments of the erased that could not be read.
    pub segments_unread: u64,
    /// What could not be read, one sentence each (the first few).
    pub unread: Vec<String>,
    /// Segments of other people, one a backup where one was at hand, that opened.
    pub bystanders_opened: u64,
    /// Those that did not open. They are damaged, or their keys are.
    pub bystanders_failed: u64,
}

impl Proof {
    /// Nothing was tried yet.
    fn new(proven_at: DateTime<Utc>, found: &Found) -> Self {
        let mut proof = Self {
            state: PROVEN,
            proven_at: timestamp(proven_at),
            replicas_tried: 0,
            backups_tried: found.backups.len() as u64,
            segments_tried: 0,
            segments_opened: 0,
            segments_unread: 0,
            unread: Vec::new(),
            bystanders_opened: 0,
            bystanders_failed: 0,
        };
        found.unread.iter().for_each(|sentence| proof.could_not_read(sentence.clone()));
        proof
    }

    /// Something was not tried.
    fn could_not_read(&mut self, sentence: String) {
        self.state = INCONCLUSIVE;
        if self.unread.len() < UNREAD_MAX && !self.unread.contains(&sentence) {
            self.unread.push(sentence);
        }
    }

    /// Whether everything was tried.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.state == PROVEN
    }
}

const PROVEN: &str = "proven";
const INCONCLUSIVE: &str = "inconclusive";
/// How many sentences a proof says about what could not be read.
const UNREAD_MAX: usize = 5;

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

    /// Nothing was kept: a test that is made up for later has no wrapped keys from before.
    pub fn nothing(vault: &Vault) -> Result<Self, OpsError> {
        let epoch = crate::catalog::vault::read(vault.catalog().connection())?.epoch;
        Ok(Self { epoch, shards: Vec::new(), subjects: Vec::new(), replica: None })
    }

    /// Tries everything that can be read, and records the figures for each of `erasures`. A test that
    /// could not read everything is no proof, and is not recorded.
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
        let mut proof = Proof::new(proven_at, found);
        if let Some(name) = &self.replica {
            let keys = self.replica_keys(unlocked, &ring, &secret);
            match replica::opens(vault, name, &keys).await {
                Ok(None) => {}
                Ok(Some(opens)) => {
                    proof.replicas_tried = 1;
                    if opens {
                        let what = format!("the replica {name}");
                        return Err(CustodyError::Unproven { what }.into());
                    }
                }
                Err(error) if cannot_be_read(&error) => proof.could_not_read(error.to_string()),
                Err(error) => return Err(error),
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
        if proof.is_conclusive() || proof.segments_opened > 0 {
            record(vault, &proof, proven_at, erasures)?;
        }
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
type Tried = HashMap<(PackId, u64, u64, ContentMac), Came>;

/// What came of trying a segment.
#[derive(Clone)]
enum Came {
    Opened,
    Closed,
    /// It could not be read: why.
    Unread(String),
}

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
        let reader = match BackupReader::open_with(vault, &backup.row, identity, opened).await {
            Ok(reader) => reader,
            Err(error) if cannot_be_read(&error) => {
                proof.segments_unread += backup.segments.len() as u64;
                proof.could_not_read(format!("backup {}: {error}", backup.row.backup_id));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let readers_keys = SubjectKeys::of_backup(vault, self.unlocked, &backup.row)?;
        for (number, entry) in &backup.segments {
            let standing = readers_keys.standing(&[entry.reference])?;
            let has_key = matches!(standing.first(), Some(Standing::Key(_)));
            match self.any_key_opens(&reader, *number, entry).await? {
                Came::Unread(why) if !has_key => {
                    proof.segments_unread += 1;
                    proof.could_not_read(why);
                }
                came => {
                    proof.segments_tried += 1;
                    let is_open = has_key || matches!(came, Came::Opened);
                    proof.segments_opened += u64::from(is_open);
                }
            }
        }
        if let Some((number, entry)) = &backup.bystander
            && let Some(Standing::Key(key)) = readers_keys.standing(&[entry.reference])?.first()
        {
            match self.opens(&reader, *number, entry, &[key.expose()]).await? {
                Came::Opened => proof.bystanders_opened += 1,
                Came::Closed => proof.bystanders_failed += 1,
                Came::Unread(why) => proof.could_not_read(why),
            }
        }
        Ok(())
    }

    /// What comes of trying all keys on a segment. The same bytes are tried once.
    async fn any_key_opens(
        &mut self,
        reader: &BackupReader,
        number: u32,
        entry: &IndexEntry,
    ) -> Result<Came, OpsError> {
        let pack = reader.pack(entry.pack)?.0.id;
        let segment = (pack, entry.offset, entry.length, entry.content_mac);
        if let Some(known) = self.tried.get(&segment) {
            return Ok(known.clone());
        }
        let keys: Vec<&[u8; 32]> = self.keys.iter().map(SubjectKey::expose).collect();
        let came = self.opens(reader, number, entry, &keys).await?;
        self.tried.insert(segment, came.clone());
        Ok(came)
    }

    /// Reads a segment, and tries keys on it.
    async fn opens(
        &self,
        reader: &BackupReader,
        number: u32,
        entry: &IndexEntry,
        keys: &[&[u8; 32]],
    ) -> Result<Came, OpsError> {
        let Some(summary) = reader.manifest().relations.get(number as usize) else {
            return Ok(Came::Closed);
        };
        let sealed: Bytes = match reader.read_pack(entry.pack, entry.offset, entry.length).await {
            Ok(sealed) => sealed,
            Err(error) if cannot_be_read(&error) => return Ok(Came::Unread(error.to_string())),
            Err(error) => return Err(error),
        };
        let (vault, source) = (self.vault.id(), self.source.source_id);
        let opens =
            |key: &&[u8; 32]| open_segment(vault, source, summary, entry, key, &sealed).is_ok();
        Ok(if keys.iter().any(opens) { Came::Opened } else { Came::Closed })
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
