//! All relations of a backup, through several connections on one snapshot: first the tables of the
//! subjects themselves, then the largest. Making the keys of subjects who are new is work for one thread,
//! which so is done while others read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::forms::{self, OwnerField, RowForm};
use super::large_objects;
use super::partitions::{MemoryBudget, Partitions};
use super::rows::{self, Dealer, Owners, People};
use super::unknown::{Counted, Judge};
use crate::base::ids::{SourceId, VaultId};
use crate::base::progress::ProgressSink;
use crate::base::schema::{Column, DatabaseSchema, OwnerWays, Table, TableKind};
use crate::container::columns::Layout;
use crate::container::manifest::{RelationSummary, RowFormat};
use crate::container::segment::Relation;
use crate::ops::backup::index::index_stream::IndexStream;
use crate::ops::backup::index::layer_writer::{LayerKind, LayerWriter};
use crate::ops::backup::index::previous::Previous;
use crate::ops::backup::index::relation_index::RelationIndex;
use crate::ops::backup::pack_stream::PackList;
use crate::ops::backup::seal::sealing::{self, ReadPart, ToolPool};
use crate::ops::backup::seal::segment_sink::{Sealed, SegmentSink, SegmentsOf};
use crate::policy::subject_map::{self, LargeObjectRule, SubjectMap};
use crate::postgres::{
    ConnectionSettings, CopyFormat, Lockable, Part, PostgresError, Session, SnapshotId, TableRead,
};
use crate::vault::OpsError;
use crate::vault::keys::Unlocked;
use crate::vault::subject_keys::SubjectKeys;

/// How many times [`GATHERED_BYTES`] may wait for the dealing thread.
const QUEUE_CHUNKS: usize = 16;
/// The server's chunks are handed to the dealing thread so many bytes at a time.
const GATHERED_BYTES: usize = 64 << 10;
/// A table from this size on is read through several connections.
const SPLIT_FROM_BYTES: u64 = 32 << 20;
/// In more parts than there are connections, so that all of them end at about the same time.
const PARTS_A_JOB: u32 = 2;
/// Servers from this version on find the rows of a range of pages without reading the others.
const RANGES_SINCE_MAJOR: u32 = 14;

/// One relation to be read.
pub struct RelationPlan {
    /// Its place in the manifest's list.
    pub number: u32,
    /// The relation.
    pub relation: Relation,
    /// How its rows are read and sealed.
    pub form: RowForm,
    owners: Owners,
    /// Rows of it whose owner is in doubt; none of a table that is nobody's.
    pub counted: Option<Counted>,
    /// Whether its rows are the subjects themselves.
    is_root: bool,
    bytes_estimated: u64,
    how: How,
    /// What is read by itself, in the table's order.
    parts: Vec<Part>,
}

/// How a relation is read.
enum How {
    Table { table: Box<Table>, owner: Option<OwnerWays> },
    LargeObjects(Vec<large_objects::OwnerColumn>, bool),
}

impl RelationPlan {
    /// Everything that a database holds; large tables in `jobs` parts.
    pub async fn all(
        session: &Session,
        schema: &DatabaseSchema,
        map: &SubjectMap,
        jobs: usize,
    ) -> Result<Vec<Self>, OpsError> {
        let mut owners = subject_map::owner_paths(map, schema)?;
        let mut plans = Vec::new();
        for (number, table) in (0..).zip(&schema.tables) {
            let owner = owners.remove(&table.name).flatten();
            let mut plan = Self::of_table(session, (number, schema, table), owner, jobs).await?;
            plan.counted = (!matches!(plan.owners, Owners::Commons)).then(|| Counted {
                table: table.name.clone(),
                unknown: map.unknown_in(&table.name),
                counts: Arc::default(),
            });
            plan.is_root = map.classes.iter().any(|class| class.root == table.name);
            plans.push(plan);
        }
        if schema.large_objects > 0 {
            let (columns, shared) = owner_columns(schema, map)?;
            plans.push(Self {
                number: u32::try_from(plans.len()).unwrap_or(u32::MAX),
                relation: Relation::LargeObjects,
                form: RowForm::Lines,
                owners: Owners::Reference,
                counted: None,
                is_root: false,
                bytes_estimated: 0,
                how: How::LargeObjects(columns, shared),
                parts: vec![Part::All],
            });
        }
        Ok(plans)
    }

