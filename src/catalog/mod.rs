//! The catalog: the SQLite database of sources, backups, wrapped keys and forgettings.
//!
//! It knows no key. What it stores under `wrapped_key`, `url_sealed` and `reason_sealed` are bytes
//! that it cannot read, and a copy of it opens nothing without the secret of the present epoch and
//! the master secret. `docs/catalog.md` says what is in it and by which rules it is written; the
//! tables and columns are commented in `catalog-schema/`.
//!
//! One file a table, with plain functions over a [`rusqlite::Connection`]; those that change
//! something take a [`rusqlite::Transaction`], which [`Catalog::transaction`] hands out. All calls
//! block: whoever is asynchronous wraps them.

mod error;
mod file;
mod lock;
mod migrations;
mod value;

pub mod backups;
pub mod custody;
pub mod erasure_proofs;
pub mod erasures;
pub mod erasures_met;
pub mod forgetting;
pub mod packs;
pub mod replica;
pub mod shards;
pub mod sources;
pub mod stores;
pub mod subject_maps;
pub mod subjects;
pub mod tombstones;
pub mod vault;
pub mod vault_keys;

pub use error::CatalogError;
pub use file::Catalog;
pub use lock::WriterLock;
/// The catalog is handed to layers above with its own types: no other module names the crate.
pub use rusqlite::{Connection, Transaction};
pub use vault::{NewVault, Vault};

#[cfg(test)]
mod fixture;
