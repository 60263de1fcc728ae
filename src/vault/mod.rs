//! What every verb stands on: the vault, its stores, its keys, its replica, and what it can forget.
//!
//! Nothing here is a command of its own: the verbs are in `ops`.

pub mod access;
pub mod custody;
mod custody_error;
pub mod custody_report;
mod error;
mod error_kind;
mod error_lists;
pub mod forget;
pub mod garbage;
pub mod handle;
pub mod keys;
mod lock_error;
pub mod object_stream;
pub mod reader;
pub mod reasons;
mod record;
pub mod replica;
pub mod settings;
pub mod sources;
pub mod stores;
pub mod subject_keys;
pub mod subject_maps;
pub mod unlock;

pub use custody_error::CustodyError;
pub use error::OpsError;
pub use error_kind::ErrorKind;
pub use lock_error::{LockError, table_or_end};
