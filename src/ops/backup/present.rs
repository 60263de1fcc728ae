//! The last look before a backup counts: whether everything that it needs is in the store, by name and
//! length. Another machine may have taken its objects for garbage while it ran, for nothing but the
//! catalog's row says that they are needed.

use std::collections::BTreeMap;

use crate::container::manifest::Manifest;
use crate::container::names;
use crate::store::{Store, StoreError, Written};
use crate::vault::OpsError;

/// Compares what a backup needs with listings of the store: a few requests, not one an object.
///
/// # Errors
/// [`OpsError::RemovedMeanwhile`] with the first object that is not there, or not as it was written.
pub async fn check(
    store: &dyn Store,
    manifest: &Manifest,
    written: Written,
) -> Result<(), OpsError> {
    let mut needed: BTreeMap<String, u64> = BTreeMap::new();
    needed.insert(names::manifest(&manifest.backup), written.bytes);
    if let Some(archive) = &manifest.schema_archive {
        needed.insert(names::schema(&manifest.backup), archive.bytes);
    }
    for layer in &manifest.layers {
        needed.insert(names::index(&layer.backup), layer.bytes);
    }
    needed.extend(manifest.packs.iter().map(|pack| (names::pack(pack.id), pack.bytes)));
    let mut prefixes: Vec<String> = vec![format!("{}{}/", names::BACKUPS, manifest.backup)];
    let others = manifest.layers.iter().filter(|layer| layer.backup != manifest.backup);
    prefixes.extend(others.map(|layer| format!("{}{}/", names::BACKUPS, layer.backup)));
    if !manifest.packs.is_empty() {
        prefixes.push(names::PACKS.to_owned());
    }
    for prefix in prefixes {
        for object in store.list(&prefix).await? {
            if needed.get(object.name.as_str()) == Some(&object.bytes) {
                needed.remove(object.name.as_str());
            }
        }
    }
    let mut gone = Vec::new();
    for (name, bytes) in needed {
        // A listing may be late; the object itself is not.
        match store.size(&name.parse()?).await {
            Ok(length) if length == bytes => {}
            Ok(_) | Err(StoreError::NotFound { .. }) => gone.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    match gone.first() {
        None => Ok(()),
        Some(name) => Err(OpsError::RemovedMeanwhile {
            location: store.location(),
            name: name.clone(),
            count: gone.len(),
        }),
    }
}
