//! One object on its way into a directory.
//!
//! A thread of its own hashes and writes what comes through a short queue, so that whoever seals
//! the bytes need not wait for the disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::base::digest::RunningDigest;
use crate::base::durable;
use crate::store::{ObjectName, ObjectWriter, StoreError, Written};

/// How many writes may wait for the disk. Bounds memory together with the size of a write.
const QUEUE_WRITES: usize = 2;

enum Order {
    Append(Bytes),
    Finish,
    #[cfg(debug_assertions)]
    Abandon,
}

/// Writes one object. Dropped, it removes what it has written.
pub(super) struct DirectoryWriter {
    location: String,
    name: ObjectName,
    orders: mpsc::Sender<Order>,
    /// `None` once its outcome was taken, after which nothing can be written any more.
    thread: Option<JoinHandle<io::Result<Option<Written>>>>,
}

impl DirectoryWriter {
    /// Begins to write to `file`, which becomes `path` at the end.
    pub(super) fn start(
        location: String,
        name: ObjectName,
        path: PathBuf,
        file: NamedTempFile,
    ) -> Self {
        let (orders, queue) = mpsc::channel(QUEUE_WRITES);
        let thread = tokio::task::spawn_blocking(move || carry_out(queue, file, &path));
        Self { location, name, orders, thread: Some(thread) }
    }

    /// Waits for the thread's end and says how it went.
    async fn outcome(&mut self) -> Result<Option<Written>, StoreError> {
        let ended = match self.thread.take() {
            Some(thread) => thread.await.unwrap_or_else(|lost| Err(io::Error::other(lost))),
            None => Err(io::Error::other("an earlier write failed")),
        };
        ended.map_err(|error| self.failure(error))
    }

    fn failure(&self, error: io::Error) -> StoreError {
        StoreError::writing(&self.location, self.name.as_str(), error)
    }

    async fn order(&mut self, order: Order) -> Result<(), StoreError> {
        if self.orders.send(order).await.is_ok() {
            return Ok(());
        }
        // The thread ended before it was told to: it failed.
        self.outcome().await.map(|_| ())
    }
}

#[async_trait]
impl ObjectWriter for DirectoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.order(Order::Append(bytes)).await
    }

    async fn finish(mut self: Box<Self>) -> Result<Written, StoreError> {
        self.order(Order::Finish).await?;
        match self.outcome().await? {
            Some(written) => Ok(written),
            None => Err(self.failure(io::Error::other("the object was not finished"))),
        }
    }

    #[cfg(debug_assertions)]
    async fn abandon(mut self: Box<Self>) {
        if self.order(Order::Abandon).await.is_ok() {
            let _ = self.outcome().await;
        }
    }
}

/// Runs on the thread: until the end, until the first error, or until the writer is dropped.
fn carry_out(
    mut queue: mpsc::Receiver<Order>,
    mut file: NamedTempFile,
    path: &Path,
) -> io::Result<Option<Written>> {
    let mut sha256 = RunningDigest::default();
    let mut bytes = 0;
    while let Some(order) = queue.blocking_recv() {
        match order {
            Order::Append(part) => {
                sha256.update(&part);
                file.write_all(&part)?;
                bytes += part.len() as u64;
            }
            #[cfg(debug_assertions)]
            Order::Abandon => {
                file.keep().map_err(|kept| kept.error)?;
                return Ok(None);
            }
            Order::Finish => {
                publish(file, path)?;
                let sha256 = sha256.finish();
                return Ok(Some(Written { bytes, sha256 }));
            }
        }
    }
    Ok(None)
}

/// Invariant: the bytes are durable before the name is, and the name never replaces another's.
fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    durable::step("store-write", || file.as_file().sync_all())?;
    durable::step("store-publish", || {
        let folder = durable::folder_of(path);
        durable::create_folder(folder)?;
        file.persist_noclobber(path).map_err(|refused| refused.error)?;
        durable::sync_folder(folder)
    })
}
