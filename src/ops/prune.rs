//! Prune: what a crash or a failed command left in the store, found and removed.
//!
//! An object is garbage when the catalog does not need it: packs that no backup refers to, and the
//! objects of backups that the catalog does not know. So is what a writer left unfinished. The
//! writer's lock is held, so no backup is in the making meanwhile.

use std::collections::BTreeSet;

use serde::Serialize;

use super::audited::{DRY_RUN, audited_with};
use super::vault::Vault;
use super::{OpsError, replica};
use crate::audit::Action;
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::packs;
use crate::container::names;
use crate::durable;
use crate::store::{Leftover, ObjectInfo};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct PruneReport {
    /// The objects that no backup needs, and what writers left unfinished.
    pub objects: Vec<PrunedObject>,
    /// Their length, all together.
    pub bytes: u64,
    /// Objects that the store keeps for now, one sentence each.
    pub retained: Vec<String>,
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
        if dry_run { find_garbage(vault).await } else { remove_garbage(vault).await }
    })
    .await
}

/// What no backup needs, without removing it.
async fn find_garbage(vault: &Vault) -> Result<PruneReport, OpsError> {
    let garbage = garbage(vault).await?;
    let unfinished = vault.store()?.leftovers().await?;
    Ok(PruneReport::new(garbage, unfinished, false))
}

/// Removes what no backup needs. Holding the writer's lock is the caller's part.
pub(super) async fn remove_garbage(vault: &Vault) -> Result<PruneReport, OpsError> {
    let removed = garbage(vault).await?;
    let store = vault.store()?;
    for object in &removed {
        durable::step_async("prune.delete", store.delete(&object.name)).await?;
    }
    let unfinished = durable::step_async("prune.unfinished", store.remove_leftovers()).await?;
    Ok(PruneReport::new(removed, unfinished, true))
}

/// The objects that nothing in the catalog needs.
async fn garbage(vault: &Vault) -> Result<Vec<ObjectInfo>, OpsError> {
    let needed = needed(vault)?;
    let mut garbage: Vec<ObjectInfo> = Vec::new();
    for prefix in [names::PACKS, names::BACKUPS] {
        garbage.extend(vault.store()?.list(prefix).await?);
    }
    garbage.retain(|object| !needed.contains(object.name.as_str()));
    garbage.extend(replica::garbage(vault).await?);
    Ok(garbage)
}

impl PruneReport {
    /// Nothing was removed, for this reason.
    pub(super) fn nothing(reason: String) -> Self {
        Self { retained: vec![reason], ..Self::new(Vec::new(), Vec::new(), false) }
    }

    fn new(objects: Vec<ObjectInfo>, unfinished: Vec<Leftover>, removed: bool) -> Self {
        let whole = objects.into_iter().map(|object| (object.name.to_string(), object.bytes));
        let unfinished = unfinished.into_iter().map(|leftover| (leftover.place, leftover.bytes));
        let objects: Vec<_> =
            whole.chain(unfinished).map(|(name, bytes)| PrunedObject { name, bytes }).collect();
        let bytes = objects.iter().map(|object| object.bytes).sum();
        Self { objects, bytes, retained: Vec::new(), removed }
    }
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
