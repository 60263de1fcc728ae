//! Which replica a recovery takes, and whether the custodians let it.

use crate::container::bounds::MARKER_BYTES_MAX;
use crate::container::vault_marker::{FORMAT_VERSION, VaultMarker};
use crate::store::StoreError;
use std::sync::Arc;

use crate::store::read_whole;
use bytes::Bytes;

use crate::base::digest;
use crate::base::ids::{Digest, Epoch, VaultId};
use crate::container::bounds::HEAD_BYTES_MAX;
use crate::container::replica::head::{Head, HeadHeader};
use crate::container::{ContainerError, names};
use crate::keys::ring::KeyRing;
use crate::keys::{EpochSecret, MasterSecret};
use crate::store::Store;
use crate::vault::OpsError;
use crate::vault::custody::EpochSecrets;
use crate::vault::replica::{ReplicaError, newest_head, open_head};
use crate::vault::settings::{Environment, VaultPlaces};
use crate::vault::stores::{Copies, NamedStore};

/// Which head is the newest in the store.
pub struct Newest {
    /// Its number.
    pub sequence: u64,
    /// The epoch that it says it is of.
    pub epoch: Epoch,
    /// SHA-256 of it.
    pub sha256: Digest,
}

/// A head that was read and not opened yet.
pub struct Chosen {
    /// The vault.
    pub vault: VaultId,
    /// Its number.
    pub sequence: u64,
    /// The epoch that it says it is of.
    pub epoch: Epoch,
    /// The whole object.
    pub bytes: Bytes,
    /// The newest head, from which the recovered vault counts on: another one only where an older
    /// epoch was asked for.
    pub newest: Newest,
}

/// The stores, each of which must be there and be the vault's: the one that is not may hold the newest
/// replica, and a vault that goes on from an older one has lost what was recorded since. Whoever knows
/// that a store is lost does not name it.
pub async fn stores(
    places: &VaultPlaces,
    vault: VaultId,
    environment: &Environment,
) -> Result<Copies, OpsError> {
    let mut found = Vec::new();
    for settings in &places.stores {
        let opened = async {
            let tell = Arc::clone(&environment.warn);
            let store = crate::store::open_telling(&settings.url, None, tell)?;
            marker(&*store, vault).await?;
            Ok::<_, OpsError>(store)
        };
        let name = settings.name.clone();
        match opened.await {
            Ok(store) => found.push(NamedStore { name, store }),
            Err(error) => return Err(unasked(name, places.stores.len(), error)),
        }
    }
    Ok(Copies::new(found))
}

/// Why a store cannot be asked, with its name where there are several.
fn unasked(store: String, stores: usize, error: OpsError) -> OpsError {
    let is_away = matches!(error, OpsError::Store(_) | OpsError::StoreWithoutVault { .. });
    if stores > 1 && is_away {
        ReplicaError::Unasked { store, source: Box::new(error) }.into()
    } else {
        error
    }
}

