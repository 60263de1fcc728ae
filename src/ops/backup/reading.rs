//! What all readers of a backup share, and the relations that are being read.

use super::seal::sealed::Sealed;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::index_stream::IndexStream;
use super::index::previous::Previous;
use super::index::relation_index::RelationIndex;
use super::pack_stream::PackList;
use super::plan::RelationPlan;
use super::read::partitions::{MemoryBudget, Partitions};
use super::seal::segment_sink::SegmentsOf;
use super::seal::tools::ToolPool;
use crate::base::ids::{SourceId, VaultId};
use crate::base::progress::ProgressSink;
use crate::container::index_block::IndexEntry;
use crate::postgres::{ConnectionSettings, SnapshotId};
use crate::vault::keys::Unlocked;
use crate::vault::subject_keys::SubjectKeys;

/// What every reader of a backup shares. There is one of it, for it holds a password.
pub struct Reading {
    /// The vault.
    pub vault: VaultId,
    /// The source.
    pub source: SourceId,
    /// How to connect.
    pub settings: ConnectionSettings,
    /// The one snapshot.
    pub snapshot: SnapshotId,
    /// The vault's keys.
    pub unlocked: Arc<Unlocked>,
    /// The subjects' keys.
    pub keys: Arc<SubjectKeys>,
    /// Connections that read at the same time. With one, nothing is done beside it, and the same rows
    /// give the same packs.
    pub jobs: usize,
    /// Open packs, and what else sealing needs.
    pub tools: Arc<ToolPool>,
    /// The backup's packs.
    pub packs: PackList,
    /// The layer of the index that the backup writes.
    pub index: IndexStream,
    /// The backup before, whose segments are referred to where they are the same.
    pub previous: Option<Arc<Previous>>,
    /// Memory for rows that wait to be sealed.
    pub budget: Arc<MemoryBudget>,
    /// Where rows beyond it are spilled, sealed.
    pub spill_folder: std::path::PathBuf,
    /// Who is told.
    pub progress: Arc<dyn ProgressSink>,
}

impl Reading {
    /// What the segments of a relation have in common.
    pub fn segments_of<'a>(&'a self, plan: &'a RelationPlan) -> SegmentsOf<'a> {
        SegmentsOf {
            vault: self.vault,
            source: self.source,
            relation: &plan.relation,
            form: &plan.form,
            previous: self.previous.as_deref(),
        }
    }
}

/// A relation that is being read.
pub struct RelationWork {
    /// How.
    pub plan: RelationPlan,
    /// Where its entries go.
    pub index: RelationIndex,
    pub read: Mutex<Vec<Option<ReadPart>>>,
}

impl RelationWork {
    /// Takes what was read of a part; all parts, in the table's order, once the last one came.
    pub fn put(&self, place: usize, part: ReadPart) -> Option<Vec<ReadPart>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = read.get_mut(place) {
            *slot = Some(part);
        }
        if read.iter().all(Option::is_some) {
            Some(std::mem::take(&mut *read).into_iter().flatten().collect())
        } else {
            None
        }
    }
}

/// What was read of one part of a relation.
pub struct ReadPart {
    /// The rows of people.
    pub partitions: Partitions,
    /// The segments of rows of nobody.
    pub commons: Vec<IndexEntry>,
    /// What was sealed of them.
    pub sealed: Sealed,
}
