//! All relations of a backup, through several connections on one snapshot, the largest first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::index_stream::IndexStream;
use super::large_objects;
use super::layer_writer::{LayerKind, LayerWriter};
use super::pack_stream::{PackList, PackStream};
use super::previous::Previous;
use super::rows::{self, GroupingLimits, Owners};
use super::segment_sink::{Sealed, SegmentSink};
use crate::container::manifest::{RelationSummary, RowFormat};
use crate::container::segment::{Compressor, Relation};
use crate::ids::{SourceId, VaultId};
use crate::ops::OpsError;
use crate::ops::subject_keys::SubjectKeys;
use crate::ops::vault::Unlocked;
use crate::policy::subject_map::{self, LargeObjectRule, SubjectMap};
use crate::postgres::{ConnectionSettings, Session, SnapshotId};
use crate::progress::ProgressSink;
use crate::schema::{Column, DatabaseSchema, OwnerPath, Table};
use crate::store::Store;

/// How many chunks of rows may wait for the grouping thread.
const QUEUE_CHUNKS: usize = 64;
/// Small messages of the server are gathered into chunks of this size.
const CHUNK_BYTES: usize = 64 << 10;

/// One relation to be read.
pub struct RelationPlan {
    /// Its place in the manifest's list.
    pub number: u32,
    /// The relation.
    pub relation: Relation,
    bytes_estimated: u64,
    how: How,
}

/// How a relation is read.
enum How {
    Table { table: Box<Table>, owner: Option<OwnerPath> },
    LargeObjects(Vec<large_objects::OwnerColumn>, bool),
}

impl RelationPlan {
    /// Everything that a database holds.
    pub fn all(schema: &DatabaseSchema, map: &SubjectMap) -> Result<Vec<Self>, OpsError> {
        let mut owners = subject_map::owner_paths(map, schema)?;
        let mut plans = Vec::new();
        for (number, table) in (0..).zip(&schema.tables) {
            let owner = owners.remove(&table.name).flatten();
            plans.push(Self {
                number,
                relation: Relation::Table(table.name.clone()),
                bytes_estimated: table.bytes_estimated,
                how: How::Table { table: Box::new(table.clone()), owner },
            });
        }
        if schema.large_objects > 0 {
            let (columns, shared) = owner_columns(schema, map)?;
            plans.push(Self {
                number: u32::try_from(plans.len()).unwrap_or(u32::MAX),
                relation: Relation::LargeObjects,
                bytes_estimated: 0,
                how: How::LargeObjects(columns, shared),
            });
        }
        Ok(plans)
    }

    /// How its rows are written.
    pub fn format(&self) -> RowFormat {
        match self.how {
            How::Table { .. } => RowFormat::CopyText,
            How::LargeObjects(..) => RowFormat::LargeObjectPieces,
        }
    }

    fn owners(&self) -> Owners {
        match &self.how {
            How::Table { owner: Some(owner), .. } => Owners::Class(owner.class.clone()),
            How::Table { owner: None, .. } => Owners::Commons,
            How::LargeObjects(..) => Owners::Reference,
        }
    }
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
    /// Where packs go.
    pub store: Arc<dyn Store>,
    /// How to connect.
    pub settings: ConnectionSettings,
    /// The one snapshot.
    pub snapshot: SnapshotId,
    /// The vault's keys.
    pub unlocked: Arc<Unlocked>,
    /// The subjects' keys.
    pub keys: Arc<SubjectKeys>,
    /// The backup's packs.
    pub packs: PackList,
    /// The layer of the index that the backup writes.
    pub index: IndexStream,
    /// The backup before, whose segments are referred to where they are the same.
    pub previous: Option<Arc<Previous>>,
    /// Memory and disk for grouping, for one reader.
    pub limits: GroupingLimits,
    /// Who is told.
    pub progress: Arc<dyn ProgressSink>,
}

type Queue = Arc<Mutex<VecDeque<RelationPlan>>>;

/// Reads all relations; their summaries in the order of their numbers.
pub async fn read_all(
    reading: Reading,
    mut plans: Vec<RelationPlan>,
    jobs: usize,
) -> Result<Vec<RelationSummary>, OpsError> {
    plans.sort_by_key(|plan| std::cmp::Reverse(plan.bytes_estimated));
    let mut summaries: Vec<Option<RelationSummary>> = plans.iter().map(|_| None).collect();
    let queue: Queue = Arc::new(Mutex::new(plans.into()));
    let mut readers = JoinSet::new();
    for _ in 0..jobs {
        readers.spawn(read_some(reading.clone(), Arc::clone(&queue)));
    }
    drop(reading);
    while let Some(done) = readers.join_next().await {
        // An error here drops the other readers, which closes their connections.
        let done = done.map_err(|_| OpsError::Bug("a reader of rows ended abnormally"))??;
        for (number, summary) in done {
            if let Some(place) = summaries.get_mut(number as usize) {
                *place = Some(summary);
            }
        }
    }
    Ok(summaries.into_iter().flatten().collect())
}

