//! A store that was away, or is new, gets the replica as the others have it: first every data object
//! of the newest replica, then its head.

use crate::store::read_exact;
use crate::store::read_whole;
use bytes::Bytes;
use std::sync::Arc;

use crate::base::digest::{self, RunningDigest};
use crate::base::durable;
use crate::catalog::replica::{self, ObjectRow};
use crate::container::bounds::HEAD_BYTES_MAX;
use crate::container::replica::data::{HEADER_BYTES, check_header};
use crate::container::{ContainerError, names};
use crate::keys::replica_key::ReplicaKeys;
use crate::store::{ObjectName, Store, StoreError};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::stores::copy::{self, CopyObject};
use crate::vault::stores::{Copies, NamedStore};

use super::open::is_damaged;
use super::{ReplicaError, places};

/// Stretches that no cell lies in are read in pieces of this length.
const PIECE_BYTES: u64 = 4 << 20;

/// Brings the replica in a store up to the newest that is known to be durable. With `verify`, what is
/// there is read, and what is wrong is made anew: from another store, or where none has it right, by the
/// next sync from this machine's catalog.
pub async fn bring_up(
    vault: &Vault,
    keys: &ReplicaKeys,
    to: &NamedStore,
    verify: bool,
) -> Result<(), OpsError> {
    let state = replica::state(vault.catalog().connection())?;
    // A head that is about to be written brings its store up to date by itself.
    let is_for_later = state.sequence == 0 || state.pending.is_some();
    if is_for_later || !(verify || vault.stores().are_several()) {
        return Ok(());
    }
    let all = places::stores(vault).await?;
    let up = async {
        data(vault, to, &all, verify).await?;
        let name: ObjectName = names::replica_head(state.sequence).parse()?;
        let expected = state.sha256.ok_or(OpsError::Bug("a replica's head has no digest"))?;
        if !has_head(vault, keys, to, state.sequence, &name, expected).await? {
            let head = head(vault, &all, to, &name, expected).await?;
            // What has its number there is damaged, if anything has.
            to.store.delete(&name).await?;
            let written = places::create(&*to.store, &name, &head);
            durable::step_async("replica.head", written).await?;
        }
        places::note(vault, std::slice::from_ref(to), state.sequence)
    };
    match up.await {
        Err(error) if verify && error.is_damage() => {
            Ok(vault.catalog().transaction(replica::mark_all)?)
        }
        outcome => outcome,
    }
}

