//! Prune: what a crash or a failed command left in the stores, found and removed.
//!
//! An object is garbage when the catalog does not need it: packs that no backup refers to, and the
//! objects of backups that the catalog does not know. So is what a writer left unfinished. The
//! writer's lock is held, so no backup is in the making meanwhile.

use crate::audit::Action;
use crate::vault::OpsError;
use crate::vault::access::{DRY_RUN, access};
use crate::vault::garbage::{self, PruneReport};
use crate::vault::handle::Vault;

/// Finds garbage, and removes it unless `dry_run`.
pub async fn prune(vault: &Vault, dry_run: bool) -> Result<PruneReport, OpsError> {
    let lock = vault.lock_for_writing("prune")?;
    let detail = if dry_run { DRY_RUN } else { "" };
    access(vault, Action::Prune, "store")
        .writing(&lock)
        .detail(detail)
        .run(async |access| {
            access.check_store().await?;
            garbage::in_every_store(vault, !dry_run).await
        })
        .await
}
