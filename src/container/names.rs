//! The names of a vault's objects in a store.
//!
//! ```text
//! strongroom-vault.json              whose store this is
//! packs/<2 digits>/<pack id>.pack    sealed segments
//! backups/<backup id>/schema.age     pg_dump's archive of the schema, an age file
//! backups/<backup id>/index          which segments belong to the backup
//! backups/<backup id>/manifest.age   what the backup is, an age file
//! ```

use crate::ids::{BackupId, PackId};

/// The object that says whose store this is.
pub const VAULT_MARKER: &str = "strongroom-vault.json";
/// Before every pack.
pub const PACKS: &str = "packs/";
/// Before every backup's own objects.
pub const BACKUPS: &str = "backups/";

/// Before every object of the catalog's replica.
pub const CATALOG: &str = "catalog/";

/// A pack's name.
#[must_use]
pub fn pack(id: PackId) -> String {
    let id = id.to_string();
    format!("{PACKS}{}/{id}.pack", &id[..2])
}

/// The name of a backup's manifest.
#[must_use]
pub fn manifest(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/manifest.age")
}

/// The name of a backup's index.
#[must_use]
pub fn index(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/index")
}

/// The name of a backup's schema archive.
#[must_use]
pub fn schema(id: &BackupId) -> String {
    format!("{BACKUPS}{id}/schema.age")
}