    async fn of_table(
        session: &Session,
        (number, schema, table): (u32, &DatabaseSchema, &Table),
        owner: Option<OwnerWays>,
        jobs: usize,
    ) -> Result<Self, OpsError> {
        let form = match forms::kinds(table) {
            Some(kinds) => RowForm::Tuples(Arc::new(forms::without_patterns(&kinds))),
            None => RowForm::Lines,
        };
        let owners = match (&owner, &form) {
            (None, _) => Owners::Commons,
            (Some(owner), form) => match (owner.proven(), form) {
                (None, _) => {
                    Owners::Judged(owner.classes().into_iter().map(str::to_owned).collect())
                }
                (Some(way), RowForm::Lines) => Owners::Class(way.class.clone(), OwnerField::Before),
                (Some(way), RowForm::Tuples(_)) => {
                    Owners::Class(way.class.clone(), forms::owner_field(schema, table, owner))
                }
            },
        };
        // Rows of nobody are sealed in the table's order, so they are not read in parts.
        let parts = match &owners {
            Owners::Class(..) | Owners::Judged(_) => parts(session, table, jobs).await?,
            _ => vec![Part::All],
        };
        Ok(Self {
            number,
            relation: Relation::Table(table.name.clone()),
            form,
            owners,
            counted: None,
            is_root: false,
            bytes_estimated: table.bytes_estimated,
            how: How::Table { table: Box::new(table.clone()), owner },
            parts,
        })
    }

    /// The tables that reading it needs.
    fn needs_locked(&self) -> Vec<Lockable> {
        match &self.how {
            How::Table { table, owner } => Lockable::all_of(table, owner.as_ref()),
            How::LargeObjects(columns, _) => columns
                .iter()
                .flat_map(|column| Lockable::all_of(&column.table, column.owner.as_ref()))
                .collect(),
        }
    }

    /// How its rows are written.
    pub fn format(&self) -> RowFormat {
        match (&self.how, &self.form) {
            (How::LargeObjects(..), _) => RowFormat::LargeObjectPieces,
            (_, RowForm::Lines) => RowFormat::CopyText,
            (_, RowForm::Tuples(_)) => RowFormat::CopyBinary,
        }
    }

    /// Lays the columns out: as `before` does if they are of the same kinds and it has patterns, else with
    /// the patterns that are found now.
    pub async fn lay_out(
        &mut self,
        session: &Session,
        before: Option<&Layout>,
    ) -> Result<(), OpsError> {
        let How::Table { table, owner: Some(owner) } = &self.how else { return Ok(()) };
        let RowForm::Tuples(layout) = &mut self.form else { return Ok(()) };
        // A table that had too few people for patterns may have more by now.
        let is_like = |before: &&Layout| before.kinds().eq(layout.kinds()) && before.has_patterns();
        *layout = match before.filter(is_like) {
            Some(before) => Arc::new(before.clone()),
            None => Arc::new(forms::with_patterns(session, table, owner, layout).await?),
        };
        Ok(())
    }

    fn summary(&self, sealed: Sealed) -> RelationSummary {
        let layout = match &self.form {
            RowForm::Lines => None,
            RowForm::Tuples(layout) => Some((**layout).clone()),
        };
        RelationSummary {
            relation: self.relation.clone(),
            format: self.format(),
            layout,
            rows: sealed.rows,
            segments: sealed.segments,
            subjects: sealed.subjects,
            raw_bytes: sealed.raw_bytes,
            sealed_bytes: sealed.stored_bytes,
            rows_of_erased: sealed.rows_of_erased,
        }
    }
}

/// The parts in which a table is read: ranges of pages of about the same size.
async fn parts(session: &Session, table: &Table, jobs: usize) -> Result<Vec<Part>, OpsError> {
    let is_split = jobs > 1
        && table.kind == TableKind::Ordinary
        && table.bytes_estimated >= SPLIT_FROM_BYTES
        && session.server_major() >= RANGES_SINCE_MAJOR;
    if !is_split {
        return Ok(vec![Part::All]);
    }
    let parts = u32::try_from(jobs).unwrap_or(u32::MAX).saturating_mul(PARTS_A_JOB);
    let share = session.pages(table).await?.div_ceil(parts).max(1);
    // The table may have grown since: the last part has no end.
    let part = |number: u32| {
        let to = (number + 1 < parts).then(|| share.saturating_mul(number + 1));
        Part::Pages { from: share.saturating_mul(number), to }
    };
    Ok((0..parts).map(part).collect())
}

/// The columns that name large objects, and whether those that none names are everybody's.
fn owner_columns(
    schema: &DatabaseSchema,
    map: &SubjectMap,
) -> Result<(Vec<large_objects::OwnerColumn>, bool), OpsError> {
    let mut columns = Vec::new();
    let mut shared = false;
    for rule in &map.large_objects {
        match rule {
            LargeObjectRule::Shared => shared = true,
            LargeObjectRule::Column { table, column } => {
                let owner = subject_map::owner_path(map, schema, table)?;
                let table = schema.table(table).cloned();
                let column: Option<Column> =
                    table.as_ref().and_then(|table| table.column(column)).cloned();
                if let (Some(table), Some(column)) = (table, column) {
                    columns.push(large_objects::OwnerColumn { table, column, owner });
                }
            }
        }
    }
    Ok((columns, shared))
}