/// Whether a store has the head with these very bytes; `false` where it is damaged.
///
/// # Errors
/// [`ReplicaError::AnotherMachine`] where it is another machine's.
async fn has_head(
    vault: &Vault,
    keys: &ReplicaKeys,
    store: &NamedStore,
    sequence: u64,
    name: &ObjectName,
    expected: crate::base::ids::Digest,
) -> Result<bool, OpsError> {
    match read_whole(&*store.store, name, HEAD_BYTES_MAX).await {
        Ok(bytes) if digest::sha256(&bytes) == expected => Ok(true),
        Ok(bytes) if is_damaged(vault.id(), Some(keys), &bytes, sequence) => Ok(false),
        Ok(_) => {
            let (location, found, known) = (store.store.location(), sequence, sequence);
            Err(ReplicaError::AnotherMachine { location, found, known }.into())
        }
        Err(StoreError::NotFound { .. } | StoreError::TooLong { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Brings every store that can be reached up to the newest replica; one that fails stays behind.
pub async fn all(vault: &Vault, keys: &ReplicaKeys) -> Result<(), OpsError> {
    if !vault.stores().are_several() {
        return Ok(());
    }
    let newest: Vec<String> =
        places::newest_in(vault).await?.into_iter().map(|store| store.name).collect();
    for store in places::stores(vault).await? {
        if !newest.contains(&store.name)
            && let Err(error) = bring_up(vault, keys, &store, false).await
        {
            let name = &store.name;
            vault.warn(&format!("store `{name}` lacks the catalog's newest replica: {error}"));
        }
    }
    Ok(())
}

async fn head(
    vault: &Vault,
    all: &[NamedStore],
    to: &NamedStore,
    name: &ObjectName,
    expected: crate::base::ids::Digest,
) -> Result<Bytes, OpsError> {
    let others: Vec<_> = all.iter().filter(|store| store.name != to.name).cloned().collect();
    let copies = Copies::among(vault.stores(), others);
    let mut attempts = copies.attempts(name);
    while let Some(store) = attempts.next_store() {
        match read_whole(store, name, HEAD_BYTES_MAX).await {
            Ok(bytes) if digest::sha256(&bytes) == expected => return Ok(bytes),
            Ok(_) => attempts.failed(ContainerError::not_authentic(name.as_str()))?,
            Err(error) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}

/// Copies the data objects of the newest replica, and of the pending one, that a store lacks; with
/// `verify`, those too that are wrong there.
pub async fn data(
    vault: &Vault,
    to: &NamedStore,
    all: &[NamedStore],
    verify: bool,
) -> Result<(), OpsError> {
    let (mut objects, cells) = {
        let catalog = vault.catalog();
        (replica::objects(catalog.connection())?, replica::newest_cells(catalog.connection())?)
    };
    // One in which no cell lies any more is named by no head to come.
    objects.retain(|object| cells.iter().any(|cell| cell.sequence == object.sequence));
    let listed = copy::listed(&*to.store, &[names::REPLICA_DATA]).await?;
    for row in objects {
        let name: ObjectName = row.name.parse()?;
        let is_listed = listed.get(&name) == Some(&row.bytes);
        if !is_listed || (verify && !is_right(vault, to, &row, &name).await?) {
            copy_data(vault, to, all, &row, name, verify).await?;
        }
    }
    Ok(())
}

async fn is_right(
    vault: &Vault,
    store: &NamedStore,
    row: &ObjectRow,
    name: &ObjectName,
) -> Result<bool, OpsError> {
    match authenticated(vault, &*store.store, row, name).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// One data object, from a store whose copy has every cell as it was written.
async fn copy_data(
    vault: &Vault,
    to: &NamedStore,
    all: &[NamedStore],
    row: &ObjectRow,
    name: ObjectName,
    verify: bool,
) -> Result<(), OpsError> {
    let others: Vec<_> = all.iter().filter(|store| store.name != to.name).cloned().collect();
    let others = Copies::among(vault.stores(), others);
    let mut attempts = others.attempts(&name);
    for from in others.stores() {
        let sha256 = match authenticated(vault, &*from.store, row, &name).await {
            Ok(sha256) => sha256,
            Err(error) => {
                attempts.failed(error)?;
                continue;
            }
        };
        let object = CopyObject { name: name.clone(), bytes: row.bytes, sha256 };
        let copies = Copies::new(vec![NamedStore {
            name: from.name.clone(),
            store: Arc::clone(&from.store),
        }]);
        match copy::one(&copies, to, &object, verify).await {
            Ok(_) => return Ok(()),
            Err(error) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}

/// SHA-256 of a data object whose header and live cells are as they were written.
async fn authenticated(
    vault: &Vault,
    store: &dyn Store,
    row: &ObjectRow,
    name: &ObjectName,
) -> Result<crate::base::ids::Digest, OpsError> {
    let mut cells = replica::newest_cells(vault.catalog().connection())?;
    cells.retain(|cell| cell.sequence == row.sequence);
    cells.sort_by_key(|cell| cell.start);
    let header = read_exact(store, name, 0, HEADER_BYTES as u64).await?;
    check_header(&header, vault.id(), row.sequence, name.as_str())?;
    let mut running = RunningDigest::default();
    let mut at = 0;
    for cell in cells {
        while at < cell.start {
            let length = PIECE_BYTES.min(cell.start - at);
            running.update(&read_exact(store, name, at, length).await?);
            at += length;
        }
        let sealed = read_exact(store, name, at, cell.bytes).await?;
        if digest::sha256(&sealed) != cell.sha256 {
            return Err(ContainerError::not_authentic(name.as_str()).into());
        }
        running.update(&sealed);
        at += cell.bytes;
    }
    while at < row.bytes {
        let length = PIECE_BYTES.min(row.bytes - at);
        running.update(&read_exact(store, name, at, length).await?);
        at += length;
    }
    Ok(running.finish())
}

/// Writes a head to every store, once the store has everything that it names. Where these very bytes
/// are there already, an earlier attempt has written them. Returns the stores that have it.
///
/// # Errors
/// [`ReplicaError::AnotherMachine`] when other bytes have the name; they are left as they are. Any
/// other failure only when no store took it.
pub async fn write_head(
    vault: &Vault,
    sequence: u64,
    name: &str,
    bytes: &Bytes,
) -> Result<Vec<NamedStore>, OpsError> {
    let name: ObjectName = name.parse()?;
    let all = places::stores(vault).await?;
    let (mut took, mut first) = (Vec::new(), None);
    for store in &all {
        match write_head_to(vault, store, &all, sequence, &name, bytes).await {
            Ok(()) => took.push(store.clone()),
            Err(error @ OpsError::Replica(ReplicaError::AnotherMachine { .. })) => {
                return Err(error);
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    match (took.is_empty(), first) {
        (true, first) => Err(first.unwrap_or(OpsError::StoreStopped)),
        (false, first) => {
            if let Some(error) = first {
                vault.warn(&format!("a store has not taken the catalog's replica: {error}"));
            }
            Ok(took)
        }
    }
}

async fn write_head_to(
    vault: &Vault,
    store: &NamedStore,
    all: &[NamedStore],
    sequence: u64,
    name: &ObjectName,
    bytes: &Bytes,
) -> Result<(), OpsError> {
    if vault.stores().are_several() {
        data(vault, store, all, false).await?;
    }
    let store = &*store.store;
    match durable::step_async("replica.head", places::create(store, name, bytes)).await {
        Ok(()) => Ok(()),
        Err(StoreError::AlreadyExists { .. }) => {
            if read_whole(store, name, HEAD_BYTES_MAX).await? == *bytes {
                return Ok(());
            }
            let (location, found, known) = (store.location(), sequence, sequence - 1);
            Err(ReplicaError::AnotherMachine { location, found, known }.into())
        }
        Err(error) => Err(error.into()),
    }
}
