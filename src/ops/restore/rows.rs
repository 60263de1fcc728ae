//! Rows into the target through several connections.
//!
//! A connection takes the largest relation that nobody has begun, and scans it. When all are begun,
//! it helps with one that is still under way: the pieces that come out of a scan go to whichever
//! connection asks next, so all of them end at about the same time, however unequal the relations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::large_objects;
use super::request::RestoreRequest;
use crate::base::progress::ProgressSink;
use crate::base::schema::{QualifiedName, Table, TableKind};
use crate::container::manifest::{Contents, RelationSummary, RowFormat};
use crate::container::segment::Relation;
use crate::postgres::rows::copy::CopyFormat;
use crate::postgres::schema::target::disable_triggers_for_session;
use crate::postgres::{PostgresError, Session};
use crate::vault::OpsError;
use crate::vault::reader::BackupReader;
use crate::vault::reader::scan::{self, Scanned};
use crate::vault::subject_keys::SubjectKeys;

/// A smaller table is not worth a second connection.
const SHARED_BYTES_MIN: u64 = 1 << 20;
const NOT_IN_MANIFEST: OpsError = OpsError::Bug("a relation is not in the manifest");

/// One relation, restored.
#[derive(Debug, Clone)]
pub struct RestoredRelation {
    /// The relation.
    pub relation: Relation,
    /// Rows written.
    pub rows: u64,
    /// Rows of forgotten people, skipped.
    pub forgotten: u64,
    /// Rows lost to damage.
    pub damaged: u64,
}

/// A table whose rows the server refused, all of them: what was written is taken back.
pub struct Refused {
    /// The table.
    pub table: QualifiedName,
    /// What the server said.
    pub error: PostgresError,
}

/// Restores the rows of the relations of these numbers. A table that the server refuses is tried again when all
/// others are there, for a check may read another table.
pub async fn restore_all(
    reader: &Arc<BackupReader>,
    keys: &Arc<SubjectKeys>,
    mut numbers: Vec<u32>,
    request: &RestoreRequest,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(Vec<RestoredRelation>, Vec<Refused>), OpsError> {
    let bytes = |number: &u32| {
        reader.manifest().relations.get(*number as usize).map_or(0, |one| one.raw_bytes)
    };
    numbers.sort_by_key(|number| std::cmp::Reverse(bytes(number)));
    let mut counts: BTreeMap<u32, Counts> =
        numbers.iter().map(|number| (*number, Counts::default())).collect();
    let is_shared = |number: &u32| {
        let summary = reader.manifest().relations.get(*number as usize);
        summary.is_some_and(|one| one.raw_bytes >= SHARED_BYTES_MIN && is_table(&one.relation))
    };
    let jobs = if numbers.iter().any(is_shared) {
        request.jobs.max(1)
    } else {
        request.jobs.clamp(1, numbers.len().max(1))
    };
    let queue = Arc::new(Queue { waiting: Mutex::new(numbers.into()), shared: Mutex::default() });
    let refused = Arc::new(Mutex::new(BTreeMap::new()));
    let writer = || Writer {
        reader: Arc::clone(reader),
        keys: Arc::clone(keys),
        request: request.clone(),
        progress: Arc::clone(progress),
        queue: Arc::clone(&queue),
        refused: Arc::clone(&refused),
    };
    let mut writers = JoinSet::new();
    for _ in 0..jobs {
        writers.spawn(writer().run());
    }
    while let Some(done) = writers.join_next().await {
        // An error here drops the other writers, which closes their connections.
        let written = done.map_err(|_| OpsError::Bug("a writer of rows ended abnormally"))??;
        for (number, part) in written {
            counts.entry(number).or_default().add(&part);
        }
    }
    let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
    let refused = writer().try_again(refused, &mut counts).await?;
    let mut lost = Vec::new();
    for (number, error) in refused {
        counts.remove(&number);
        lost.push(Refused { table: writer().table(number)?.name.clone(), error });
    }
    let add_up = |(number, counts)| add_up(reader, number, counts, request.salvage);
    let restored: Result<_, OpsError> =
        counts.iter().map(|(number, one)| add_up((*number, one))).collect();
    Ok((restored?, lost))
}

/// What all connections together wrote of a relation, which must be what the manifest says.
fn add_up(
    reader: &BackupReader,
    number: u32,
    counts: &Counts,
    salvage: bool,
) -> Result<RestoredRelation, OpsError> {
    let summary = reader.manifest().relations.get(number as usize).ok_or(NOT_IN_MANIFEST)?;
    let mut restored = RestoredRelation {
        relation: summary.relation.clone(),
        rows: counts.rows,
        forgotten: counts.forgotten,
        damaged: counts.damaged,
    };
    if salvage {
        // What a damaged index no longer leads to is lost too.
        restored.damaged = summary.rows.saturating_sub(restored.rows + restored.forgotten);
        return Ok(restored);
    }
    let found = restored.rows + restored.forgotten + restored.damaged;
    if found == summary.rows {
        Ok(restored)
    } else {
        let (relation, expected) = (summary.relation.to_string(), summary.rows);
        Err(OpsError::RowsMissing { relation, expected, found })
    }
}

fn is_table(relation: &Relation) -> bool {
    matches!(relation, Relation::Table(_))
}

/// What became of rows that a scan gave.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    rows: u64,
    forgotten: u64,
    damaged: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.forgotten += other.forgotten;
        self.damaged += other.damaged;
    }
}

