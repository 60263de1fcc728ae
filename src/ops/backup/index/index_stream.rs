//! Index blocks from several threads into the one layer that a backup writes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::base::ids::{BackupId, PackId};
use crate::container::index::{IndexSeal, IndexWriter};
use crate::container::layer_block::PlainBlock;
use crate::container::manifest::LayerSummary;
use crate::store::{ObjectName, Store};
use crate::vault::OpsError;
use crate::vault::object_stream::{ObjectStream, Stopped};

/// The layer that the backup being made writes. Its object is begun with the first block: a backup in
/// which nothing has changed writes none.
#[derive(Clone)]
pub struct IndexStream(Arc<Mutex<State>>);

struct State {
    writer: IndexWriter,
    output: Output,
    /// Whether anything is other than in the previous backup.
    differs: bool,
}

struct Output {
    runtime: Handle,
    store: Arc<dyn Store>,
    name: ObjectName,
    header: Vec<u8>,
    stream: Option<ObjectStream>,
    /// Set once somebody asks why the store stopped: nothing is begun again after that.
    is_over: bool,
}

impl Output {
    fn append(&mut self, bytes: Vec<u8>) -> Result<(), Stopped> {
        if self.is_over {
            return Err(Stopped);
        }
        let Self { runtime, store, name, header, .. } = self;
        let stream = self.stream.get_or_insert_with(|| {
            ObjectStream::start(runtime, Arc::clone(store), name.clone(), "backup.index")
        });
        if !header.is_empty() {
            stream.write_blocking(Bytes::from(std::mem::take(header)))?;
        }
        stream.write_blocking(Bytes::from(bytes))
    }
}

impl IndexStream {
    /// A layer of which nothing is written yet.
    #[must_use]
    pub fn new(runtime: Handle, store: Arc<dyn Store>, name: ObjectName, seal: IndexSeal) -> Self {
        let (writer, header) = IndexWriter::new(seal);
        let output = Output { runtime, store, name, header, stream: None, is_over: false };
        Self(Arc::new(Mutex::new(State { writer, output, differs: false })))
    }

    /// Seals a block and appends it. Sealing and appending are one step, so that blocks lie in the
    /// order of their numbers. From a thread that may block.
    pub fn block(&self, block: &PlainBlock) -> Result<(), Stopped> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = state.writer.block(block);
        state.output.append(sealed)
    }

    /// Notes that something is other than in the previous backup.
    pub fn note_difference(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).differs = true;
    }

    /// What the store said when it stopped taking blocks.
    pub async fn why_stopped(self) -> OpsError {
        // Other parts of the backup may still be ending: they hold this layer, too.
        let stream = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.output.is_over = true;
            state.output.stream.take()
        };
        let Some(stream) = stream else { return OpsError::StoreStopped };
        stream.finish().await.err().unwrap_or(OpsError::StoreStopped)
    }

    /// What was written, once every other holder of this layer is gone.
    pub fn close(self) -> Result<ClosedIndex, OpsError> {
        let state = Arc::into_inner(self.0)
            .ok_or(OpsError::Bug("the index is finished while it is still written"))?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(ClosedIndex(state))
    }
}

/// A layer to which nothing is added any more, not yet durable. Dropped, it leaves no object.
pub struct ClosedIndex(State);

impl ClosedIndex {
    /// Whether anything is other than in the previous backup.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.0.differs
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.writer.entries()
    }

    /// Lets go of what was written.
    pub async fn abandon(self) {
        if let Some(stream) = self.0.output.stream {
            stream.abandon().await;
        }
    }

    /// Writes the directory and makes the layer durable. From a thread that may block.
    pub fn finish(self, backup: BackupId, packs: &[PackId]) -> Result<LayerSummary, OpsError> {
        let entries = self.entries();
        let State { writer, mut output, .. } = self.0;
        let (directory, directory_offset) = writer.finish(packs);
        // If the store stopped, finishing the stream says why.
        let _ = output.append(directory);
        let stream = output.stream.ok_or(OpsError::StoreStopped)?;
        let written = output.runtime.block_on(stream.finish())?;
        let (bytes, sha256) = (written.bytes, written.sha256);
        Ok(LayerSummary { backup, bytes, sha256, directory_offset, entries, key: None })
    }
}
