//! The verbs, one a file. Plaintext and ciphertext meet only here.

pub mod audit_log;
pub mod audited;
pub mod backup;
pub mod backup_reader;
pub mod erase;
mod error;
pub mod forget;
pub mod init;
pub mod inspect;
mod object_stream;
pub mod prune;
pub mod recover;
pub mod replica;
pub mod restore;
mod scan;
mod select;
pub mod sources;
pub mod subject_keys;
pub mod subject_maps;
pub mod vault;
pub mod verify;

pub use error::{ErrorKind, OpsError};
