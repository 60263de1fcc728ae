//! Sealed segments into packs of a bounded size.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::base::ids::{Digest, PackId, VaultId};
use crate::base::random;
use crate::container::index_block::IndexEntry;
use crate::container::manifest::PackSummary;
use crate::container::{names, pack};
use crate::store::Store;
use crate::vault::OpsError;
use crate::vault::object_stream::{ObjectStream, Stopped};

/// A pack is closed when it reaches this many bytes.
const PACK_BYTES_TARGET: u64 = 64 << 20;
/// Segments are gathered into pieces of this size before they go to the store.
const PIECE_BYTES: usize = 256 << 10;

/// The packs of one backup: those that it may refer to, and those that it writes, in the order in
/// which they were begun. A pack's place here is its number in the layer of the index that is written.
#[derive(Clone, Default)]
pub struct PackList(Arc<Mutex<Vec<ListedPack>>>);

struct ListedPack {
    pack: PackSummary,
    /// Whether this backup writes it.
    is_own: bool,
}

impl PackList {
    fn add(&self, id: PackId) -> u32 {
        let pack = PackSummary { id, bytes: 0, sha256: Digest([0; 32]), used: 0 };
        self.push(ListedPack { pack, is_own: true })
    }

    /// Takes in a pack that an earlier backup wrote.
    pub fn reuse(&self, pack: &PackSummary) -> u32 {
        let pack = PackSummary { used: 0, ..pack.clone() };
        self.push(ListedPack { pack, is_own: false })
    }

    fn push(&self, pack: ListedPack) -> u32 {
        let mut packs = self.lock();
        packs.push(pack);
        u32::try_from(packs.len() - 1).unwrap_or(u32::MAX)
    }

    fn complete(&self, number: u32, bytes: u64, sha256: Digest) {
        if let Some(listed) = self.lock().get_mut(number as usize) {
            listed.pack.bytes = bytes;
            listed.pack.sha256 = sha256;
        }
    }

    /// Counts the bytes that the backup needs of each pack.
    pub fn count(&self, entries: &[IndexEntry]) {
        let mut packs = self.lock();
        for entry in entries {
            if let Some(listed) = packs.get_mut(entry.pack as usize) {
                listed.pack.used = listed.pack.used.saturating_add(entry.length);
            }
        }
    }

    /// All identifiers, in the order of the numbers.
    #[must_use]
    pub fn ids(&self) -> Vec<PackId> {
        self.lock().iter().map(|listed| listed.pack.id).collect()
    }

    /// The packs that this backup wrote or began.
    #[must_use]
    pub fn own(&self) -> Vec<PackSummary> {
        self.lock().iter().filter(|one| one.is_own).map(|one| one.pack.clone()).collect()
    }

    /// The packs that this backup needs.
    #[must_use]
    pub fn needed(&self) -> Vec<PackSummary> {
        let packs = self.lock();
        let needed = packs.iter().filter(|one| one.is_own || one.pack.used > 0);
        needed.map(|one| one.pack.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ListedPack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a segment was put.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// The pack's number.
    pub pack: u32,
    /// The offset in bytes.
    pub offset: u64,
}

/// Writes packs, one after the other. Used from a thread that may block.
pub struct PackStream {
    runtime: Handle,
    store: Arc<dyn Store>,
    vault: VaultId,
    packs: PackList,
    open: Option<OpenPack>,
}

struct OpenPack {
    number: u32,
    stream: ObjectStream,
    piece: Vec<u8>,
    bytes: u64,
}

impl PackStream {
    /// A stream with no pack open yet.
    #[must_use]
    pub fn new(runtime: Handle, store: Arc<dyn Store>, vault: VaultId, packs: PackList) -> Self {
        Self { runtime, store, vault, packs, open: None }
    }

    /// Appends a sealed segment.
    pub fn append(&mut self, sealed: &[u8]) -> Result<Placed, OpsError> {
        if self.open.as_ref().is_some_and(|pack| pack.bytes >= PACK_BYTES_TARGET) {
            self.close()?;
        }
        let pack = match &mut self.open {
            Some(pack) => pack,
            none => none.insert(begin(&self.runtime, &self.store, self.vault, &self.packs)?),
        };
        let placed = Placed { pack: pack.number, offset: pack.bytes };
        pack.bytes += sealed.len() as u64;
        pack.piece.extend_from_slice(sealed);
        if pack.piece.len() >= PIECE_BYTES {
            let piece = std::mem::replace(&mut pack.piece, Vec::with_capacity(PIECE_BYTES * 2));
            if pack.stream.write_blocking(Bytes::from(piece)).is_err() {
                // The store's own error comes out of closing.
                self.close()?;
            }
        }
        Ok(placed)
    }

    /// Closes the open pack, if there is one, and waits until it is durable.
    pub fn close(&mut self) -> Result<(), OpsError> {
        let Some(pack) = self.open.take() else { return Ok(()) };
        let stopped = match pack.stream.write_blocking(Bytes::from(pack.piece)) {
            Ok(()) => false,
            Err(Stopped) => true,
        };
        let written = self.runtime.block_on(pack.stream.finish())?;
        debug_assert!(!stopped, "a stream that stopped has an error to tell");
        self.packs.complete(pack.number, written.bytes, written.sha256);
        Ok(())
    }
}

fn begin(
    runtime: &Handle,
    store: &Arc<dyn Store>,
    vault: VaultId,
    packs: &PackList,
) -> Result<OpenPack, OpsError> {
    let id = PackId(random::bytes(&mut random::system()));
    let name = names::pack(id).parse().map_err(OpsError::from)?;
    let stream = ObjectStream::start(runtime, Arc::clone(store), name, "backup.pack");
    let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
    piece.extend_from_slice(&pack::header(vault, id));
    let bytes = piece.len() as u64;
    Ok(OpenPack { number: packs.add(id), stream, piece, bytes })
}
