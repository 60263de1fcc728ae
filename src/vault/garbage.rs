//! Garbage: objects in the stores that nothing in the catalog needs.
//!
//! These are packs that no backup refers to, the objects of backups that the catalog does not know,
//! superseded replicas, and what a writer left unfinished.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::handle::Vault;
use super::stores::{self, NamedStore};
use super::{OpsError, replica};
use crate::base::clock::timestamp;
use crate::base::durable;
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::packs;
use crate::container::names;
use crate::store::{ObjectInfo, StoreError};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct PruneReport {
    /// The objects that no backup needs, and what writers left unfinished.
    pub objects: Vec<PrunedObject>,
    /// Their length, all together.
    pub bytes: u64,
    /// Objects that the store keeps for now, one sentence each.
    pub retained: Vec<String>,
    /// Stores that could not be reached, one sentence each. What lies there is for the next time.
    pub not_reached: Vec<String>,
    /// Whether they were removed.
    pub removed: bool,
}

impl PruneReport {
    /// Nothing was removed, for this reason.
    #[must_use]
    pub fn nothing(reason: String) -> Self {
        Self {
            objects: Vec::new(),
            bytes: 0,
            retained: Vec::new(),
            not_reached: vec![reason],
            removed: false,
        }
    }
}

/// One object that no backup needs, finished or not.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedObject {
    /// Its name; of an unfinished one, its place.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Finds what nothing in the catalog needs, in every store that can be reached, and removes it if
/// `remove`. Holding the writer's lock is the caller's part.
pub async fn in_every_store(vault: &Vault, remove: bool) -> Result<PruneReport, OpsError> {
    let needed = needed(vault)?;
    let mut report = PruneReport {
        objects: Vec::new(),
        bytes: 0,
        retained: Vec::new(),
        not_reached: Vec::new(),
        removed: remove,
    };
    let several = vault.stores().are_several();
    for store in stores::ready(vault.stores()).await? {
        match in_store(vault, &store, &needed, &mut report).await {
            Err(error @ OpsError::Store(_)) if several => {
                vault.stores().lost(&store.name, &error.to_string());
            }
            outcome => outcome?,
        }
    }
    for (name, reason) in vault.stores().away() {
        report.not_reached.push(format!("store `{name}` was left out: {reason}"));
    }
    report.bytes = report.objects.iter().map(|object| object.bytes).sum();
    Ok(report)
}

async fn in_store(
    vault: &Vault,
    store: &NamedStore,
    needed: &BTreeSet<String>,
    report: &mut PruneReport,
) -> Result<(), OpsError> {
    for object in garbage(vault, store, needed).await? {
        if report.removed {
            let deleted = store.store.delete(&object.name);
            match durable::step_async("prune.delete", deleted).await {
                Ok(()) => {}
                // Its key is gone, or no catalog knows it: it opens for nobody while it stays.
                Err(StoreError::Retained { location, name, until, legal_hold }) => {
                    report.retained.push(retained(&location, &name, until, legal_hold));
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        }
        report.objects.push(PrunedObject { name: object.name.to_string(), bytes: object.bytes });
    }
    let unfinished = if report.removed {
        durable::step_async("prune.unfinished", store.store.remove_leftovers()).await?
    } else {
        store.store.leftovers().await?
    };
    let unfinished = unfinished.into_iter();
    report.objects.extend(
        unfinished.map(|leftover| PrunedObject { name: leftover.place, bytes: leftover.bytes }),
    );
    Ok(())
}

fn retained(location: &str, name: &str, until: Option<DateTime<Utc>>, legal_hold: bool) -> String {
    let until = match (until, legal_hold) {
        (Some(until), false) => format!("until {}", timestamp(until)),
        (Some(until), true) => format!("until {}, and under a legal hold", timestamp(until)),
        (None, _) => "under a legal hold".to_owned(),
    };
    format!("{name} in {location}: ciphertext retained by the bucket {until}")
}

/// The objects in one store that nothing in the catalog needs, hidden versions included.
async fn garbage(
    vault: &Vault,
    store: &NamedStore,
    needed: &BTreeSet<String>,
) -> Result<Vec<ObjectInfo>, OpsError> {
    let mut garbage: Vec<ObjectInfo> = Vec::new();
    for prefix in [names::PACKS, names::BACKUPS] {
        let listed = store.store.list(prefix).await?;
        let shown: BTreeSet<_> = listed.iter().map(|object| object.name.clone()).collect();
        garbage.extend(listed);
        // Of a name that is needed, what lies below or above is nobody's garbage to remove here.
        let hidden = store.store.old_versions(prefix).await?;
        let mut hidden: Vec<_> = hidden
            .into_iter()
            .filter(|version| !shown.contains(&version.name))
            .map(|version| ObjectInfo { name: version.name, bytes: version.bytes })
            .collect();
        hidden.sort_by(|one, other| (&one.name, other.bytes).cmp(&(&other.name, one.bytes)));
        hidden.dedup_by(|one, other| one.name == other.name);
        garbage.extend(hidden);
    }
    garbage.retain(|object| !needed.contains(object.name.as_str()));
    garbage.extend(replica::garbage_in(vault, store).await?);
    Ok(garbage)
}

/// The names of all objects that the catalog's backups need.
fn needed(vault: &Vault) -> Result<BTreeSet<String>, OpsError> {
    let catalog = vault.catalog();
    let mut needed = BTreeSet::new();
    for row in backups::list(catalog.connection(), &BackupFilter::default())? {
        needed.insert(row.manifest_name);
        let layers = backups::layers_of(catalog.connection(), &row.backup_id)?;
        needed.extend(layers.iter().map(names::index));
        needed.insert(names::schema(&row.backup_id));
        let packs = packs::of_backup(catalog.connection(), &row.backup_id)?;
        needed.extend(packs.into_iter().map(|pack| names::pack(pack.pack_id)));
    }
    Ok(needed)
}
