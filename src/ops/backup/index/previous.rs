//! The previous backup: what it holds is referred to instead of being sealed and written again.
//!
//! A content MAC is keyed by the subject's present key, so what was sealed under a key that is gone is
//! never taken for equal. What the previous backup refers to is complete in the store, for its copy there
//! is; its index was compared with its digest, and each pack's length with what it was.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use tokio::runtime::Handle;

use crate::base::ids::{BackupId, PackId, SourceId, SubjectReference};
use crate::base::random;
use crate::catalog::backups::{self, BackupFilter, BackupKind, BackupRow};
use crate::catalog::stores::{self as rows, CopyState};
use crate::container::age_file::BackupIdentity;
use crate::container::columns::Layout;
use crate::container::index_block::IndexEntry;
use crate::container::layer_key::LayerUse;
use crate::container::manifest::{LayerSummary, Manifest, PackSummary, RowFormat};
use crate::container::segment::{Codec, Relation};
use crate::container::{ContainerError, names, pack};
use crate::crypto::segment::ContentMac;
use crate::ops::backup::pack_stream::PackList;
use crate::ops::backup::plan::RelationPlan;
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::{BackupReader, ReaderCache};
use crate::vault::stores::{Copies, NamedStore, copy};

/// A base is used this long. Whoever holds the key of any backup that stands on it can still tell what
/// it says of subjects whose rows have changed since; so what an expired backup alone held is closed
/// this much later at most, where backups are kept equally long.
const BASE_AGE_MAX: Duration = Duration::days(7);
/// Index blocks kept while partitions are compared.
const BLOCKS_KEPT: usize = 32;
/// In the place of a pack's number: no entry of this backup lies there.
const NOWHERE: u32 = u32::MAX;

/// What kind of layer a backup writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// A new base.
    Whole,
    /// What is other than in the base.
    Changes,
}

/// An opened previous backup.
pub struct Previous {
    reader: BackupReader,
    runtime: Handle,
    relations: HashMap<Relation, u32>,
    /// The numbers of packs in this backup's list; packs that are not reused are missing.
    numbers: HashMap<PackId, u32>,
    kind: LayerKind,
    /// Whether its layers may serve this backup, too.
    is_shared: bool,
}

/// What the previous backup has of a relation's subjects whose references begin with one byte.
pub struct PreviousPartition {
    effective: Vec<IndexEntry>,
    /// Nothing where it is the same.
    base: Option<Vec<IndexEntry>>,
    by_mac: HashMap<ContentMac, usize>,
}

/// Which part of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows that are nobody's.
    Commons,
    /// Subjects whose references begin with this byte.
    FirstByte(u8),
}

/// What to look for.
pub struct Look<'a> {
    pub vault: &'a Vault,
    pub unlocked: &'a Unlocked,
    pub source: SourceId,
    /// The store that the new backup is written to.
    pub store: &'a NamedStore,
    /// The relations of the new backup.
    pub plans: &'a [RelationPlan],
    pub now: DateTime<Utc>,
}

