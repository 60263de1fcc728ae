//! The verbs, one a file. Plaintext and ciphertext meet only here.

pub mod audit_log;
pub mod audited;
pub mod backup;
pub mod backup_reader;
pub mod custodians;
mod custody;
mod custody_error;
pub mod doctor;
pub mod erase;
mod error;
pub mod expire;
pub mod export;
pub mod forget;
pub mod init;
pub mod inspect;
pub mod kit;
mod object_stream;
pub mod prune;
pub mod readmit;
pub mod recover;
pub mod replica;
pub mod restore;
pub mod rotate;
mod scan;
mod select;
pub mod sources;
pub mod stores;
pub mod subject_keys;
pub mod subject_maps;
pub mod vault;
pub mod verify;

pub use custody_error::CustodyError;
pub use error::{ErrorKind, OpsError};
