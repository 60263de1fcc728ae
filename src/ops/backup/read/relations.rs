//! All relations of a backup, through several connections on one snapshot: first the tables of the
//! subjects themselves, then the largest. Making the keys of subjects who are new is work for one thread,
//! which so is done while others read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::forms::{OwnerField, RowForm};
use super::large_objects;
use super::partitions::Partitions;
use super::rows::{self, Dealer, People};
use super::unknown::Judge;
use crate::container::manifest::RelationSummary;
use crate::ops::backup::index::layer_writer::LayerWriter;
use crate::ops::backup::index::previous::{LayerKind, Previous};
use crate::ops::backup::index::relation_index::RelationIndex;
use crate::ops::backup::plan::{How, Owners, RelationPlan};
use crate::ops::backup::reading::{ReadPart, Reading, RelationWork};
use crate::ops::backup::seal::sealing;
use crate::ops::backup::seal::segment_sink::SegmentSink;
use crate::ops::backup::seal::tools::StopWhenDropped;
use crate::postgres::{CopyFormat, Part, PostgresError, Session, TableRead};
use crate::vault::OpsError;

/// How many times [`GATHERED_BYTES`] may wait for the dealing thread.
const QUEUE_CHUNKS: usize = 16;
/// The server's chunks are handed to the dealing thread so many bytes at a time.
const GATHERED_BYTES: usize = 64 << 10;

/// Parts of relations that nobody reads yet.
type Queue = Arc<Mutex<VecDeque<(Arc<RelationWork>, usize)>>>;

/// Reads all relations; their summaries in the order of their numbers.
///
/// `holder` is the session that has all tables locked: what a reader cannot lock at once, for somebody waits
/// behind that session, is read through it.
pub async fn read_all(
    holder: &Session,
    reading: Arc<Reading>,
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
        readers.spawn(read_some(Arc::clone(&reading), Arc::clone(&queue), refused.clone()));
    }
    drop(refused);
    let tools = Arc::clone(&reading.tools);
    // However this ends, no thread goes on sealing behind it.
    let _stop = StopWhenDropped(Arc::clone(&tools));
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
        reading: &Arc<Reading>,
        work: &Arc<RelationWork>,
        place: usize,
        part: ReadPart,
    ) -> Result<(), OpsError> {
        if let Some(parts) = work.put(place, part) {
            let (shared, of) = (Arc::clone(reading), Arc::clone(work));
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
    reading: Arc<Reading>,
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
    reading: &Arc<Reading>,
    work: &Arc<RelationWork>,
    place: usize,
) -> Result<ReadPart, OpsError> {
    let (sender, chunks) = mpsc::channel(QUEUE_CHUNKS);
    let (shared, of) = (Arc::clone(reading), Arc::clone(work));
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
