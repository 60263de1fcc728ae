//! An object on its way through a store that fails on purpose.

use async_trait::async_trait;
use bytes::Bytes;

use super::plan::{Fault, Operation};
use super::{FaultyStore, flipped, remember};
use crate::base::digest::RunningDigest;
use crate::store::{ObjectName, ObjectWriter, StoreError, Written};

/// Writes one object, or does not.
pub(super) struct FaultyWriter {
    store: FaultyStore,
    name: ObjectName,
    /// `None` once the upload was abandoned.
    inner: Option<Box<dyn ObjectWriter>>,
    /// Nothing more is written.
    torn: bool,
    /// The length and digest of what was handed over, which is what liars tell.
    bytes: u64,
    sha256: RunningDigest,
}

impl FaultyWriter {
    pub(super) fn new(store: FaultyStore, name: ObjectName, inner: Box<dyn ObjectWriter>) -> Self {
        Self {
            store,
            name,
            inner: Some(inner),
            torn: false,
            bytes: 0,
            sha256: RunningDigest::default(),
        }
    }
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        self.sha256.update(&bytes);
        let fault = self.store.next(Operation::Write, self.name.as_str());
        self.torn |= matches!(fault, Some((Fault::Torn, _)));
        let Some(inner) = &mut self.inner else {
            return Err(self.store.failure(self.name.as_str(), Fault::Abandoned));
        };
        match fault {
            _ if self.torn => Ok(()),
            None => inner.write(bytes).await,
            Some((Fault::Altered, _)) => inner.write(flipped(&bytes)).await,
            Some((fault, done)) => {
                if done {
                    inner.write(bytes).await?;
                } else if fault == Fault::Reset {
                    inner.write(bytes.slice(..bytes.len() / 2)).await?;
                }
                // Whoever goes on after an error would write an object with a hole.
                if let Some(inner) = self.inner.take()
                    && fault == Fault::Abandoned
                {
                    inner.abandon().await;
                }
                Err(self.store.failure(self.name.as_str(), fault))
            }
        }
    }

    async fn finish(self: Box<Self>) -> Result<Written, StoreError> {
        let Self { store, name, inner, torn: _, bytes, sha256 } = *self;
        let Some(inner) = inner else {
            return Err(store.failure(name.as_str(), Fault::Abandoned));
        };
        let handed_over = Written { bytes, sha256: sha256.finish() };
        let fault = store.next(Operation::Finish, name.as_str());
        match fault {
            Some((Fault::Abandoned, _)) => {
                inner.abandon().await;
                return Err(store.failure(name.as_str(), Fault::Abandoned));
            }
            Some((Fault::Vanished, _)) => return Ok(handed_over),
            Some((fault, false)) => return Err(store.failure(name.as_str(), fault)),
            _ => inner.finish().await?,
        };
        remember(&mut store.recent().written, name.clone());
        match fault {
            Some((fault, _)) => Err(store.failure(name.as_str(), fault)),
            None => Ok(handed_over),
        }
    }

    async fn abandon(self: Box<Self>) {
        if let Some(inner) = self.inner {
            inner.abandon().await;
        }
    }
}