/// The newest replica of all stores that opens, with the secret that opens it. A store that lags
/// behind is passed over, and so is a head that another store has undamaged.
pub async fn best(
    copies: &Copies,
    environment: &Environment,
    vault: VaultId,
    epochs: &dyn EpochSecrets,
    epoch: Option<Epoch>,
    master: &MasterSecret,
) -> Result<(Chosen, EpochSecret, Head), OpsError> {
    let stores = copies.stores().len();
    let mut heads = Vec::new();
    for store in copies.stores() {
        match newest_head(&*store.store, 0, true).await {
            Ok(number) => heads.push((number, store)),
            Err(error) => return Err(unasked(store.name.clone(), stores, error)),
        }
    }
    let mut failure = None;
    let newest = heads.iter().map(|(number, _)| *number).max();
    for (_, store) in heads.into_iter().filter(|(number, _)| Some(*number) == newest) {
        let tried = match self::newest(&*store.store, vault, epochs, epoch).await {
            Ok(chosen) => {
                open(&chosen, epochs, master).map(|(secret, head)| (chosen, secret, head))
            }
            Err(error) => Err(error),
        };
        match tried {
            Ok(found) => return Ok(found),
            Err(error) => {
                if stores > 1 {
                    (environment.warn)(&format!("store `{}`: {error}", store.name));
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or(OpsError::StoreStopped))
}

/// The newest replica, or the newest of the epoch that was asked for.
///
/// # Errors
/// [`ReplicaError::Rollback`] when the custodians know a newer epoch and none was asked for.
pub async fn newest(
    store: &dyn Store,
    vault: VaultId,
    epochs: &dyn EpochSecrets,
    epoch: Option<Epoch>,
) -> Result<Chosen, OpsError> {
    let location = store.location();
    let Some(sequence) = newest_head(store, 0, true).await? else {
        return Err(ReplicaError::NoReplica { location }.into());
    };
    let newest = read(store, vault, sequence).await?;
    if let Some(wanted) = epoch {
        return of_epoch(store, newest, wanted).await;
    }
    match epochs.epochs()?.into_iter().max() {
        Some(custodians) if custodians > newest.epoch => {
            let epoch = newest.epoch;
            Err(ReplicaError::Rollback { location, sequence, epoch, custodians }.into())
        }
        _ => Ok(newest),
    }
}

/// Superseded heads are removed, so of an older epoch there is one at most, as a rule.
async fn of_epoch(store: &dyn Store, newest: Chosen, epoch: Epoch) -> Result<Chosen, OpsError> {
    let vault = newest.vault;
    let listed = store.list(names::REPLICA_HEADS).await?;
    let mut numbers: Vec<u64> = listed
        .iter()
        .filter_map(|object| names::replica_head_number(object.name.as_str()))
        .filter(|number| *number < newest.sequence)
        .collect();
    numbers.sort_unstable();
    let mut head = newest;
    while head.epoch != epoch {
        let Some(number) = numbers.pop() else {
            let location = store.location();
            return Err(ReplicaError::NoReplicaOfEpoch { location, epoch }.into());
        };
        head = Chosen { newest: head.newest, ..read(store, vault, number).await? };
    }
    Ok(head)
}

async fn read(store: &dyn Store, vault: VaultId, sequence: u64) -> Result<Chosen, OpsError> {
    let object = names::replica_head(sequence);
    let bytes = read_whole(store, &object.parse()?, HEAD_BYTES_MAX).await?;
    let HeadHeader { epoch, .. } = HeadHeader::expect(&bytes, vault, sequence, &object)?;
    let newest = Newest { sequence, epoch, sha256: digest::sha256(&bytes) };
    Ok(Chosen { vault, sequence, epoch, bytes, newest })
}

/// The secret that opens the replica, and what it opened. Custodians may hold shares of two
/// splittings of one epoch, where a forgetting was given up and begun again; one of them opens.
///
/// # Errors
/// [`ReplicaError::SecretGone`] when the custodians do not hold it.
pub fn open(
    chosen: &Chosen,
    epochs: &dyn EpochSecrets,
    master: &MasterSecret,
) -> Result<(EpochSecret, Head), OpsError> {
    let Chosen { sequence, epoch, .. } = *chosen;
    let mut refused = None;
    for secret in epochs.secrets(epoch)? {
        let keys = KeyRing::new(chosen.vault, epoch, master, &secret).replica_keys();
        match open_head(&chosen.bytes, sequence, &keys) {
            Ok(head) => return Ok((secret, head)),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(ContainerError::NotAuthentic { .. }) => {
            return Err(ReplicaError::KitDoesNotOpen { sequence, epoch }.into());
        }
        Some(error) => return Err(error.into()),
        None => {}
    }
    let held = match epochs.epochs()?.as_slice() {
        [] => "; they hold none at all".to_owned(),
        held => {
            let held: Vec<String> = held.iter().map(Epoch::to_string).collect();
            format!("; they hold epoch {}", held.join(", "))
        }
    };
    Err(ReplicaError::SecretGone { sequence, epoch, held }.into())
}

/// The store must be that of the recovery kit's vault.
async fn marker(store: &dyn Store, expected: VaultId) -> Result<(), OpsError> {
    let location = store.location();
    let bytes = match read_whole(store, &names::VAULT_MARKER.parse()?, MARKER_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => {
            return Err(OpsError::StoreWithoutVault { location });
        }
        Err(error) => return Err(error.into()),
    };
    let known = FORMAT_VERSION;
    match serde_json::from_slice::<VaultMarker>(&bytes) {
        Ok(VaultMarker { format_version: found, .. }) if found > known => {
            Err(OpsError::NewerStore { location, found, known })
        }
        Ok(marker) if marker.what != VaultMarker::WHAT => {
            Err(OpsError::StoreMarkerDamaged { location })
        }
        Ok(VaultMarker { vault: found, .. }) if found != expected => {
            Err(ReplicaError::OtherVaultsKit { location, found, expected }.into())
        }
        Ok(_) => Ok(()),
        Err(_) => Err(OpsError::StoreMarkerDamaged { location }),
    }
}
