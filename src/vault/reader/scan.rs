//! From sealed segments back to rows: the packs are read in long stretches, opened on a thread of
//! their own, and rows come out about in the order of subjects: within a batch, in that of the packs.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::BackupReader;
use crate::base::ids::{SourceId, VaultId};
use crate::container::index_block::IndexEntry;
use crate::container::manifest::RelationSummary;
use crate::container::{ContainerError, segment};
use crate::crypto::segment::SegmentSealer;
use crate::vault::OpsError;
use crate::vault::subject_keys::{Standing, SubjectKeys};

/// Neighbouring segments are read together up to this many bytes.
const STRETCH_BYTES: u64 = 4 << 20;
/// Up to this many bytes between two segments are read along and let go.
const GAP_BYTES_MAX: u64 = 64 << 10;
/// Rows are handed on in pieces of about this many bytes.
const PIECE_BYTES: usize = 256 << 10;
/// How many stretches, and how many pieces, may wait.
const QUEUE: usize = 3;

/// What comes out of a scan.
pub enum Scanned {
    /// Rows: whole lines, or whole tuples.
    Rows {
        /// The lines or tuples.
        lines: Bytes,
        /// How many.
        rows: u64,
    },
    /// Rows whose subject is forgotten.
    Forgotten {
        /// How many.
        rows: u64,
    },
    /// Rows that are lost: their segment cannot be read or does not authenticate.
    Damaged {
        /// How many.
        rows: u64,
        /// What is wrong.
        problem: OpsError,
    },
}

/// Index entries that are neighbours in one pack, and the bytes from the first to the last.
struct Stretch {
    entries: Vec<IndexEntry>,
    bytes: Result<Bytes, OpsError>,
}

/// Scans one relation of a backup. The receiver ends when everything was handed over; an error that
/// ends the scan early (the index itself is damaged) comes as its last item.
pub fn relation(
    reader: &Arc<BackupReader>,
    number: u32,
    summary: &RelationSummary,
    keys: &Arc<SubjectKeys>,
) -> mpsc::Receiver<Result<Scanned, OpsError>> {
    let (stretches, mut stretch_queue) = mpsc::channel(QUEUE);
    let (pieces, piece_queue) = mpsc::channel(QUEUE);

    let fetcher = Arc::clone(reader);
    let early_end = pieces.clone();
    tokio::spawn(async move {
        if let Err(error) = fetch(&fetcher, number, &stretches).await {
            let _ = early_end.send(Err(error)).await;
        }
    });

    let opener = Opener {
        vault: reader.manifest().vault,
        source: reader.manifest().source,
        summary: summary.clone(),
        keys: Arc::clone(keys),
        pieces,
        lines: Vec::new(),
        rows: 0,
    };
    tokio::task::spawn_blocking(move || opener.run(&mut stretch_queue));
    piece_queue
}

