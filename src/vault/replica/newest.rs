//! Which replica in a store is the newest, and whether this catalog comes from it.

use super::open::is_damaged;
use super::{ReplicaError, places};
use crate::base::digest;
use crate::base::ids::VaultId;
use crate::catalog::replica::{self, State};
use crate::container::bounds::HEAD_BYTES_MAX;
use crate::container::names;
use crate::keys::replica_key::ReplicaKeys;
use crate::store::{Store, StoreError, read_whole};
use crate::vault::OpsError;
use crate::vault::handle::Vault;

/// How many numbers beyond the newest are asked for by name.
const NEXT: u64 = 2;
/// The same, where the listing is not to be trusted: superseded heads are removed, so there may be
/// gaps.
const FAR: u64 = 64;

/// The number of the newest head in a store, if there is one. A listing may show what is gone and
/// not yet what is new, so heads are asked for by name, from the newest listed and from `known` on.
/// With `far`, more gaps are crossed.
pub async fn newest_head(
    store: &dyn Store,
    known: u64,
    far: bool,
) -> Result<Option<u64>, OpsError> {
    let listed = store.list(names::REPLICA_HEADS).await?;
    let mut numbers: Vec<u64> = listed
        .iter()
        .filter_map(|object| names::replica_head_number(object.name.as_str()))
        .chain((known > 0).then_some(known))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut last = numbers.last().copied().unwrap_or(0);
    let mut newest = None;
    while let (None, Some(number)) = (newest, numbers.pop()) {
        if places::exists(store, &names::replica_head(number)).await? {
            newest = Some(number);
        }
    }
    let is_as_listed = newest.unwrap_or(0) == last;
    let reach = if far || !is_as_listed { FAR } else { NEXT };
    let mut next = last + 1;
    while next <= last + reach {
        if places::exists(store, &names::replica_head(next)).await? {
            (newest, last) = (Some(next), next);
        }
        next += 1;
    }
    Ok(newest)
}

/// Checks that the newest replica in every store is the one that this catalog knows, or the one that
/// it was about to write. To be called at the beginning of every command that writes, with the
/// writer's lock held.
///
/// A store that lacks the newest replica (it is new, or was put back from a copy) is no obstacle: the
/// next sync writes everything anew.
///
/// # Errors
/// [`ReplicaError::AnotherMachine`] when there is a replica that this catalog does not know.
pub async fn ensure_newest(vault: &Vault, keys: Option<&ReplicaKeys>) -> Result<(), OpsError> {
    let state = replica::state(vault.catalog().connection())?;
    let several = vault.stores().are_several();
    let (mut holders, mut lacking, mut failure) = (Vec::new(), Vec::new(), None);
    for store in places::stores(vault).await? {
        match standing(vault.id(), keys, &*store.store, &state).await {
            Ok(true) => holders.push(store),
            Ok(false) => lacking.push(store),
            Err(error @ OpsError::Store(_)) if several => {
                vault.stores().lost(&store.name, &error.to_string());
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (true, true, Some(error)) = (holders.is_empty(), lacking.is_empty(), failure) {
        return Err(error);
    }
    places::note(vault, &lacking, 0)?;
    if state.pending.is_none() {
        places::note(vault, &holders, state.sequence)?;
    }
    if holders.is_empty() && state.sequence > 0 {
        vault.catalog().transaction(replica::mark_all)?;
    }
    Ok(())
}

/// Whether a store has the newest replica that this catalog knows, or the pending one; `false` where
/// it has an older one or none, or where its head is damaged.
async fn standing(
    vault: VaultId,
    keys: Option<&ReplicaKeys>,
    store: &dyn Store,
    state: &State,
) -> Result<bool, OpsError> {
    let newest = newest_head(store, state.sequence, false).await?;
    let known = match (&state.pending, newest) {
        (_, Some(newest)) if newest == state.sequence => state.sha256,
        (Some(pending), Some(newest)) if newest == pending.sequence => {
            Some(digest::sha256(&pending.head))
        }
        (_, Some(newest)) if newest > state.sequence => None,
        // Nothing, or something older than what was durable once.
        _ => return Ok(false),
    };
    let found = newest.unwrap_or_default();
    let head = match read_whole(store, &names::replica_head(found).parse()?, HEAD_BYTES_MAX).await {
        Ok(head) => head,
        Err(StoreError::TooLong { .. }) if found == state.sequence => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if known == Some(digest::sha256(&head)) {
        return Ok(true);
    }
    if found == state.sequence && is_damaged(vault, keys, &head, found) {
        return Ok(false);
    }
    let (location, known) = (store.location(), state.sequence);
    Err(ReplicaError::AnotherMachine { location, found, known }.into())
}
