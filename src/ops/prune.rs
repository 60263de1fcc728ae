//! Prune: what a crash or a failed command left in the store, found and removed.
//!
//! An object is garbage when the catalog does not need it: packs that no backup refers to, and the
//! objects of backups that the catalog does not know. So is what a writer left unfinished. The
//! writer's lock is held, so no backup is in the making meanwhile.

use std::collections::BTreeSet;

use serde::Serialize;

use super::OpsError;
use super::audited::{DRY_RUN, audited_with};
use super::vault::Vault;
use crate::audit::Action;
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::packs;
use crate::container::names;
use crate::durable;
use crate::store::ObjectInfo;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct PruneReport {
    /// The objects that no backup needs, and what writers left unfinished.
    pub objects: Vec<PrunedObject>,
    /// Their length, all together.
    pub bytes: u64,
    /// Whether they were removed.
    pub removed: bool,
}

/// One object that no backup needs, finished or not.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedObject {
    /// Its name; of an unfinished one, its place.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Finds garbage, and removes it unless `dry_run`.
pub async fn prune(vault: &Vault, dry_run: bool) -> Result<PruneReport, OpsError> {
    let _lock = vault.lock_for_writing("prune")?;
    let detail = dry_run.then_some(DRY_RUN);
    audited_with(vault, Action::Prune, "store", detail, async |_| {
        vault.check_store().await?;
        let needed = needed(vault)?;
        let mut garbage: Vec<ObjectInfo> = vault.store()?.list(names::PACKS).await?;
        garbage.extend(vault.store()?.list(names::BACKUPS).await?);
        garbage.retain(|object| !needed.contains(object.name.as_str()));
        if !dry_run {
            for object in &garbage {
                durable::step_async("prune.delete", vault.store()?.delete(&object.name)).await?;
            }
        }
        let unfinished = if dry_run {
            vault.store()?.leftovers().await?
        } else {
            durable::step_async("prune.unfinished", vault.store()?.remove_leftovers()).await?
        };
        let whole = garbage.into_iter().map(|object| (object.name.to_string(), object.bytes));
        let unfinished = unfinished.into_iter().map(|leftover| (leftover.place, leftover.bytes));
        let objects: Vec<_> =
            whole.chain(unfinished).map(|(name, bytes)| PrunedObject { name, bytes }).collect();
        Ok(PruneReport {
            bytes: objects.iter().map(|object| object.bytes).sum(),
            objects,
            removed: !dry_run,
        })
    })
    .await
}

/// The names of all objects that the catalog's backups need.
fn needed(vault: &Vault) -> Result<BTreeSet<String>, OpsError> {
    let catalog = vault.catalog();
    let mut needed = BTreeSet::new();
    for row in backups::list(catalog.connection(), &BackupFilter::default())? {
        needed.insert(row.manifest_name);
        needed.insert(names::index(&row.backup_id));
        needed.insert(names::schema(&row.backup_id));
        let packs = packs::of_backup(catalog.connection(), &row.backup_id)?;
        needed.extend(packs.into_iter().map(|pack| names::pack(pack.pack_id)));
    }
    Ok(needed)
}