/// One reader: a connection, a thread that groups and seals, a stream of packs.
async fn read_some(
    reading: Reading,
    queue: Queue,
) -> Result<Vec<(u32, RelationSummary)>, OpsError> {
    let session = Session::connect(&reading.settings).await?;
    session.join_snapshot(&reading.snapshot).await?;
    let packs = reading.packs.clone();
    let store = Arc::clone(&reading.store);
    let mut tools = SealingTools {
        packs: PackStream::new(Handle::current(), store, reading.vault, packs),
        compressor: Compressor::new()?,
    };
    let mut done = Vec::new();
    loop {
        let plan = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(plan) = plan else { break };
        let plan = Arc::new(plan);
        let (sealed, returned) = read_one(&session, &reading, &plan, tools).await?;
        tools = returned;
        done.push((plan.number, summary(&plan, sealed)));
    }
    let closed = tokio::task::spawn_blocking(move || tools.packs.close());
    closed.await.map_err(|_| OpsError::Bug("a thread of work ended abnormally"))??;
    Ok(done)
}

/// What a reader's thread works with, from one relation to the next.
struct SealingTools {
    packs: PackStream,
    compressor: Compressor,
}

async fn read_one(
    session: &Session,
    reading: &Reading,
    plan: &Arc<RelationPlan>,
    mut tools: SealingTools,
) -> Result<(Sealed, SealingTools), OpsError> {
    let (sender, chunks) = mpsc::channel(QUEUE_CHUNKS);
    let (shared, its_plan) = (reading.clone(), Arc::clone(plan));
    let sealing = tokio::task::spawn_blocking(move || {
        let previous = shared.previous.as_deref();
        let kind = previous.map_or(LayerKind::Whole, Previous::kind);
        let sink = SegmentSink::new(
            (shared.vault, shared.source),
            &its_plan.relation,
            &shared.keys,
            (&mut tools.packs, &shared.packs, previous),
            &mut tools.compressor,
            LayerWriter::new(kind, shared.index.clone(), its_plan.number),
        );
        let sealed = rows::seal_relation(
            chunks,
            &its_plan.owners(),
            shared.source,
            &shared.unlocked.references,
            &shared.limits,
            sink,
            &|rows, bytes| shared.progress.advance(rows, bytes),
        );
        match sealed {
            Ok(sealed) => Ok((sealed, tools)),
            // The sealing thread stopped because the store did: the store knows why.
            Err(OpsError::StoreStopped) => {
                tools.packs.close()?;
                Err(OpsError::StoreStopped)
            }
            Err(error) => Err(error),
        }
    });
    let sent = match &plan.how {
        How::Table { table, owner } => send_table(session, table, owner.as_ref(), &sender).await,
        How::LargeObjects(columns, shared) => {
            large_objects::send(session, reading, columns, *shared, &sender).await
        }
    };
    if sent.is_ok() {
        let _ = sender.send(rows::END).await;
    }
    drop(sender);
    let sealed = sealing.await.map_err(|_| OpsError::Bug("a thread of work ended abnormally"))?;
    // If both failed, the reason that came first in the data's way is the one to tell.
    sent?;
    sealed
}

async fn send_table(
    session: &Session,
    table: &Table,
    owner: Option<&OwnerPath>,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<(), OpsError> {
    let mut rows = session.copy_table_out(table, owner).await?;
    let mut gathered = Vec::with_capacity(CHUNK_BYTES * 2);
    while let Some(message) = rows.next_chunk().await {
        gathered.extend_from_slice(&message?);
        if gathered.len() >= CHUNK_BYTES {
            let chunk = std::mem::replace(&mut gathered, Vec::with_capacity(CHUNK_BYTES * 2));
            if chunks.send(Bytes::from(chunk)).await.is_err() {
                // The sealing thread has failed; its error is told.
                return Ok(());
            }
        }
    }
    if !gathered.is_empty() {
        let _ = chunks.send(Bytes::from(gathered)).await;
    }
    Ok(())
}

fn summary(plan: &RelationPlan, sealed: Sealed) -> RelationSummary {
    RelationSummary {
        relation: plan.relation.clone(),
        format: plan.format(),
        rows: sealed.rows,
        segments: sealed.segments,
        subjects: sealed.subjects,
        raw_bytes: sealed.raw_bytes,
        sealed_bytes: sealed.stored_bytes,
        rows_of_erased: sealed.rows_of_erased,
    }
}