type Pieces = mpsc::Receiver<Result<Scanned, OpsError>>;

/// A table that is being scanned, for every connection that has time.
struct Scan {
    number: u32,
    /// The server refused a row of it: the rest is not written.
    is_refused: AtomicBool,
    pieces: tokio::sync::Mutex<Pieces>,
}

/// What there is to do.
struct Queue {
    /// Relations that nobody has begun, the largest first.
    waiting: Mutex<VecDeque<u32>>,
    /// Tables under way that are worth a second connection, the largest first.
    shared: Mutex<Vec<Arc<Scan>>>,
}

impl Queue {
    fn next(&self) -> Option<u32> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn share(&self, scan: &Arc<Scan>) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(scan));
    }

    fn to_help(&self) -> Option<Arc<Scan>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).first().map(Arc::clone)
    }

    /// A scan that gives nothing more needs no help.
    fn is_over(&self, scan: &Scan) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|one| one.number != scan.number);
    }
}

/// One connection, and what it needs.
struct Writer {
    reader: Arc<BackupReader>,
    keys: Arc<SubjectKeys>,
    request: RestoreRequest,
    progress: Arc<dyn ProgressSink>,
    queue: Arc<Queue>,
    /// Tables of which the server refused a row.
    refused: Arc<Mutex<BTreeMap<u32, PostgresError>>>,
}

impl Writer {
    /// Writes until nothing is left to begin or to help with; what it wrote, relation by relation.
    async fn run(self) -> Result<Vec<(u32, Counts)>, OpsError> {
        let session = Session::connect_to_write(&self.request.target).await?;
        if self.request.contents == Contents::DataOnly {
            disable_triggers_for_session(&session).await?;
        }
        let mut written = Vec::new();
        while let Some(number) = self.queue.next() {
            let part = self.relation(&session, number).await;
            written.extend(self.accept(number, part)?);
        }
        while let Some(scan) = self.queue.to_help() {
            let part = self.pieces(&session, &scan).await;
            written.extend(self.accept(scan.number, part)?);
        }
        Ok(written)
    }

    /// Takes what was written, or notes that the server refused it: then the others go on.
    fn accept(
        &self,
        number: u32,
        part: Result<Counts, OpsError>,
    ) -> Result<Option<(u32, Counts)>, OpsError> {
        match part {
            Err(OpsError::Postgres(error @ PostgresError::Refused { .. }))
                if self.may_go_on(number) =>
            {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.entry(number).or_insert(error);
                Ok(None)
            }
            part => part.map(|part| Some((number, part))),
        }
    }

    /// What was written of a table can be taken back only where nothing else is in it.
    fn may_go_on(&self, number: u32) -> bool {
        self.request.contents == Contents::Full
            && !self.request.into_non_empty
            && self.table(number).is_ok()
    }

    /// Restores refused tables by themselves, as long as one of them succeeds; those that never did.
    async fn try_again(
        &self,
        mut refused: BTreeMap<u32, PostgresError>,
        counts: &mut BTreeMap<u32, Counts>,
    ) -> Result<BTreeMap<u32, PostgresError>, OpsError> {
        if refused.is_empty() {
            return Ok(refused);
        }
        let session = Session::connect_to_write(&self.request.target).await?;
        loop {
            let before = refused.len();
            for number in refused.keys().copied().collect::<Vec<_>>() {
                match self.whole(&session, number).await {
                    Ok(all) => {
                        counts.insert(number, all);
                        refused.remove(&number);
                    }
                    Err(OpsError::Postgres(error @ PostgresError::Refused { .. })) => {
                        refused.insert(number, error);
                    }
                    Err(error) => return Err(error),
                }
            }
            if refused.is_empty() || refused.len() == before {
                return Ok(refused);
            }
        }
    }

