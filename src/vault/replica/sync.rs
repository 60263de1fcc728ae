//! One sync: what has changed in the catalog goes to every store that can be reached.
//!
//! | step | what is done | after a crash behind it |
//! |---|---|---|
//! | `replica.take` | the marks of changed cells are set aside | taken up again |
//! | `replica.data` | a data object holds those cells, under a key of its own | the object is garbage |
//! | `replica.pending` | the catalog knows the object, its key, its cells and the new head | the head is written |
//! | `replica.head` | the head is in the store: the replica is the newest | settled |
//! | `replica.settle` | the catalog notes that it is durable; what is superseded is removed | nothing is left to do |
//!
//! The head is kept in the catalog until it is known to be durable, and the very same bytes are
//! written by a later attempt. So a head that is there and is not ours is another machine's.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;

use super::bring_up;
use super::places::{self, Streams};
use crate::base::ids::{Digest, ShardId, VaultId};
use crate::base::{digest, durable, random};
use crate::catalog::Transaction;
use crate::catalog::replica::{self, CellRow, ObjectRow, Pending, State, cells, rows};
use crate::catalog::vault_keys::{self, VaultKeyRow};
use crate::catalog::{Catalog, CatalogError};
use crate::container::names;
use crate::container::replica::ObjectKey;
use crate::container::replica::data::{DataSeal, DataWriter, FRAME_BYTES_TARGET};
use crate::container::replica::head::{CellPlace, DataObject, Head, HeadHeader};
use crate::keys::replica_key::ReplicaKeys;
use crate::vault::OpsError;
use crate::vault::handle::{Vault, Writing};
use crate::vault::stores::NamedStore;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// The number of the newest replica, now.
    pub sequence: u64,
    /// Cells written.
    pub cells: usize,
    /// Bytes written: data and head.
    pub bytes: u64,
    /// Objects that were superseded and are removed.
    pub removed: usize,
    /// Objects that were superseded and could not be removed.
    pub left: usize,
}

/// Brings the replica up to date. When this returns, everything that the catalog held at its
/// beginning is durable in every store that can be reached, and in one at least. Where nothing has
/// changed, nothing is written.
///
/// A superseded head of an older epoch stays until [`super::remove_superseded`].
///
/// # Errors
/// [`super::ReplicaError::AnotherMachine`]; [`OpsError::Store`]. What was taken up is then taken up
/// by the next sync.
pub async fn sync(
    vault: &Vault,
    keys: &ReplicaKeys,
    _lock: &Writing,
) -> Result<SyncReport, OpsError> {
    let mut report = SyncReport::default();
    // One that is void is followed by one that holds everything.
    let _ = publish(vault, &mut report).await?;
    let taken = durable::step("replica.take", || vault.catalog().transaction(replica::take))?;
    let state = replica::state(vault.catalog().connection())?;
    report.sequence = state.sequence;
    let data = write_data(vault, state.sequence + 1, taken).await?;
    if data.cells.is_empty() && state.sequence > 0 && state.epoch == keys.epoch() {
        vault.catalog().transaction(replica::drop_taken)?;
        bring_up::all(vault, keys).await?;
        return Ok(report);
    }
    report.cells = data.cells.len();
    report.bytes += data.object.as_ref().map_or(0, |(object, _)| object.bytes);
    durable::step("replica.pending", || {
        vault.catalog().transaction(|transaction| {
            let head = record(transaction, vault, keys, &state, &data)?;
            let pending = Pending { sequence: state.sequence + 1, epoch: keys.epoch(), head };
            Ok::<_, OpsError>(replica::set_pending(transaction, &pending)?)
        })
    })?;
    match publish(vault, &mut report).await? {
        None => Ok(report),
        Some(error) => Err(error),
    }
}

/// Cells that were written, and the object that holds them.
struct Data {
    object: Option<(ObjectRow, ObjectKey)>,
    cells: Vec<CellRow>,
}

