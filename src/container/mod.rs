//! The sealed form of a backup: segments in packs, an index, a manifest. `docs/format.md` is the
//! normative description; what is read and written here follows it, not the other way round.
//!
//! Nothing here knows stores or the catalog: bytes and keys come in, bytes go out.

pub mod age_file;
pub mod bounds;
pub mod columns;
pub mod index;
pub mod index_block;
pub mod layer_block;
pub mod layer_key;
pub mod manifest;
pub mod names;
pub mod pack;
pub mod replica;
pub mod segment;
mod varint;
pub mod vault_marker;

/// Why stored bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The bytes do not authenticate: changed, cut, or another object's.
    #[error(
        "{object} does not authenticate: it was changed or cut, or it is not what its name says"
    )]
    NotAuthentic {
        /// The object, or the part of it.
        object: String,
    },
    /// The bytes authenticate (or carry no secret), and yet they are malformed.
    #[error("{object} is malformed: {reason}")]
    Malformed {
        /// The object, or the part of it.
        object: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The object belongs to another vault.
    #[error("{object} belongs to another vault")]
    OtherVault {
        /// The object.
        object: String,
    },
    /// The object belongs to another backup of this vault.
    #[error("{object} belongs to another backup")]
    OtherBackup {
        /// The object.
        object: String,
    },
    /// Another replica of the catalog lies under this name.
    #[error("{object} is another replica of the catalog than its name says")]
    OtherReplica {
        /// The object.
        object: String,
    },
    /// Written by a newer strongroom.
    #[error("{object} has format version {found}; this strongroom reads up to {known}")]
    NewerFormat {
        /// The object.
        object: String,
        /// Its version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
}

impl ContainerError {
    pub(crate) fn malformed(object: &str, reason: &'static str) -> Self {
        Self::Malformed { object: object.to_owned(), reason }
    }

    pub(crate) fn not_authentic(object: &str) -> Self {
        Self::NotAuthentic { object: object.to_owned() }
    }
}
