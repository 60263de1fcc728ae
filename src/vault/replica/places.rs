//! Where the replica lies: every store of the vault that can be reached. Who writes, reads or removes
//! an object of the replica does so here.
//!
//! Of several stores one at least must take a replica; which holds which is kept account of in the
//! catalog. A head goes to a store only when everything that it names is there ([`super::bring_up`]), and
//! what is superseded is removed only where the newer head is: so each store by itself holds a whole
//! replica, if not always the newest.

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::catalog::stores as rows;
use crate::store::{ObjectInfo, ObjectName, Store, StoreError};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::object_stream::{ObjectStream, Stopped};
use crate::vault::stores::{self, NamedStore};

/// The stores that can be reached.
pub async fn stores(vault: &Vault) -> Result<Vec<NamedStore>, OpsError> {
    stores::ready(vault.stores()).await
}

/// Of them, those that hold the newest replica that this catalog knows.
pub async fn newest_in(vault: &Vault) -> Result<Vec<NamedStore>, OpsError> {
    let mut stores = stores(vault).await?;
    if vault.stores().are_several() {
        let catalog = vault.catalog();
        let newest = crate::catalog::replica::state(catalog.connection())?.sequence;
        let known = rows::replicas(catalog.connection())?;
        stores.retain(|store| known.get(&store.name) == Some(&newest));
    }
    Ok(stores)
}

/// One object on its way to every store. A store that fails is left behind, unless all do.
pub struct Streams(Vec<Option<ObjectStream>>, Option<OpsError>);

impl Streams {
    /// Begins the object. `step` names the durable step that finishes it.
    pub fn start(
        runtime: &Handle,
        stores: &[NamedStore],
        name: &str,
        step: &'static str,
    ) -> Result<Self, OpsError> {
        let name: ObjectName = name.parse()?;
        let start = |store: &NamedStore| {
            let store = std::sync::Arc::clone(&store.store);
            Some(ObjectStream::start(runtime, store, name.clone(), step))
        };
        Ok(Self(stores.iter().map(start).collect(), None))
    }

    /// Appends bytes, from a thread that may block.
    pub fn write_blocking(&mut self, runtime: &Handle, piece: &Bytes) -> Result<(), Stopped> {
        for place in &mut self.0 {
            let Some(stream) = place else { continue };
            if stream.write_blocking(piece.clone()).is_err()
                && let Some(stream) = place.take()
                && let Err(error) = runtime.block_on(stream.finish())
            {
                // Only finishing says why a stream has stopped.
                self.1.get_or_insert(error);
            }
        }
        if self.0.iter().any(Option::is_some) { Ok(()) } else { Err(Stopped) }
    }

    /// Makes the object durable in every store that has not failed; its length in bytes.
    pub async fn finish(self) -> Result<u64, OpsError> {
        let (mut bytes, mut first) = (None, self.1);
        for stream in self.0.into_iter().flatten() {
            match stream.finish().await {
                Ok(written) => bytes = Some(written.bytes),
                Err(error) => first = first.or(Some(error)),
            }
        }
        bytes.ok_or(first.unwrap_or(OpsError::StoreStopped))
    }
}

/// Writes a whole object.
pub async fn create(store: &dyn Store, name: &ObjectName, bytes: &Bytes) -> Result<(), StoreError> {
    let mut writer = store.create(name).await?;
    writer.write(bytes.clone()).await?;
    writer.finish().await.map(|_| ())
}

/// Removes superseded objects from these stores, as far as that goes: a store may be locked or away, and
/// what is left is found by the next sync or by `prune`. Returns how many were removed and how many not;
/// what a store does not let go, other than by a lock with an end, is told.
pub async fn remove(vault: &Vault, stores: &[NamedStore], names: &[String]) -> (usize, usize) {
    let (mut removed, mut left) = (0, 0);
    let mut refused = None;
    for name in names {
        let Ok(name) = name.parse::<ObjectName>() else { continue };
        let mut gone = !stores.is_empty();
        for store in stores {
            let Err(error) = store.store.delete(&name).await else { continue };
            gone = false;
            if !matches!(error, StoreError::Retained { .. }) {
                refused.get_or_insert(error);
            }
        }
        if gone { removed += 1 } else { left += 1 }
    }
    if let Some(reason) = refused
        && vault.stores().is_first_refusal()
    {
        let all = super::garbage(vault).await.map_or(left, |objects| objects.len());
        let objects = if all == 1 { "object" } else { "objects" };
        vault.warn(&format!(
            "{all} superseded {objects} of the catalog's replica could not be removed: {reason}"
        ));
    }
    (removed, left)
}

/// Whether a store has an object of that name. Asking by name is surer than listing.
pub async fn exists(store: &dyn Store, name: &str) -> Result<bool, OpsError> {
    match store.size(&name.parse()?).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Everything in a store that belongs to a replica, hidden versions too, each name once.
pub async fn list(store: &dyn Store) -> Result<Vec<ObjectInfo>, OpsError> {
    let prefix = crate::container::names::CATALOG;
    let mut objects = store.list(prefix).await?;
    let mut known: BTreeSet<ObjectName> =
        objects.iter().map(|object| object.name.clone()).collect();
    for version in store.old_versions(prefix).await? {
        if known.insert(version.name.clone()) {
            objects.push(ObjectInfo { name: version.name, bytes: version.bytes });
        }
    }
    Ok(objects)
}

/// Notes that stores hold a replica whole.
pub fn note(vault: &Vault, stores: &[NamedStore], sequence: u64) -> Result<(), OpsError> {
    if !vault.stores().are_several() {
        return Ok(());
    }
    let known = rows::replicas(vault.catalog().connection())?;
    if stores.iter().all(|store| known.get(&store.name) == Some(&sequence)) {
        return Ok(());
    }
    vault.catalog().transaction(|transaction| {
        for store in stores {
            rows::put_replica(transaction, &store.name, sequence)?;
        }
        Ok::<_, OpsError>(())
    })
}