    /// Restores a table alone, in one transaction with taking back what others wrote of it.
    async fn whole(&self, session: &Session, number: u32) -> Result<Counts, OpsError> {
        let table = self.table(number)?;
        let statement = format!("BEGIN; TRUNCATE ONLY {}", table.name.quoted());
        let statement = match table.kind {
            TableKind::Ordinary => statement,
            TableKind::Partitioned => statement.replacen(" ONLY", "", 1),
        };
        let written = match session.batch("emptying a table", &statement).await {
            Ok(()) => {
                let pieces =
                    scan::relation(&self.reader, number, self.summary(number)?, &self.keys);
                let pieces = pieces.into();
                let scan = Scan { number, is_refused: AtomicBool::new(false), pieces };
                self.pieces(session, &scan).await
            }
            Err(error) => Err(error.into()),
        };
        match written {
            Ok(counts) => {
                session.commit().await?;
                Ok(counts)
            }
            Err(error) => {
                // Parts that other connections committed go too: a table comes whole or not at all.
                session.batch("going back", "ROLLBACK").await?;
                let statement = statement.trim_start_matches("BEGIN; ");
                let _ = session.batch("emptying a table", statement).await;
                Err(error)
            }
        }
    }

    async fn relation(&self, session: &Session, number: u32) -> Result<Counts, OpsError> {
        let manifest = self.reader.manifest();
        let summary = manifest.relations.get(number as usize).ok_or(NOT_IN_MANIFEST)?;
        let mut pieces = scan::relation(&self.reader, number, summary, &self.keys);
        if !is_table(&summary.relation) {
            return self.large_objects(session, &mut pieces).await;
        }
        let is_refused = AtomicBool::new(false);
        let scan = Arc::new(Scan { number, is_refused, pieces: pieces.into() });
        // Into a database that is in use a table comes whole or not at all.
        let is_shared = self.request.contents != Contents::DataOnly;
        if is_shared && summary.raw_bytes >= SHARED_BYTES_MIN {
            self.queue.share(&scan);
        }
        self.pieces(session, &scan).await
    }

    /// Writes this connection's share of a table. Where the server refuses a row, all connections stop.
    async fn pieces(&self, session: &Session, scan: &Scan) -> Result<Counts, OpsError> {
        let written = self.share_of(session, scan).await;
        if written.is_err() {
            scan.is_refused.store(true, Ordering::Relaxed);
            self.queue.is_over(scan);
        }
        written
    }

    async fn share_of(&self, session: &Session, scan: &Scan) -> Result<Counts, OpsError> {
        let table = self.table(scan.number)?;
        let mut counts = Counts::default();
        let format = match self.summary(scan.number)?.format {
            RowFormat::CopyBinary => CopyFormat::Binary,
            _ => CopyFormat::Text,
        };
        let mut copy = session.copy_table_in(table, format).await?;
        loop {
            let item = scan.pieces.lock().await.recv().await;
            let Some(item) = item else { break };
            if scan.is_refused.load(Ordering::Relaxed) {
                return Ok(Counts::default());
            }
            if let Some((rows, number_of_rows)) = self.take(item, &mut counts)? {
                let bytes = rows.len() as u64;
                copy.send(rows).await?;
                self.progress.advance(number_of_rows, bytes);
            }
        }
        self.queue.is_over(scan);
        let written = copy.finish().await?;
        if written == counts.rows {
            Ok(counts)
        } else {
            let (table, expected) = (table.name.clone(), counts.rows);
            Err(OpsError::RowCount { table, expected, written })
        }
    }

    fn summary(&self, number: u32) -> Result<&RelationSummary, OpsError> {
        self.reader.manifest().relations.get(number as usize).ok_or(NOT_IN_MANIFEST)
    }

    fn table(&self, number: u32) -> Result<&Table, OpsError> {
        let manifest = self.reader.manifest();
        match manifest.relations.get(number as usize).map(|summary| &summary.relation) {
            Some(Relation::Table(name)) => manifest.schema.table(name).ok_or(NOT_IN_MANIFEST),
            _ => Err(NOT_IN_MANIFEST),
        }
    }

    async fn large_objects(
        &self,
        session: &Session,
        pieces: &mut Pieces,
    ) -> Result<Counts, OpsError> {
        let mut counts = Counts::default();
        let mut writer = large_objects::Writer::begin(session, &self.request).await?;
        while let Some(item) = pieces.recv().await {
            if let Some((lines, rows)) = self.take(item, &mut counts)? {
                let bytes = lines.len() as u64;
                writer.lines(&lines).await?;
                self.progress.advance(rows, bytes);
            }
        }
        writer.finish().await?;
        Ok(counts)
    }

    /// Counts what a scan gave; the rows, if there are any to write.
    fn take(
        &self,
        item: Result<Scanned, OpsError>,
        counts: &mut Counts,
    ) -> Result<Option<(Bytes, u64)>, OpsError> {
        match item {
            Ok(Scanned::Rows { lines, rows }) => {
                counts.rows += rows;
                return Ok(Some((lines, rows)));
            }
            Ok(Scanned::Forgotten { rows }) => counts.forgotten += rows,
            Ok(Scanned::Damaged { rows, .. }) if self.request.salvage => counts.damaged += rows,
            Ok(Scanned::Damaged { problem, .. }) => return Err(problem),
            Err(error) if self.request.salvage && error.is_damage() => {}
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}
