//! Where the replica lies: every store of the vault. There is one today; who writes, reads or removes
//! an object of the replica does so here, so that several need no change elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::ReplicaError;
use crate::durable;
use crate::ops::OpsError;
use crate::ops::backup_reader::read_whole;
use crate::ops::object_stream::{ObjectStream, Stopped};
use crate::ops::vault::Vault;
use crate::store::{ObjectInfo, ObjectName, Store, StoreError};

/// The stores that hold the replica.
pub fn stores(vault: &Vault) -> Result<Vec<Arc<dyn Store>>, OpsError> {
    Ok(vec![Arc::clone(vault.store()?)])
}

/// One object on its way to every store.
pub struct Streams(Vec<ObjectStream>);

impl Streams {
    /// Begins the object. `step` names the durable step that finishes it.
    pub fn start(
        runtime: &Handle,
        stores: &[Arc<dyn Store>],
        name: &str,
        step: &'static str,
    ) -> Result<Self, OpsError> {
        let name: ObjectName = name.parse()?;
        let start = |store: &Arc<dyn Store>| {
            ObjectStream::start(runtime, Arc::clone(store), name.clone(), step)
        };
        Ok(Self(stores.iter().map(start).collect()))
    }

    /// Appends bytes, from a thread that may block.
    pub fn write_blocking(&self, piece: &Bytes) -> Result<(), Stopped> {
        self.0.iter().try_for_each(|stream| stream.write_blocking(piece.clone()))
    }

    /// Makes the object durable in every store; its length in bytes.
    pub async fn finish(self) -> Result<u64, OpsError> {
        let mut bytes = 0;
        for stream in self.0 {
            bytes = stream.finish().await?.bytes;
        }
        Ok(bytes)
    }
}

/// Writes a head to every store. Where these very bytes are there already, an earlier attempt has
/// written them.
///
/// # Errors
/// [`ReplicaError::AnotherMachine`] when other bytes have the name; they are left as they are.
pub async fn write_head(
    vault: &Vault,
    sequence: u64,
    name: &str,
    bytes: &Bytes,
) -> Result<(), OpsError> {
    let name: ObjectName = name.parse()?;
    for store in stores(vault)? {
        match durable::step_async("replica.head", create(&*store, &name, bytes)).await {
            Ok(()) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                if read_whole(&*store, &name).await? != *bytes {
                    let known = sequence - 1;
                    let (location, found) = (store.location(), sequence);
                    return Err(ReplicaError::AnotherMachine { location, found, known }.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn create(store: &dyn Store, name: &ObjectName, bytes: &Bytes) -> Result<(), StoreError> {
    let mut writer = store.create(name).await?;
    writer.write(bytes.clone()).await?;
    writer.finish().await.map(|_| ())
}

/// Removes objects from every store, as far as that goes: a store may be locked or away, and what is
/// left is found by the next sync or by `prune`. Returns how many were removed and how many not.
pub async fn remove(vault: &Vault, names: &[String]) -> (usize, usize) {
    let (mut removed, mut left) = (0, 0);
    let stores = stores(vault).unwrap_or_default();
    for name in names {
        let mut gone = !stores.is_empty();
        for store in &stores {
            let deleted = match name.parse::<ObjectName>() {
                Ok(name) => store.delete(&name).await.is_ok(),
                Err(_) => false,
            };
            gone &= deleted;
        }
        if gone { removed += 1 } else { left += 1 }
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

/// Everything in a vault's stores that belongs to a replica, each name once.
pub async fn list(vault: &Vault) -> Result<Vec<ObjectInfo>, OpsError> {
    let mut objects = Vec::new();
    for store in stores(vault)? {
        objects.extend(store.list(crate::container::names::CATALOG).await?);
    }
    objects.sort_by(|one, other| one.name.cmp(&other.name));
    objects.dedup_by(|one, other| one.name == other.name);
    Ok(objects)
}
