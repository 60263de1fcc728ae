//! Where sealed bytes live. A store knows nothing of keys, backups or people: it keeps named
//! objects, creates each once, and never changes one.
//!
//! What every store must do is written at [`Store`] and held by `tests/store_contract.rs`.

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::Digest;

pub mod directory;
mod error;
#[cfg(debug_assertions)]
pub mod faulty;
mod name;
mod open;

pub use error::StoreError;
pub use name::{InvalidObjectName, ObjectName};
pub use open::{create, open};

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

    /// Removes an object for good; one that is not there is a success.
    ///
    /// # Errors
    /// `NotWritable` or `Io`.
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
}
