//! Why the catalog could not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::base::clock::timestamp;

/// What failed, and on what. No message holds a key, a sealed value or a row's content: SQLite
/// names tables, columns and constraints in its messages, never values.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No file of that name.
    #[error("there is no catalog at {}", path.display())]
    NotFound {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A new catalog never takes the place of a file.
    #[error("{} already exists", path.display())]
    AlreadyExists {
        /// The name that is taken.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a strongroom catalog", path.display())]
    NotACatalog {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer strongroom: this one would not know what it must not lose.
    #[error(
        "the catalog {} has version {version}, but this strongroom knows versions up to {known} only",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version that it says it has.
        version: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Another process writes.
    #[error(
        "the catalog is being written by `{command}` (process {pid}) since {}",
        timestamp(*since)
    )]
    Busy {
        /// The other process.
        pid: u32,
        /// The command that it runs.
        command: String,
        /// When it took the lock.
        since: DateTime<Utc>,
    },
    /// Another process writes, and its name could not be read from the lock file.
    #[error("the catalog is being written by another process, which holds {}", path.display())]
    BusyUnknown {
        /// The lock file.
        path: PathBuf,
    },
    /// A file of the catalog could not be read, made or locked.
    #[error("could not {doing} {}: {reason}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// SQLite refused or failed.
    #[error("the catalog could not {doing}: {reason}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        reason: rusqlite::Error,
    },
    /// The schema could not be brought to the version that this program needs.
    #[error("the schema of the catalog {} could not be brought up to date: {reason}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: rusqlite_migration::Error,
    },
    /// The catalog contradicts itself.
    #[error("the catalog is damaged: {finding}")]
    Damaged {
        /// The first thing found.
        finding: String,
    },
    /// A row that must be there is not.
    #[error("the catalog has no {object}")]
    Missing {
        /// What was looked for, such as `shard 7`.
        object: String,
    },
    /// Something else is already there.
    #[error("the catalog already has {object}")]
    Conflict {
        /// What is there, such as ``a source named `shop` ``.
        object: String,
    },
    /// A name that the catalog does not accept.
    #[error(
        "`{name}` cannot name a source: use 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
    )]
    InvalidSourceName {
        /// What was given.
        name: String,
    },
    /// The write-ahead file still holds pages, so bytes of deleted keys may be in it.
    #[error(
        "the write-ahead file of the catalog could not be emptied ({wal_bytes} bytes are left): another process is using the catalog"
    )]
    CheckpointIncomplete {
        /// How much is left in it, in bytes.
        wal_bytes: u64,
    },
}

impl CatalogError {
    /// Whether another process is in the way, so that the same call may succeed later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::BusyUnknown { .. } | Self::CheckpointIncomplete { .. } => {
                true
            }
            Self::Database { reason, .. } => is_locked(reason),
            _ => false,
        }
    }

    /// Whether the file itself cannot be trusted: it is damaged or something else.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::NotACatalog { .. } => true,
            Self::Database { reason, .. } => matches!(
                reason.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}

/// Whether SQLite says that another connection is in the way.
pub(super) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

#[cfg(debug_assertions)]
impl crate::base::durable::Injected for CatalogError {
    fn injected(step: &str) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        let said = Some(format!("a test lets `{step}` fail"));
        Self::Database { doing: "write", reason: rusqlite::Error::SqliteFailure(code, said) }
    }
}

/// Says what was being done when SQLite failed.
pub(super) trait Doing<T> {
    /// `what` completes "the catalog could not ...".
    fn doing(self, what: &'static str) -> Result<T, CatalogError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, CatalogError> {
        self.map_err(|reason| CatalogError::Database { doing: what, reason })
    }
}

/// Says which file was being used when the system failed.
pub(super) trait OnFile<T> {
    /// `what` completes "could not ... PATH".
    fn on_file(self, what: &'static str, path: &Path) -> Result<T, CatalogError>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on_file(self, what: &'static str, path: &Path) -> Result<T, CatalogError> {
        self.map_err(|reason| CatalogError::File { doing: what, path: path.to_owned(), reason })
    }
}