/// Writes the cells that have really changed to a new data object, if there are any.
async fn write_data(
    vault: &Vault,
    sequence: u64,
    mut taken: Vec<String>,
) -> Result<Data, OpsError> {
    // No trigger marks this one: it is small, and compared each time.
    taken.retain(|cell| cell != cells::VAULT);
    taken.push(cells::VAULT.to_owned());
    let name = names::replica_data(sequence, random::bytes(&mut random::system()));
    let mut cell_writer = CellWriter {
        catalog: vault.places().catalog.clone(),
        stores: places::stores(vault).await?,
        runtime: Handle::current(),
        name: name.clone(),
        vault: vault.id(),
        sequence,
        begun: None,
        cells: Vec::new(),
    };
    let written = tokio::task::spawn_blocking(move || {
        let written = cell_writer.run(&taken);
        (cell_writer, written)
    });
    let (cell_writer, written) =
        written.await.map_err(|_| OpsError::Bug("the thread that reads the catalog ended"))?;
    let CellWriter { begun, cells, .. } = cell_writer;
    let Some((streams, writer)) = begun else {
        written?;
        return Ok(Data { object: None, cells });
    };
    match written {
        // Where the store has stopped, finishing says why.
        Ok(()) | Err(OpsError::StoreStopped) => {}
        Err(error) => return Err(error),
    }
    let bytes = streams.finish().await?;
    written?;
    if bytes != writer.bytes() {
        return Err(OpsError::Bug("a data object has another length than was written"));
    }
    let key = ObjectKey::from_slice(writer.finish().key().expose())
        .ok_or(OpsError::Bug("a key is not 32 bytes"))?;
    Ok(Data { object: Some((ObjectRow { sequence, name, bytes }, key)), cells })
}

/// So many cells may wait to be sealed while further ones are read.
const CELLS_WAITING: usize = 4;

/// A cell that is not in the store as it is here.
enum ChangedCell {
    /// It has no rows any more.
    Gone(String),
    /// It has others.
    Rows(String, rows::CellText),
}

/// Reads cells, and hands on those that have really changed. A thread of its own, beside the sealing.
fn read_cells(
    catalog: &Path,
    taken: &[String],
    changed: &SyncSender<ChangedCell>,
) -> Result<(), OpsError> {
    // A connection of its own, so that all cells are of one moment.
    let catalog = Catalog::open(catalog)?;
    let snapshot = catalog.snapshot()?;
    for cell in taken {
        let text = rows::read(&snapshot, cell, FRAME_BYTES_TARGET)?;
        let read = if text.pieces.is_empty() {
            replica::has_cell(&snapshot, cell)?.then(|| ChangedCell::Gone(cell.clone()))
        } else {
            let is_new = replica::content(&snapshot, cell)? != Some(text.sha256);
            is_new.then(|| ChangedCell::Rows(cell.clone(), text))
        };
        // Whoever takes them has failed, and says why.
        if read.is_some_and(|read| changed.send(read).is_err()) {
            break;
        }
    }
    Ok(())
}

/// Seals changed cells and hands them to the stores.
struct CellWriter {
    catalog: PathBuf,
    stores: Vec<NamedStore>,
    runtime: Handle,
    name: String,
    vault: VaultId,
    sequence: u64,
    begun: Option<(Streams, DataWriter)>,
    cells: Vec<CellRow>,
}

impl CellWriter {
    fn run(&mut self, taken: &[String]) -> Result<(), OpsError> {
        let catalog = self.catalog.clone();
        std::thread::scope(|scope| {
            let (sender, changed) = mpsc::sync_channel(CELLS_WAITING);
            let reader = scope.spawn(move || read_cells(&catalog, taken, &sender));
            let written = changed.iter().try_for_each(|cell| match cell {
                ChangedCell::Gone(cell) => {
                    self.cells.push(gone(&cell, self.sequence));
                    Ok(())
                }
                ChangedCell::Rows(cell, text) => self.write(&cell, &text),
            });
            drop(changed);
            let read = reader.join();
            written.and(read.unwrap_or(Err(OpsError::THREAD_ENDED)))
        })
    }

    fn write(&mut self, cell: &str, text: &rows::CellText) -> Result<(), OpsError> {
        let (streams, writer) = match &mut self.begun {
            Some(begun) => begun,
            begun @ None => {
                let key = ObjectKey::generate(&mut random::system());
                let seal = DataSeal::new(key, self.vault, self.sequence);
                let (writer, header) = DataWriter::new(seal);
                let streams =
                    Streams::start(&self.runtime, &self.stores, &self.name, "replica.data")?;
                let begun = begun.insert((streams, writer));
                begun
                    .0
                    .write_blocking(&self.runtime, &header.into())
                    .map_err(|_| OpsError::StoreStopped)?;
                begun
            }
        };
        let (pieces, place) = writer.cell(cell, &text.pieces)?;
        for piece in pieces {
            streams
                .write_blocking(&self.runtime, &piece.into())
                .map_err(|_| OpsError::StoreStopped)?;
        }
        let CellPlace { cell, object, frame, offset, length, sha256 } = place;
        self.cells.push(CellRow {
            cell,
            sequence: object,
            frame,
            start: offset,
            bytes: length,
            sha256,
            content: Some(text.sha256),
        });
        Ok(())
    }
}

