//! Where sealed bytes live. A store knows nothing of keys, backups or people: it keeps named
//! objects, creates each once, and never changes one.
//!
//! What every store must do is written at [`Store`] and held by `tests/it/store_contract`.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::base::ids::Digest;

mod capabilities;
pub mod directory;
mod error;
#[cfg(debug_assertions)]
pub mod faulty;
mod lock;
mod name;
mod open;
mod read;
pub mod s3;
mod url;

pub use capabilities::{Capabilities, Capability, Finding, Verdict, probe, try_writing};
pub use error::{ConnectionProblem, StoreError};
pub use lock::{Lock, Retention, RetentionMode};
pub use name::{InvalidObjectName, ObjectName};
pub use open::{
    Tell, create, create_telling, folder_of, is_service, open, open_knowing, open_telling,
};
pub use read::{read_exact, read_whole};

/// What a store tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What was written: the length and the digest of the bytes handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The length in bytes.
    pub bytes: u64,
    /// SHA-256 of all bytes.
    pub sha256: Digest,
}

/// What an unfinished write left behind, once its writer is gone. It was never an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Where it lies, as a person names it.
    pub place: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What lies below what a store shows of a name, where it keeps versions: an overwritten content, or
/// a delete marker and what it hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldVersion {
    /// The object's name.
    pub name: ObjectName,
    /// What the store calls the version.
    pub version: String,
    /// Its length in bytes; 0 of a delete marker.
    pub bytes: u64,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// When it was written, where the store tells.
    pub written: Option<DateTime<Utc>>,
}

/// A place that keeps objects. Every method may be called from several tasks at once.
///
/// No name may be another object's name followed by `/`: `packs` and `packs/a` cannot both be
/// objects, for a directory cannot hold both. A store may refuse the second.
#[async_trait]
pub trait Store: Send + Sync {
    /// The store as a person names it (a path, a URL without credentials).
    fn location(&self) -> String;

    /// Begins an object. Nothing is visible under the name until [`ObjectWriter::finish`].
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken already; `NotWritable`, `Full` or `Io`.
    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Reads `length` bytes from `offset`. The whole range must lie inside the object, even an
    /// empty one; nothing is allocated for a range that does not.
    ///
    /// # Errors
    /// `NotFound`; `ShortRead` when the object ends before the range does; `Io`.
    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError>;

    /// The object's length in bytes.
    ///
    /// # Errors
    /// `NotFound` or `Io`.
    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError>;

    /// All objects whose names begin with `prefix` (any text, `/` included), ordered by the bytes
    /// of their names.
    ///
    /// # Errors
    /// `Io`.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Removes an object for good, with all its versions; one that is not there is a success.
    ///
    /// # Errors
    /// `Retained` when a lock still holds it; `NotWritable` or `Io`.
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// What writers that are gone (a crash, a lost connection) left unfinished, ordered by place.
    /// Writers at work, in any process, are not among them.
    ///
    /// # Errors
    /// `Io`.
    async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError>;

    /// Removes what [`Store::leftovers`] tells of, and says what it removed.
    ///
    /// # Errors
    /// `NotWritable` or `Io`.
    async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError>;

    /// Begins an object that will be locked from the moment on in which it is visible, exactly as
    /// `lock` says. ([`Store::create`] locks as the store's own settings say.)
    ///
    /// # Errors
    /// As [`Store::create`]; `NoObjectLock` where the store cannot lock, now or when finishing.
    async fn create_locked(
        &self,
        name: &ObjectName,
        lock: &Lock,
    ) -> Result<Box<dyn ObjectWriter>, StoreError> {
        if lock.is_none() { self.create(name).await } else { Err(cannot_lock(self.location())) }
    }

    /// What holds an object now.
    ///
    /// # Errors
    /// `NotFound` or `Io`.
    async fn lock_of(&self, name: &ObjectName) -> Result<Lock, StoreError> {
        self.size(name).await.map(|_| Lock::default())
    }

    /// Locks an object that is there. A retention is only ever made longer; a legal hold is put on or
    /// taken off as `lock` says.
    ///
    /// # Errors
    /// `NotFound`; `NoObjectLock` where the store cannot lock; `Denied` or `Io`.
    async fn lock(&self, name: &ObjectName, lock: &Lock) -> Result<(), StoreError> {
        self.size(name).await?;
        if lock.is_none() { Ok(()) } else { Err(cannot_lock(self.location())) }
    }

    /// What lies below what [`Store::list`] shows of names that begin with `prefix`, ordered by name
    /// and age. [`Store::delete`] of a name removes it.
    ///
    /// # Errors
    /// `Denied` or `Io`.
    async fn old_versions(&self, _prefix: &str) -> Result<Vec<OldVersion>, StoreError> {
        Ok(Vec::new())
    }

    /// Makes the version that was written first under a name the one that is read again, by removing
    /// what was put over it. Says whether there was anything.
    ///
    /// # Errors
    /// `NotFound` when no version is left; `Retained`, `Denied` or `Io`.
    async fn bring_back(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.size(name).await.map(|_| false)
    }

    /// What the store can do, seen with real objects, which are removed again.
    ///
    /// # Errors
    /// Whatever keeps the store from being used at all.
    async fn probe(&self) -> Result<Capabilities, StoreError> {
        capabilities::probe_any(self).await
    }
}

fn cannot_lock(location: String) -> StoreError {
    StoreError::NoObjectLock { location, reason: "it is not in a bucket with Object Lock".into() }
}

/// An object being written. Dropped unfinished, it leaves nothing visible.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends bytes. An error may be told one write late, or at the end; after one, the object
    /// cannot be finished.
    ///
    /// # Errors
    /// `NotWritable`, `Full` or `Io`.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object durable and visible under its name, all or nothing.
    ///
    /// # Errors
    /// `AlreadyExists` when the name was taken meanwhile, and then the object that took it is
    /// untouched; `NotWritable`, `Full` or `Io`. After an error other than `AlreadyExists` the
    /// object may be there whole, and is never there in part.
    async fn finish(self: Box<Self>) -> Result<Written, StoreError>;

    /// Ends as a crash would: what was sent so far stays behind unfinished. Only tests do that.
    #[cfg(debug_assertions)]
    async fn abandon(self: Box<Self>);
}