/// Reads the index batch by batch and the packs stretch by stretch.
async fn fetch(
    reader: &BackupReader,
    relation: u32,
    stretches: &mpsc::Sender<Stretch>,
) -> Result<(), OpsError> {
    let mut batches = reader.entries(relation);
    while let Some(batch) = batches.next_batch().await? {
        for neighbours in split_into_stretches(batch) {
            let (Some(first), Some(last)) = (neighbours.first(), neighbours.last()) else {
                continue;
            };
            // Of neighbours the last ends last, so only its end can be too far.
            let end = last.offset.checked_add(last.length);
            let bytes = match end.and_then(|end| end.checked_sub(first.offset)) {
                Some(length) => reader.read_pack(first.pack, first.offset, length).await,
                None => {
                    Err(ContainerError::malformed("the index", "a segment ends nowhere").into())
                }
            };
            if stretches.send(Stretch { entries: neighbours, bytes }).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Segments of a batch that lie near each other in a pack, whatever lies between them: the segments of
/// one backup are spread over the packs of several.
fn split_into_stretches(mut entries: Vec<IndexEntry>) -> Vec<Vec<IndexEntry>> {
    entries.sort_by_key(|entry| (entry.pack, entry.offset));
    let mut stretches: Vec<Vec<IndexEntry>> = Vec::new();
    for entry in entries {
        let fits = stretches.last().is_some_and(|stretch| {
            let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { return false };
            let gap = last.offset.checked_add(last.length);
            let gap = gap.and_then(|end| entry.offset.checked_sub(end));
            last.pack == entry.pack
                && gap.is_some_and(|gap| gap <= GAP_BYTES_MAX)
                && entry.offset - first.offset < STRETCH_BYTES
        });
        match stretches.last_mut() {
            Some(stretch) if fits => stretch.push(entry),
            _ => stretches.push(vec![entry]),
        }
    }
    stretches
}

/// Opens segments and gathers their rows.
struct Opener {
    vault: VaultId,
    source: SourceId,
    summary: RelationSummary,
    keys: Arc<SubjectKeys>,
    pieces: mpsc::Sender<Result<Scanned, OpsError>>,
    lines: Vec<u8>,
    rows: u64,
}

/// Nobody listens any more.
struct Abandoned;

impl Opener {
    fn run(mut self, stretches: &mut mpsc::Receiver<Stretch>) {
        while let Some(stretch) = stretches.blocking_recv() {
            if self.open_stretch(stretch).is_err() {
                return;
            }
        }
        let _ = self.hand_on();
    }

    fn open_stretch(&mut self, stretch: Stretch) -> Result<(), Abandoned> {
        let bytes = match stretch.bytes {
            Ok(bytes) => bytes,
            Err(problem) => {
                let rows = stretch.entries.iter().map(|entry| entry.rows).sum();
                return self.send(Ok(Scanned::Damaged { rows, problem }));
            }
        };
        let references: Vec<_> = stretch.entries.iter().map(|entry| entry.reference).collect();
        let standings = match self.keys.standing(&references) {
            Ok(standings) => standings,
            Err(error) => return self.send(Err(error)),
        };
        let begin = stretch.entries.first().map_or(0, |entry| entry.offset);
        for (entry, standing) in stretch.entries.iter().zip(standings) {
            let rows = entry.rows;
            // What does not fit was refused when the stretch was read.
            let from = usize::try_from(entry.offset - begin).unwrap_or(usize::MAX);
            let rest = bytes.get(from..).unwrap_or_default();
            let length = usize::try_from(entry.length).unwrap_or(usize::MAX).min(rest.len());
            let sealed = &rest[..length];
            let her_key;
            let key = match standing {
                Standing::Key(key) => {
                    her_key = key;
                    her_key.expose()
                }
                Standing::Commons => self.keys.commons(),
                Standing::Forgotten => {
                    self.send(Ok(Scanned::Forgotten { rows }))?;
                    continue;
                }
                Standing::KeyDamaged(problem) => {
                    self.send(Ok(Scanned::Damaged { rows, problem }))?;
                    continue;
                }
            };
            match self.open(entry, key, sealed) {
                Ok(lines) => self.gather(&lines, rows)?,
                Err(problem) => {
                    self.send(Ok(Scanned::Damaged { rows, problem: problem.into() }))?;
                }
            }
        }
        Ok(())
    }

    fn open(
        &self,
        entry: &IndexEntry,
        key: &[u8; 32],
        sealed: &[u8],
    ) -> Result<Vec<u8>, ContainerError> {
        open_segment(self.vault, self.source, &self.summary, entry, key, sealed)
    }

    fn gather(&mut self, lines: &[u8], rows: u64) -> Result<(), Abandoned> {
        self.lines.extend_from_slice(lines);
        self.rows += rows;
        if self.lines.len() >= PIECE_BYTES { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), Abandoned> {
        if self.rows == 0 {
            return Ok(());
        }
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        let rows = std::mem::take(&mut self.rows);
        self.send(Ok(Scanned::Rows { lines, rows }))
    }

    fn send(&self, item: Result<Scanned, OpsError>) -> Result<(), Abandoned> {
        self.pieces.blocking_send(item).map_err(|_| Abandoned)
    }
}

/// Opens one segment of a relation and checks what the index says of it: its lines or tuples.
pub fn open_segment(
    vault: VaultId,
    source: SourceId,
    summary: &RelationSummary,
    entry: &IndexEntry,
    key: &[u8; 32],
    sealed: &[u8],
) -> Result<Vec<u8>, ContainerError> {
    let (relation, layout) = (&summary.relation, summary.layout.as_ref());
    let name = || {
        format!(
            "the segment of {relation} at {} in pack {} (subject {})",
            entry.offset, entry.pack, entry.reference
        )
    };
    let codec = entry.codec;
    let context = segment::context(vault, source, relation, entry.reference, codec, layout);
    let payload = SegmentSealer::new(key)
        .open(&context, &entry.content_mac, sealed)
        .map_err(|_| ContainerError::not_authentic(&name()))?;
    segment::rows_of((codec, layout), payload, (entry.rows, entry.raw_bytes), &name())
}