impl Previous {
    /// Opens the newest backup of the source that holds rows and is complete in the store, and takes
    /// its packs into `packs`. What keeps it from being used is told in `notices`, and then everything
    /// is stored anew.
    pub async fn open(
        look: &Look<'_>,
        packs: &PackList,
        notices: &mut Vec<String>,
    ) -> Result<Option<Self>, OpsError> {
        let Some(row) = newest(look)? else { return Ok(None) };
        match Self::open_row(look, &row, packs, notices).await {
            Ok(previous) => Ok(Some(previous)),
            Err(error) if error.is_damage() || error.is_archived() => {
                notices.push(format!(
                    "everything is stored anew, because the backup before, {}, cannot be built on: {error}",
                    row.backup_id
                ));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn open_row(
        look: &Look<'_>,
        row: &BackupRow,
        packs: &PackList,
        notices: &mut Vec<String>,
    ) -> Result<Self, OpsError> {
        let identity = look.unlocked.backup_identity(row)?;
        let copies = Copies::new(vec![look.store.clone()]);
        let cache = Arc::new(ReaderCache::keeping(BLOCKS_KEPT));
        let reader = BackupReader::open_in(copies, look.vault.id(), row, identity, &cache).await?;
        let manifest = reader.manifest();
        for object in copy::layers_of(manifest)? {
            if !copy::is_right(&*look.store.store, &object).await? {
                return Err(ContainerError::not_authentic(object.name.as_str()).into());
            }
        }
        let numbers = reusable(look, manifest, packs, notices).await?;
        let mut relations = HashMap::new();
        for (number, summary) in (0..).zip(&manifest.relations) {
            let plan = look.plans.iter().find(|plan| plan.relation == summary.relation);
            if plan.is_some_and(|plan| plan.format() == summary.format) {
                relations.insert(summary.relation.clone(), number);
            }
        }
        let is_shared = is_shared(look, manifest)?;
        let kind = match manifest.layers.as_slice() {
            [base] if is_shared && base.entries > 0 => LayerKind::Changes,
            [base, changes] if is_shared && changes.entries <= base.entries / 4 => {
                LayerKind::Changes
            }
            _ => LayerKind::Whole,
        };
        let runtime = Handle::current();
        Ok(Self { reader, runtime, relations, numbers, kind, is_shared })
    }

    /// What kind of layer the new backup writes.
    #[must_use]
    pub fn kind(&self) -> LayerKind {
        self.kind
    }

    /// The layout of a relation's columns, which the new backup goes on with where it can: only what is
    /// laid out alike is recognised.
    #[must_use]
    pub fn layout(&self, relation: &Relation) -> Option<&Layout> {
        let number = self.relations.get(relation)?;
        self.reader.manifest().relations.get(*number as usize)?.layout.as_ref()
    }

    /// Whether its layers serve the new backup, if nothing has changed.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// What it has of a part of a relation; nothing where it has no such relation. From a thread that
    /// may block.
    pub fn partition(
        &self,
        relation: &Relation,
        part: Part,
    ) -> Result<Option<PreviousPartition>, OpsError> {
        let Some(number) = self.relations.get(relation) else { return Ok(None) };
        let range = part.range();
        let mut effective = self.runtime.block_on(self.reader.range(*number, range))?;
        for entry in &mut effective {
            let pack = self.reader.manifest().packs.get(entry.pack as usize);
            entry.pack = self.number(pack.map(|pack| pack.id));
        }
        let layers = self.reader.manifest().layers.len();
        let base = if self.kind == LayerKind::Changes && layers > 1 {
            let read = self.reader.range_of_base(*number, range);
            let (mut base, packs) = self.runtime.block_on(read)?;
            for entry in &mut base {
                entry.pack = self.number(packs.get(entry.pack as usize).copied());
            }
            Some(base)
        } else {
            None
        };
        Ok(Some(PreviousPartition::new(effective, base)))
    }

    fn number(&self, pack: Option<PackId>) -> u32 {
        pack.and_then(|pack| self.numbers.get(&pack)).copied().unwrap_or(NOWHERE)
    }

    /// Its layers, or only the lowest, as the manifest of `backup` refers to them.
    pub fn layers(
        &self,
        backup: &BackupId,
        identity: &BackupIdentity,
        only_base: bool,
    ) -> Result<Vec<LayerSummary>, OpsError> {
        let manifest = self.reader.manifest();
        let own = identity.index_key();
        let count = if only_base { 1 } else { manifest.layers.len() };
        let layers = manifest.layers.iter().take(count).map(|layer| {
            let key = self.reader.layer_key(layer)?;
            let place = LayerUse { vault: manifest.vault, user: backup, layer: &layer.backup };
            let wrapped = place.wrap(&own, &key, &mut random::system());
            Ok(LayerSummary { key: Some(hex::encode(wrapped)), ..layer.clone() })
        });
        layers.collect()
    }
}

impl Part {
    /// The part of a subject's rows.
    #[must_use]
    pub fn of(reference: SubjectReference) -> Self {
        if reference.is_commons() { Self::Commons } else { Self::FirstByte(reference.0[0]) }
    }

    /// The references of the part, from the first to the last.
    fn range(self) -> (SubjectReference, SubjectReference) {
        match self {
            Self::Commons => (SubjectReference::COMMONS, SubjectReference::COMMONS),
            Self::FirstByte(byte) => {
                let (mut first, mut last) = ([0; 16], [0xff; 16]);
                (first[0], last[0]) = (byte, byte);
                // The commons' mark is nobody's reference.
                first[15] = u8::from(byte == 0);
                (SubjectReference(first), SubjectReference(last))
            }
        }
    }
}

impl PreviousPartition {
    fn new(effective: Vec<IndexEntry>, base: Option<Vec<IndexEntry>>) -> Self {
        let usable = effective.iter().zip(0..).filter(|(entry, _)| entry.pack != NOWHERE);
        let by_mac = usable.map(|(entry, place)| (entry.content_mac, place)).collect();
        Self { effective, base, by_mac }
    }

    /// The entry of a segment that is there already, if it is.
    #[must_use]
    pub fn find(
        &self,
        reference: SubjectReference,
        content_mac: &ContentMac,
        codec: Codec,
    ) -> Option<&IndexEntry> {
        let entry = self.by_mac.get(content_mac).and_then(|place| self.effective.get(*place))?;
        (entry.reference == reference && entry.codec == codec).then_some(entry)
    }

    /// The entries that count in the previous backup. Those in packs that are not reused lie nowhere.
    #[must_use]
    pub fn effective(&self) -> &[IndexEntry] {
        &self.effective
    }

    /// The entries of the base.
    #[must_use]
    pub fn base(&self) -> &[IndexEntry] {
        self.base.as_ref().unwrap_or(&self.effective)
    }
}

/// The newest backup of the source that holds rows and is complete in the store.
fn newest(look: &Look<'_>) -> Result<Option<BackupRow>, OpsError> {
    let catalog = look.vault.catalog();
    let filter = BackupFilter { source_id: Some(look.source), class: None };
    for row in backups::list(catalog.connection(), &filter)? {
        let copies = rows::copies_of(catalog.connection(), &row.backup_id)?;
        let is_here = copies
            .iter()
            .any(|copy| copy.store == look.store.name && copy.state == CopyState::Complete);
        if row.kind != BackupKind::SchemaOnly && is_here {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Takes in the packs that are there and of which at least half is needed. What the others hold is
/// written anew, so that they go when the last backup that needs them does.
async fn reusable(
    look: &Look<'_>,
    manifest: &Manifest,
    packs: &PackList,
    notices: &mut Vec<String>,
) -> Result<HashMap<PackId, u32>, OpsError> {
    let listed = copy::listed(&*look.store.store, &[names::PACKS]).await?;
    let mut numbers = HashMap::new();
    let mut missing = Vec::new();
    for pack in &manifest.packs {
        let name = names::pack(pack.id);
        if listed.get(&name.parse()?) != Some(&pack.bytes) {
            missing.push(name);
        } else if !is_mostly_dead(pack) {
            numbers.insert(pack.id, packs.reuse(pack));
        }
    }
    if !missing.is_empty() {
        notices.push(format!(
            "what was in {} is stored anew: missing from the store, or of another length than it was; \
             earlier backups need it too, `strongroom verify --all` says which",
            missing.join(", ")
        ));
    }
    Ok(numbers)
}

fn is_mostly_dead(pack: &PackSummary) -> bool {
    let segments = pack.bytes.saturating_sub(pack::HEADER_BYTES as u64);
    pack.used.saturating_mul(2) < segments
}

/// Whether layers of the previous backup may serve the new one: entries name relations by their
/// places, and a base is used for a limited time and no longer than its backup is kept.
fn is_shared(look: &Look<'_>, manifest: &Manifest) -> Result<bool, OpsError> {
    let Some(base) = manifest.layers.first() else { return Ok(false) };
    let then: Vec<(&Relation, RowFormat)> =
        manifest.relations.iter().map(|one| (&one.relation, one.format)).collect();
    let now: Vec<_> = look.plans.iter().map(|plan| (&plan.relation, plan.format())).collect();
    let catalog = look.vault.catalog();
    let row = backups::get(catalog.connection(), &base.backup)?;
    let is_fresh = row.is_some_and(|row| look.now - row.started_at <= BASE_AGE_MAX);
    Ok(then == now && is_fresh && !manifest.has_index_of_version_1())
}
