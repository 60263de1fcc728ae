//! Which stores a command means, where backups of a class lie, and what is noted of each copy.

use super::{NamedStore, OneStore, Stores, place_of, ready};
use crate::base::durable;
use crate::base::ids::BackupId;
use crate::catalog::backups::BackupClass;
use crate::catalog::stores::{self as rows, CopyRow, CopyState};
use crate::store::StoreError;
use crate::vault::OpsError;
use crate::vault::handle::Vault;

/// Notes how a backup stands in a store.
pub(crate) fn note(
    vault: &Vault,
    backup: &BackupId,
    store: &str,
    state: CopyState,
) -> Result<(), OpsError> {
    let row = CopyRow {
        backup_id: backup.clone(),
        store: store.to_owned(),
        state,
        noted_at: vault.clock().now(),
    };
    durable::step("store.note", || {
        vault
            .catalog()
            .transaction(|transaction| Ok::<_, OpsError>(rows::put_copy(transaction, &row)?))
    })
}

/// The stores that are meant: one, or all.
pub(crate) fn choose<'a>(
    stores: &'a Stores,
    name: Option<&str>,
) -> Result<Vec<&'a OneStore>, OpsError> {
    let all = &stores.all;
    let chosen: Vec<_> =
        all.iter().filter(|one| name.is_none_or(|name| one.settings.name == name)).collect();
    if let (Some(name), true) = (name, chosen.is_empty()) {
        let known = all.iter().map(|one| one.settings.name.clone()).collect();
        return Err(OpsError::NoStore { name: name.to_owned(), known });
    }
    Ok(chosen)
}

/// The one store that was chosen, if it can be used.
pub(crate) fn named<'a>(
    all: &Stores,
    stores: &'a [NamedStore],
    chosen: &[&OneStore],
) -> Result<&'a NamedStore, OpsError> {
    let only = chosen.first().ok_or(OpsError::Bug("no store was chosen"))?;
    let found = stores.iter().find(|store| store.name == only.settings.name);
    found.ok_or_else(|| {
        let away = all.away();
        let reason = away.into_iter().find(|(name, _)| *name == only.settings.name);
        let reason = reason.map_or_else(String::new, |(_, reason)| reason);
        let source = std::io::Error::other(reason);
        StoreError::Unreachable { location: place_of(&only.settings), source }.into()
    })
}

/// Where a backup of a class shall lie, and of those which can be used now, the nearest first.
pub(crate) async fn for_class(
    stores: &Stores,
    class: BackupClass,
) -> Result<(Vec<String>, Vec<NamedStore>), OpsError> {
    let all = &stores.all;
    let names: Vec<String> = all
        .iter()
        .filter(|one| one.settings.takes(class))
        .map(|one| one.settings.name.clone())
        .collect();
    if names.is_empty() {
        return Err(OpsError::NoStoreForClass { class: class.as_str() });
    }
    let mut usable = ready(stores).await?;
    usable.retain(|store| names.contains(&store.name));
    if usable.is_empty() {
        let away = stores.away();
        let reason = away.into_iter().find(|(name, _)| names.contains(name));
        let (location, reason) = reason.unwrap_or_default();
        let source = std::io::Error::other(reason);
        return Err(StoreError::Unreachable { location, source }.into());
    }
    Ok((names, usable))
}
