//! Where sealed bytes live. A store knows nothing of keys, backups or people: it keeps named
//! objects, creates each once, and never changes one.

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::Digest;

/// The name of an object: `/`-separated, relative, never empty, no `.` or `..` part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

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

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object of that name.
    #[error("{location} has no object `{name}`")]
    NotFound {
        /// The store.
        location: String,
        /// The object.
        name: String,
    },
}

/// A place that keeps objects. Every method may be called from several tasks at once.
#[async_trait]
pub trait Store: Send + Sync {
    /// The store as a person names it (a path, a URL without credentials).
    fn location(&self) -> String;

    /// Begins an object. Nothing is visible under the name until [`ObjectWriter::finish`].
    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Reads `length` bytes from `offset`; fewer than asked for is an error.
    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError>;

    /// The object's length in bytes.
    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError>;

    /// All objects whose names begin with `prefix`, ordered by name.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Removes an object; one that is not there is a success.
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;
}

/// An object being written. Dropped unfinished, it leaves nothing visible.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object durable and visible under its name, all or nothing. Fails with
    /// `StoreError::AlreadyExists` if the name was taken meanwhile.
    async fn finish(self: Box<Self>) -> Result<Written, StoreError>;
}