/// What every reader of a backup shares.
#[derive(Clone)]
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
    read: Mutex<Vec<Option<ReadPart>>>,
}

impl RelationWork {
    /// Takes what was read of a part; all parts, in the table's order, once the last one came.
    fn put(&self, place: usize, part: ReadPart) -> Option<Vec<ReadPart>> {
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

/// Parts of relations that nobody reads yet.
type Queue = Arc<Mutex<VecDeque<(Arc<RelationWork>, usize)>>>;

/// Reads all relations; their summaries in the order of their numbers.
///
/// `holder` is the session that has all tables locked: what a reader cannot lock at once, for somebody waits
/// behind that session, is read through it.
pub async fn read_all(
    holder: &Session,
    reading: Reading,
    mut plans: Vec<RelationPlan>,
) -> Result<Vec<RelationSummary>, OpsError> {
    plans.sort_by_key(|plan| (!plan.is_root, std::cmp::Reverse(plan.bytes_estimated)));
    let mut summaries: Vec<Option<RelationSummary>> = plans.iter().map(|_| None).collect();
    let mut queue = VecDeque::new();
    let kind = reading.previous.as_deref().map_or(LayerKind::Whole, Previous::kind);
    for plan in plans {
        let parts = plan.parts.len();
        let layer = LayerWriter::new(kind, reading.index.clone(), plan.number);
        let index = RelationIndex::new(layer, reading.packs.clone());
        let read = Mutex::new((0..parts).map(|_| None).collect());
        let work = Arc::new(RelationWork { plan, index, read });
        queue.extend((0..parts).map(|place| (Arc::clone(&work), place)));
    }
    let queue: Queue = Arc::new(Mutex::new(queue));
    let mut readers = JoinSet::new();
    let (refused, mut for_holder) = mpsc::unbounded_channel();
    for _ in 0..reading.jobs {
        readers.spawn(read_some(reading.clone(), Arc::clone(&queue), refused.clone()));
    }
    drop(refused);
    let tools = Arc::clone(&reading.tools);
    // However this ends, no thread goes on sealing behind it.
    let _stop = sealing::StopWhenDropped(Arc::clone(&tools));
    let through_readers = async {
        let mut done = Vec::new();
        while let Some(some) = readers.join_next().await {
            // An error here drops the other readers, which closes their connections.
            let some = some.map_err(|_| OpsError::Bug("a reader of rows ended abnormally"));
            done.extend(some.flatten()?);
        }
        Ok(done)
    };
    let through_holder = async {
        let mut sealing = Sealing::default();
        while let Some((work, place)) = for_holder.recv().await {
            let part = read_part(holder, &reading, &work, place).await?;
            sealing.put(&reading, &work, place, part).await?;
        }
        sealing.finish().await
    };
    let (of_readers, of_holder): (Vec<_>, Vec<_>) =
        tokio::try_join!(through_readers, through_holder)?;
    for (number, summary) in of_readers.into_iter().chain(of_holder) {
        if let Some(place) = summaries.get_mut(number as usize) {
            *place = Some(summary);
        }
    }
    drop(reading);
    in_thread(move || tools.close()).await?;
    Ok(summaries.into_iter().flatten().collect())
}

/// What is complete is sealed beside the reading of what follows.
#[derive(Default)]
struct Sealing {
    under_way: VecDeque<JoinHandle<Result<(u32, RelationSummary), OpsError>>>,
    done: Vec<(u32, RelationSummary)>,
}

impl Sealing {
    /// Takes what was read of a part, and seals the relation if that was the last one.
    async fn put(
        &mut self,
        reading: &Reading,
        work: &Arc<RelationWork>,
        place: usize,
        part: ReadPart,
    ) -> Result<(), OpsError> {
        if let Some(parts) = work.put(place, part) {
            let (shared, of) = (reading.clone(), Arc::clone(work));
            self.under_way.push_back(tokio::spawn(in_thread(move || {
                let sealed = sealing::seal(&shared, &of, parts)?;
                Ok((of.plan.number, of.plan.summary(sealed)))
            })));
        }
        while self.under_way.front().is_some_and(|first| reading.jobs == 1 || first.is_finished())
            && let Some(sealed) = self.under_way.pop_front()
        {
            self.done.push(joined(sealed).await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<(u32, RelationSummary)>, OpsError> {
        for sealed in self.under_way {
            self.done.push(joined(sealed).await?);
        }
        Ok(self.done)
    }
}

/// One reader: a connection, and a thread that deals or seals. What it cannot lock goes to `refused`.
async fn read_some(
    reading: Reading,
    queue: Queue,
    refused: mpsc::UnboundedSender<(Arc<RelationWork>, usize)>,
) -> Result<Vec<(u32, RelationSummary)>, OpsError> {
    let session = Session::connect(&reading.settings).await?;
    session.join_snapshot(&reading.snapshot).await?;
    session.savepoint().await?;
    let mut sealing = Sealing::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((work, place)) = next else { break };
        if session.lock_now(&work.plan.needs_locked()).await? {
            match read_part(&session, &reading, &work, place).await {
                // An index of the table was locked.
                Err(OpsError::Postgres(PostgresError::LockNotHad { .. })) => {
                    session.back_to_savepoint().await?;
                }
                part => {
                    sealing.put(&reading, &work, place, part?).await?;
                    continue;
                }
            }
        }
        // The other side ends with an error that is reported there.
        let _ = refused.send((work, place));
    }
    drop((session, refused));
    sealing.finish().await
}

async fn joined<T>(work: JoinHandle<Result<T, OpsError>>) -> Result<T, OpsError> {
    work.await.map_err(|_| OpsError::THREAD_ENDED)?
}

async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpsError> + Send + 'static,
) -> Result<T, OpsError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| OpsError::THREAD_ENDED)?
}

async fn read_part(
    session: &Session,
    reading: &Reading,
    work: &Arc<RelationWork>,
    place: usize,
) -> Result<ReadPart, OpsError> {
    let (sender, chunks) = mpsc::channel(QUEUE_CHUNKS);
    let (shared, of) = (reading.clone(), Arc::clone(work));
    let dealing = tokio::spawn(in_thread(move || {
        shared.tools.with(|tools| {
            let plan = &of.plan;
            let mut partitions = Partitions::new(&shared.budget, &shared.spill_folder);
            let mut known = std::mem::take(&mut tools.known);
            let mut sink = SegmentSink::new(shared.segments_of(plan), &shared.keys, tools);
            let people = People::new(&plan.owners, shared.source, &shared.unlocked.references);
            let judge = Judge::new(plan.counted.as_ref(), &shared.keys);
            let dealer = Dealer::new(people, &mut known, &mut partitions, &mut sink, judge);
            let rows_seen = |rows, bytes| shared.progress.advance(rows, bytes);
            rows::deal(chunks, &plan.form, dealer, &rows_seen)?;
            let (commons, sealed) = sink.finish()?;
            tools.known = known;
            Ok(ReadPart { partitions, commons, sealed })
        })
    }));
    let part = work.plan.parts.get(place).copied().unwrap_or(Part::All);
    let sent = match &work.plan.how {
        How::Table { table, owner } => {
            let format = match work.plan.form {
                RowForm::Lines => CopyFormat::Text,
                RowForm::Tuples(_) => CopyFormat::Binary,
            };
            let (owner, key_as_value) = match work.plan.owners {
                Owners::Class(_, OwnerField::Own { .. }) => (None, false),
                Owners::Class(_, OwnerField::BeforeAsValue { .. }) => (owner.as_ref(), true),
                _ => (owner.as_ref(), false),
            };
            let read = TableRead { table, owner, key_as_value, format, part };
            send_table(session, &read, &sender).await
        }
        How::LargeObjects(columns, shared) => {
            large_objects::send(session, reading, columns, *shared, &sender).await
        }
    };
    if sent.is_ok() {
        let _ = sender.send(rows::END).await;
    }
    drop(sender);
    let dealt = joined(dealing).await;
    // If both failed, the reason that came first in the data's way is the one to tell.
    sent?;
    dealt
}

async fn send_table(
    session: &Session,
    read: &TableRead<'_>,
    chunks: &mpsc::Sender<Vec<Bytes>>,
) -> Result<(), OpsError> {
    let mut rows = session.copy_table_out(read).await.map_err(|error| {
        // No row was read, so somebody else may read them all.
        let who = "a reader of rows".to_owned();
        if error.is_lock_refused() { PostgresError::LockNotHad { who } } else { error }
    })?;
    let (mut gathered, mut gathered_bytes) = (Vec::new(), 0);
    while let Some(chunk) = rows.next_chunk().await {
        let chunk = chunk?;
        gathered_bytes += chunk.len();
        gathered.push(chunk);
        if gathered_bytes >= GATHERED_BYTES {
            gathered_bytes = 0;
            if chunks.send(std::mem::take(&mut gathered)).await.is_err() {
                // The dealing thread has failed; its error is told.
                return Ok(());
            }
        }
    }
    if !gathered.is_empty() {
        let _ = chunks.send(gathered).await;
    }
    Ok(())
}