/// What says that a cell has no rows any more.
fn gone(cell: &str, sequence: u64) -> CellRow {
    CellRow {
        cell: cell.to_owned(),
        sequence,
        frame: 0,
        start: 0,
        bytes: 0,
        sha256: Digest([0; 32]),
        content: None,
    }
}

/// Records what was written, and makes the head that leads to it and to all that stays.
fn record(
    transaction: &Transaction<'_>,
    vault: &Vault,
    keys: &ReplicaKeys,
    state: &State,
    data: &Data,
) -> Result<Vec<u8>, OpsError> {
    let random = &mut random::system();
    if let Some((object, key)) = &data.object {
        replica::insert_object(transaction, object)?;
        let wrapped_key = keys.wrap(object.sequence, key.expose(), random)?;
        let kind = ReplicaKeys::kind(object.sequence);
        let row = VaultKeyRow { kind, shard_id: ShardId::VAULT, wrapped_key };
        vault_keys::insert(transaction, &row)?;
    }
    replica::insert_cells(transaction, &data.cells)?;

    let cells: Vec<CellPlace> =
        replica::newest_cells(transaction)?.into_iter().map(place).collect();
    let mut objects = Vec::new();
    for object in replica::objects(transaction)? {
        if cells.iter().any(|cell| cell.object == object.sequence) {
            objects.push(with_key(transaction, keys, object)?);
        }
    }
    let sequence = state.sequence + 1;
    let head = Head {
        schema: Catalog::version(),
        written_at: vault.clock().now(),
        previous: state.sha256,
        objects,
        cells,
    };
    let header = HeadHeader {
        vault: vault.id(),
        epoch: keys.epoch(),
        sequence,
        salt: random::bytes(random),
    };
    let key = keys.head_key(&header.salt, sequence);
    Ok(head.seal(&header, &key, &names::replica_head(sequence))?)
}

fn place(row: CellRow) -> CellPlace {
    let CellRow { cell, sequence, frame, start, bytes, sha256, content: _ } = row;
    CellPlace { cell, object: sequence, frame, offset: start, length: bytes, sha256 }
}

fn with_key(
    transaction: &Transaction<'_>,
    keys: &ReplicaKeys,
    object: ObjectRow,
) -> Result<DataObject, OpsError> {
    let ObjectRow { sequence, name, bytes } = object;
    let kind = ReplicaKeys::kind(sequence);
    let row = vault_keys::get(transaction, &kind)?
        .ok_or_else(|| CatalogError::Missing { object: format!("vault key `{kind}`") })?;
    let key = ObjectKey::from_slice(&keys.unwrap(sequence, &row.wrapped_key)?)
        .ok_or(OpsError::Bug("a key is not 32 bytes"))?;
    Ok(DataObject { sequence, name, bytes, key })
}

/// Writes the head that is pending, if one is, and notes that it is durable. Then the superseded head
/// goes, unless it is of an older epoch, and with it data objects that no cell lies in any more.
///
/// Returns why the head is void, where what it leads to is damaged wherever it is: its number is used
/// up, no store has it, and the next sync writes everything anew.
async fn publish(vault: &Vault, report: &mut SyncReport) -> Result<Option<OpsError>, OpsError> {
    let state = replica::state(vault.catalog().connection())?;
    let Some(pending) = state.pending else { return Ok(None) };
    let head = Bytes::from(pending.head);
    let name = names::replica_head(pending.sequence);
    let (took, void) = match bring_up::write_head(vault, pending.sequence, &name, &head).await {
        Ok(took) => (took, None),
        Err(error) if error.is_damage() => (Vec::new(), Some(error)),
        Err(error) => return Err(error),
    };
    let dead = durable::step("replica.settle", || {
        vault.catalog().transaction(|transaction| {
            let dead = replica::settle(transaction, digest::sha256(&head))?;
            if void.is_some() {
                replica::mark_all(transaction)?;
            }
            for object in &dead {
                vault_keys::delete(transaction, &ReplicaKeys::kind(object.sequence))?;
            }
            Ok::<_, OpsError>(dead)
        })
    })?;
    places::note(vault, &took, pending.sequence)?;
    report.sequence = pending.sequence;
    report.bytes += head.len() as u64;
    let mut superseded: Vec<String> = dead.into_iter().map(|object| object.name).collect();
    if state.sequence > 0 && state.epoch == pending.epoch {
        superseded.push(names::replica_head(state.sequence));
    }
    let (removed, left) = places::remove(vault, &took, &superseded).await;
    report.removed += removed;
    report.left += left;
    Ok(void)
}
