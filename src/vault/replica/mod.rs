//! The catalog's replica in the store: encrypted, incremental, and as fresh as the last command that
//! changed something. `docs/format.md` describes its objects, `docs/architecture.md` its order.
//!
//! A command that writes calls [`ensure_newest`] when it has the writer's lock, and [`sync`] before it
//! reports success. A forgetting calls [`sync`] with the keys of the new epoch before it destroys the
//! old epoch's secret, and [`remove_superseded`] when it has shown that the old head does not open.

mod bring_up;
mod error;
mod newest;
mod open;
mod places;
mod sync;
mod verify;

use crate::catalog::Connection;
use crate::store::read_whole;
use std::collections::BTreeSet;

pub use bring_up::bring_up;
pub use error::ReplicaError;
pub use newest::{ensure_newest, newest_head};
pub use open::{CellReader, open_head};
pub use sync::{SyncReport, sync};
pub use verify::{ReplicaCopy, ReplicaHealth, verify};

use super::OpsError;
use super::handle::{Vault, Writing};
use super::stores::NamedStore;
use crate::base::durable;
use crate::catalog::replica;
use crate::container::bounds::HEAD_BYTES_MAX;
use crate::container::names;
use crate::keys::replica_key::ReplicaKeys;
use crate::store::{ObjectInfo, ObjectName, StoreError};

/// The names of the objects that make up the newest replica, and of those of a pending one.
pub fn needed_names(connection: &Connection) -> Result<BTreeSet<String>, OpsError> {
    let state = replica::state(connection)?;
    let mut needed: BTreeSet<String> =
        replica::objects(connection)?.into_iter().map(|object| object.name).collect();
    if state.sequence > 0 {
        needed.insert(names::replica_head(state.sequence));
    }
    needed.extend(state.pending.map(|pending| names::replica_head(pending.sequence)));
    Ok(needed)
}

/// Objects in one store of replicas that are superseded, and data objects that an interrupted sync
/// left. What has a greater number than the newest replica that this catalog knows is never among
/// them: it may be another machine's. Nor is anything in a store that lacks the newest replica.
pub async fn garbage_in(vault: &Vault, store: &NamedStore) -> Result<Vec<ObjectInfo>, OpsError> {
    if places::newest_in(vault).await?.iter().all(|newest| newest.name != store.name) {
        return Ok(Vec::new());
    }
    let (needed, newest) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (needed_names(connection)?, replica::state(connection)?.sequence)
    };
    let mut objects = places::list(&*store.store).await?;
    objects.retain(|object| {
        let name = object.name.as_str();
        let number = names::replica_head_number(name).or(names::replica_data_number(name));
        !needed.contains(name) && number.is_some_and(|number| number <= newest)
    });
    Ok(objects)
}

/// The same in all stores that can be reached, each name once.
pub async fn garbage(vault: &Vault) -> Result<Vec<ObjectInfo>, OpsError> {
    let mut objects = Vec::new();
    for store in places::newest_in(vault).await? {
        objects.extend(garbage_in(vault, &store).await?);
    }
    objects.sort_by(|one, other| one.name.cmp(&other.name));
    objects.dedup_by(|one, other| one.name == other.name);
    Ok(objects)
}

/// Removes everything that is superseded, heads of older epochs too, as far as the stores let it.
/// Returns how many objects were removed and how many were left.
pub async fn remove_superseded(vault: &Vault, _lock: &Writing) -> Result<(usize, usize), OpsError> {
    let (mut removed, mut left) = (0, 0);
    for store in places::newest_in(vault).await? {
        let names: Vec<String> = garbage_in(vault, &store)
            .await?
            .into_iter()
            .map(|object| object.name.to_string())
            .collect();
        let only = std::slice::from_ref(&store);
        let done = async { Ok::<_, OpsError>(places::remove(vault, only, &names).await) };
        let (some, others) = durable::step_async("replica.remove", done).await?;
        removed += some;
        left += others;
    }
    Ok((removed, left))
}

/// The stores that hold a replica or backups and are known not to hold the newest replica, one
/// sentence each. Whoever destroys a secret waits for them: should the other stores be lost, they
/// would hold nothing that opens.
pub fn behind(vault: &Vault) -> Result<Vec<String>, OpsError> {
    if !vault.stores().are_several() {
        return Ok(Vec::new());
    }
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let newest = replica::state(connection)?.sequence;
    let known = crate::catalog::stores::replicas(connection)?;
    let copies = crate::catalog::stores::all_copies(connection)?;
    let away = vault.stores().away();
    let mut behind = Vec::new();
    for settings in &vault.places().stores {
        let name = &settings.name;
        let takes_part = known.contains_key(name) || copies.iter().any(|copy| copy.store == *name);
        if takes_part && known.get(name) != Some(&newest) {
            let reason = away.iter().find(|(away, _)| away == name);
            let reason = reason.map_or_else(String::new, |(_, reason)| format!(": {reason}"));
            behind
                .push(format!("store `{name}` has not the newest replica of the catalog{reason}"));
        }
    }
    Ok(behind)
}

/// Like [`remove_superseded`], at the end of what is done already: where the store does not let it,
/// that is told, and another command removes them. They open for nobody.
pub async fn clear_superseded(vault: &Vault, lock: &Writing) {
    if let Err(error) = remove_superseded(vault, lock).await {
        vault.warn(&format!("older replicas of the catalog are still in the store: {error}"));
    }
}

/// The head of the newest replica that this catalog knows, if there is one.
pub fn present_head(vault: &Vault) -> Result<Option<ObjectName>, OpsError> {
    let sequence = replica::state(vault.catalog().connection())?.sequence;
    Ok(if sequence == 0 { None } else { Some(names::replica_head(sequence).parse()?) })
}

/// Whether a head opens with any of these keys; nothing where no store has it any more.
pub async fn opens(
    vault: &Vault,
    name: &ObjectName,
    keys: &[ReplicaKeys],
) -> Result<Option<bool>, OpsError> {
    let Some(sequence) = names::replica_head_number(name.as_str()) else { return Ok(None) };
    let mut tried = None;
    for store in places::stores(vault).await? {
        let bytes = match read_whole(&*store.store, name, HEAD_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let opened = keys.iter().any(|keys| open_head(&bytes, sequence, keys).is_ok());
        tried = Some(tried.unwrap_or(false) || opened);
    }
    Ok(tried)
}

/// Whether the catalog has changed since its newest replica.
pub fn is_behind(vault: &Vault) -> Result<bool, OpsError> {
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let state = replica::state(connection)?;
    let epoch = crate::catalog::vault::read(connection)?.epoch;
    Ok(state.sequence == 0 || state.epoch != epoch || replica::is_marked(connection)?)
}
