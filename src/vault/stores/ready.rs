//! Which stores a command can use: those that answer and hold this vault's marker.

use super::{NamedStore, OneStore, Standing, Stores};
use crate::base::ids::VaultId;
use crate::container::bounds::MARKER_BYTES_MAX;
use crate::container::names;
use crate::container::vault_marker::{FORMAT_VERSION, VaultMarker};
use crate::store::read_whole;
use crate::store::{Store, StoreError};
use crate::vault::OpsError;

/// The stores that can be used, the nearest first. Each is looked at once for a command; one that is
/// away is warned of and left out, as long as another is there.
///
/// # Errors
/// Why the first store cannot be used, when none can; [`OpsError::OtherVaultsStore`] when any of them
/// is another vault's.
pub async fn ready(stores: &Stores) -> Result<Vec<NamedStore>, OpsError> {
    let mut found = Vec::new();
    let mut first = None;
    for one in &stores.all {
        let standing = one.standing().clone();
        match standing {
            Standing::Away(_) => {}
            Standing::Ready => found.push(stores.open(one)?),
            Standing::Unknown => match look(stores, one).await {
                Ok(store) => {
                    *one.standing() = Standing::Ready;
                    found.push(store);
                }
                Err(error) if stores.are_several() && is_away(&error) => {
                    let reason = error.to_string();
                    (stores.warn)(&format!("store `{}` is left out: {reason}", one.settings.name));
                    *one.standing() = Standing::Away(reason);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            },
        }
    }
    if found.is_empty() {
        let lost = stores.away().into_iter().next();
        stores.all.iter().for_each(|one| *one.standing() = Standing::Unknown);
        return Err(match (first, lost) {
            (Some(error), _) => error,
            // All were lost in the course of this command.
            (None, Some((name, reason))) => {
                let (location, source) = (format!("`{name}`"), std::io::Error::other(reason));
                StoreError::Unreachable { location, source }.into()
            }
            (None, None) => OpsError::StoreStopped,
        });
    }
    Ok(found)
}

/// Looks at every store anew.
///
/// # Errors
/// As [`ready`].
pub async fn check_all(stores: &Stores) -> Result<Vec<NamedStore>, OpsError> {
    stores.all.iter().for_each(|one| *one.standing() = Standing::Unknown);
    ready(stores).await
}

/// Whether a vault with other stores can do without this one for now. One that is another vault's is
/// a mistake in the configuration, and nothing is written before it is corrected.
fn is_away(error: &OpsError) -> bool {
    matches!(
        error,
        OpsError::Store(_)
            | OpsError::StoreWithoutVault { .. }
            | OpsError::StoreMarkerDamaged { .. }
    )
}

async fn look(stores: &Stores, one: &OneStore) -> Result<NamedStore, OpsError> {
    let store = stores.open(one)?;
    expect_marker(&*store.store, stores.vault).await?;
    Ok(store)
}

/// Checks that a store is this vault's.
pub(crate) async fn expect_marker(store: &dyn Store, vault: VaultId) -> Result<(), OpsError> {
    let location = store.location();
    let bytes = match read_whole(store, &names::VAULT_MARKER.parse()?, MARKER_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => {
            return Err(OpsError::StoreWithoutVault { location });
        }
        Err(error) => return Err(error.into()),
    };
    match serde_json::from_slice::<VaultMarker>(&bytes) {
        Ok(marker) if marker.format_version > FORMAT_VERSION => Err(OpsError::NewerStore {
            location,
            found: marker.format_version,
            known: FORMAT_VERSION,
        }),
        Ok(marker) if marker.what == VaultMarker::WHAT && marker.vault == vault => Ok(()),
        Ok(marker) if marker.what == VaultMarker::WHAT => {
            Err(OpsError::OtherVaultsStore { location, found: marker.vault, expected: vault })
        }
        _ => Err(OpsError::StoreMarkerDamaged { location }),
    }
}
