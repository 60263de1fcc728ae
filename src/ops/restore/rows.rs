//! Rows into the target, several relations at a time, the largest first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{RestoreRequest, large_objects};
use crate::container::manifest::{Contents, RelationSummary, RowFormat};
use crate::container::segment::Relation;
use crate::ops::OpsError;
use crate::ops::backup_reader::BackupReader;
use crate::ops::scan::{self, Scanned};
use crate::ops::subject_keys::SubjectKeys;
use crate::postgres::{CopyFormat, Session, tuples};
use crate::postgres::target::disable_triggers_for_session;
use crate::progress::ProgressSink;
use crate::schema::Table;

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

/// Restores the rows of the relations of these numbers.
pub async fn restore_all(
    reader: &Arc<BackupReader>,
    keys: &Arc<SubjectKeys>,
    mut numbers: Vec<u32>,
    request: &RestoreRequest,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Vec<RestoredRelation>, OpsError> {
    let bytes = |number: &u32| {
        reader.manifest().relations.get(*number as usize).map_or(0, |one| one.raw_bytes)
    };
    numbers.sort_by_key(|number| std::cmp::Reverse(bytes(number)));
    let jobs = request.jobs.clamp(1, numbers.len().max(1));
    let queue = Arc::new(Mutex::new(VecDeque::from(numbers)));
    let mut writers = JoinSet::new();
    for _ in 0..jobs {
        let writer = Writer {
            reader: Arc::clone(reader),
            keys: Arc::clone(keys),
            request: request.clone(),
            progress: Arc::clone(progress),
        };
        writers.spawn(writer.run(Arc::clone(&queue)));
    }
    let mut restored = Vec::new();
    while let Some(done) = writers.join_next().await {
        // An error here drops the other writers, which closes their connections.
        restored.extend(done.map_err(|_| OpsError::Bug("a writer of rows ended abnormally"))??);
    }
    Ok(restored)
}

struct Writer {
    reader: Arc<BackupReader>,
    keys: Arc<SubjectKeys>,
    request: RestoreRequest,
    progress: Arc<dyn ProgressSink>,
}

impl Writer {
    async fn run(
        self,
        queue: Arc<Mutex<VecDeque<u32>>>,
    ) -> Result<Vec<RestoredRelation>, OpsError> {
        let session = Session::connect(&self.request.target).await?;
        if self.request.contents == Contents::DataOnly {
            disable_triggers_for_session(&session).await?;
        }
        let mut restored = Vec::new();
        loop {
            let number = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(number) = number else { return Ok(restored) };
            restored.push(self.relation(&session, number).await?);
        }
    }

    async fn relation(&self, session: &Session, number: u32) -> Result<RestoredRelation, OpsError> {
        let manifest = self.reader.manifest();
        let bug = OpsError::Bug("a relation is not in the manifest");
        let Some(summary) = manifest.relations.get(number as usize) else { return Err(bug) };
        let mut restored = RestoredRelation {
            relation: summary.relation.clone(),
            rows: 0,
            forgotten: 0,
            damaged: 0,
        };
        match &summary.relation {
            Relation::Table(name) => {
                let Some(table) = manifest.schema.table(name) else { return Err(bug) };
                self.table(session, number, summary, table, &mut restored).await?;
            }
            Relation::LargeObjects => {
                self.large_objects(session, number, summary, &mut restored).await?;
            }
        }
        if self.request.salvage {
            // What a damaged index no longer leads to is lost too.
            restored.damaged = summary.rows.saturating_sub(restored.rows + restored.forgotten);
        }
        let found = restored.rows + restored.forgotten + restored.damaged;
        if found != summary.rows && !self.request.salvage {
            return Err(OpsError::RowsMissing {
                relation: summary.relation.to_string(),
                expected: summary.rows,
                found,
            });
        }
        Ok(restored)
    }

    async fn table(
        &self,
        session: &Session,
        number: u32,
        summary: &RelationSummary,
        table: &Table,
        restored: &mut RestoredRelation,
    ) -> Result<(), OpsError> {
        let mut items = scan::relation(&self.reader, number, summary, &self.keys);
        let is_binary = summary.format == RowFormat::CopyBinary;
        let format = if is_binary { CopyFormat::Binary } else { CopyFormat::Text };
        let mut copy = session.copy_table_in(table, format).await?;
        if is_binary {
            copy.send(Bytes::from_static(tuples::HEADER)).await?;
        }
        while let Some(item) = items.recv().await {
            if let Some((lines, rows)) = self.take(item, restored)? {
                let bytes = lines.len() as u64;
                copy.send(lines).await?;
                self.progress.advance(rows, bytes);
            }
        }
        if is_binary {
            copy.send(Bytes::from_static(tuples::TRAILER)).await?;
        }
        let written = copy.finish().await?;
        if written == restored.rows {
            Ok(())
        } else {
            let (table, expected) = (table.name.clone(), restored.rows);
            Err(OpsError::RowCount { table, expected, written })
        }
    }

    async fn large_objects(
        &self,
        session: &Session,
        number: u32,
        summary: &RelationSummary,
        restored: &mut RestoredRelation,
    ) -> Result<(), OpsError> {
        let mut items = scan::relation(&self.reader, number, summary, &self.keys);
        let mut writer = large_objects::Writer::begin(session, &self.request).await?;
        while let Some(item) = items.recv().await {
            if let Some((lines, rows)) = self.take(item, restored)? {
                let bytes = lines.len() as u64;
                writer.lines(&lines).await?;
                self.progress.advance(rows, bytes);
            }
        }
        writer.finish().await
    }

    /// Counts what a scan gave; the lines, if there are any to write.
    fn take(
        &self,
        item: Result<Scanned, OpsError>,
        restored: &mut RestoredRelation,
    ) -> Result<Option<(Bytes, u64)>, OpsError> {
        match item {
            Ok(Scanned::Rows { lines, rows }) => {
                restored.rows += rows;
                return Ok(Some((lines, rows)));
            }
            Ok(Scanned::Forgotten { rows }) => restored.forgotten += rows,
            Ok(Scanned::Damaged { rows, .. }) if self.request.salvage => restored.damaged += rows,
            Ok(Scanned::Damaged { problem, .. }) => return Err(problem),
            Err(error) if self.request.salvage && error.is_damage() => {}
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}
