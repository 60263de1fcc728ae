//! Bytes from a working thread to an object in a store, through a bounded queue.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::OpsError;
use crate::base::durable;
use crate::store::{ObjectName, Store, StoreError, Written};

/// How many pieces may wait for the store.
const QUEUE_PIECES: usize = 8;

/// An object being written. [`ObjectStream::finish`] makes it durable; dropped before that, it
/// leaves nothing.
pub struct ObjectStream {
    pieces: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<Box<dyn crate::store::ObjectWriter>, StoreError>>,
    step: &'static str,
}

/// The store refused; [`ObjectStream::finish`] says why.
#[derive(Debug)]
pub struct Stopped;

impl ObjectStream {
    /// Begins an object. `step` names the durable step that finishes it.
    #[must_use]
    pub fn start(
        runtime: &Handle,
        store: Arc<dyn Store>,
        name: ObjectName,
        step: &'static str,
    ) -> Self {
        let (pieces, mut queue) = mpsc::channel::<Bytes>(QUEUE_PIECES);
        let writer = runtime.spawn(async move {
            let mut writer = store.create(&name).await?;
            while let Some(piece) = queue.recv().await {
                writer.write(piece).await?;
            }
            Ok(writer)
        });
        Self { pieces, writer, step }
    }

    /// Appends bytes; waits while the store is behind. From a thread that may block.
    pub fn write_blocking(&self, piece: Bytes) -> Result<(), Stopped> {
        self.pieces.blocking_send(piece).map_err(|_| Stopped)
    }

    /// Lets go of what was written: no object appears.
    pub async fn abandon(self) {
        drop(self.pieces);
        // The writer is dropped unfinished here and not at some moment after the command's end.
        drop(self.writer.await);
    }

    /// Makes the object durable and visible.
    pub async fn finish(self) -> Result<Written, OpsError> {
        drop(self.pieces);
        // The task is cancelled where the whole command has failed and the process is ending.
        let writer = self.writer.await.map_err(|_| OpsError::StoreStopped)??;
        Ok(durable::step_async(self.step, writer.finish()).await?)
    }
}
