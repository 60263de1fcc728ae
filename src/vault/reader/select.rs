//! Which backup a person means.

use crate::catalog::backups::{self, BackupFilter, BackupRow, Selected};
use crate::vault::OpsError;
use crate::vault::handle::Vault;

/// The backup that a selector names: an id, an unambiguous prefix, or `latest`.
pub fn backup(vault: &Vault, selector: &str) -> Result<BackupRow, OpsError> {
    let selector = selector.to_owned();
    match backups::find(vault.catalog().connection(), &selector)? {
        Selected::Found(row) => Ok(*row),
        Selected::Ambiguous(candidates) => Err(OpsError::AmbiguousBackup { selector, candidates }),
        Selected::NotFound => Err(OpsError::NoBackup { selector }),
    }
}

/// All backups, the newest first.
pub fn all(vault: &Vault) -> Result<Vec<BackupRow>, OpsError> {
    Ok(backups::list(vault.catalog().connection(), &BackupFilter::default())?)
}
