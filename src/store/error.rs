//! What can go wrong at a store.

use std::io;

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
    /// An object of that name is there, and stays as it is.
    #[error("{location} already has an object `{name}`")]
    AlreadyExists {
        /// The store.
        location: String,
        /// The object.
        name: String,
    },
    /// The store may not be written to: permissions, or it is read-only.
    #[error("{location} cannot be written to (object `{name}`): {source}")]
    NotWritable {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// No space is left, or the quota is used up.
    #[error("{location} is full (object `{name}`): {source}")]
    Full {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The object ends before the range that was asked for.
    #[error(
        "object `{name}` in {location} is too short: {length} bytes from {offset} were asked for, \
         {available} are there"
    )]
    ShortRead {
        /// The store.
        location: String,
        /// The object.
        name: String,
        /// The first byte asked for.
        offset: u64,
        /// How many bytes were asked for.
        length: u64,
        /// How many there are from `offset` on.
        available: u64,
    },
    /// Anything else that the system reported.
    #[error("{location} failed (object `{name}`): {source}")]
    Io {
        /// The store.
        location: String,
        /// The object, or the prefix of a list.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no store at that place.
    #[error("cannot open the store {location}: {source}")]
    Unreachable {
        /// The store.
        location: String,
        /// What the system said.
        source: io::Error,
    },
    /// The place is not named in a way that this version understands.
    #[error("cannot open the store {location}: {reason}")]
    Unsupported {
        /// The store.
        location: String,
        /// Why not, as the rest of a sentence.
        reason: String,
    },
}

impl StoreError {
    /// What an operating system's error means for an object that is being written or deleted.
    pub(super) fn writing(location: &str, name: &str, source: io::Error) -> Self {
        let (location, name) = (location.to_owned(), name.to_owned());
        match source.kind() {
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { location, name },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { location, name, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { location, name, source }
            }
            _ => Self::Io { location, name, source },
        }
    }

    /// What an operating system's error means for an object that is being read.
    pub(super) fn reading(location: &str, name: &str, source: io::Error) -> Self {
        let (location, name) = (location.to_owned(), name.to_owned());
        match source.kind() {
            // A name below a file, or the name of a folder: no object either way.
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Self::NotFound { location, name },
            _ => Self::Io { location, name, source },
        }
    }
}

#[cfg(debug_assertions)]
impl crate::durable::Injected for StoreError {
    fn injected(step: &str) -> Self {
        let source = io::Error::injected(step);
        Self::Io { location: "the store".to_owned(), name: step.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_from_other_failures() {
        for (errno, full) in [(Errno::NOSPC, true), (Errno::DQUOT, true), (Errno::IO, false)] {
            let error = StoreError::writing("/store", "a", errno.into());
            assert_eq!(matches!(error, StoreError::Full { .. }), full, "{error}");
        }
    }

    #[test]
    fn missing_rights_and_a_read_only_file_system_are_not_writable() {
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            let error = StoreError::writing("/store", "a", errno.into());
            assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        }
    }
}
