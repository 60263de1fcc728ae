//! Index blocks from several threads into one index object.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::container::index::{IndexSeal, IndexWriter};
use crate::container::index_block::PlainBlock;
use crate::container::manifest::IndexSummary;
use crate::ops::OpsError;
use crate::ops::object_stream::{ObjectStream, Stopped};
use crate::store::{ObjectName, Store};

/// The index of the backup being made.
#[derive(Clone)]
pub struct IndexStream(Arc<Mutex<State>>);

struct State {
    writer: IndexWriter,
    stream: ObjectStream,
}

impl IndexStream {
    /// Begins the index with its header.
    pub async fn start(
        runtime: &Handle,
        store: Arc<dyn Store>,
        name: ObjectName,
        seal: IndexSeal,
    ) -> Result<Self, OpsError> {
        let (writer, header) = IndexWriter::new(seal);
        let stream = ObjectStream::start(runtime, store, name, "backup.index");
        if stream.write(Bytes::from(header)).await.is_err() {
            return Err(match stream.finish().await {
                Err(error) => error,
                Ok(_) => OpsError::StoreStopped,
            });
        }
        Ok(Self(Arc::new(Mutex::new(State { writer, stream }))))
    }

    /// Seals a block and appends it. Sealing and appending are one step, so that blocks lie in the
    /// order of their numbers. From a thread that may block.
    pub fn block(&self, block: &PlainBlock) -> Result<(), Stopped> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = state.writer.block(block);
        state.stream.write_blocking(Bytes::from(sealed))
    }

    /// What the store said when it stopped taking blocks.
    pub async fn why_stopped(self) -> OpsError {
        let Some(state) = Arc::into_inner(self.0) else { return OpsError::StoreStopped };
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.stream.finish().await.err().unwrap_or(OpsError::StoreStopped)
    }

    /// Writes the directory and makes the index durable. From a thread that may block, when every
    /// other holder of this index is gone.
    pub fn finish(self, runtime: &Handle) -> Result<IndexSummary, OpsError> {
        let state = Arc::into_inner(self.0)
            .ok_or(OpsError::Bug("the index is finished while it is still written"))?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let (directory, directory_offset) = state.writer.finish();
        // If the store stopped, finishing the stream says why.
        let _ = state.stream.write_blocking(Bytes::from(directory));
        let written = runtime.block_on(state.stream.finish())?;
        Ok(IndexSummary { bytes: written.bytes, sha256: written.sha256, directory_offset })
    }
}
