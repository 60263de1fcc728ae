//! Init: a new vault.
//!
//! Order: master secret, epoch secret, catalog (all keys in one durable step), the stores' markers.
//! The config is the command line's and comes last: a vault without it was never finished, and holds
//! nothing yet. All is made or nothing is (`unfinished.rs`).

mod unfinished;

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::{Action, Outcome};
use crate::base::ids::{Epoch, ShardId, ShareSet, VaultId};
use crate::base::{durable, random};
use crate::catalog::custody::{self as custody_rows, SetState, ShareRow, ShareSetRow, ShareState};
use crate::catalog::shards::ShardRow;
use crate::catalog::stores::{self as store_rows, StoreRow};
use crate::catalog::vault_keys::VaultKeyRow;
use crate::catalog::{Catalog, NewVault, shards, vault_keys as catalog_keys};
use crate::container::names;
use crate::container::vault_marker::{FORMAT_VERSION, VaultMarker};
use crate::keys::custodians::{Custodian, quorum};
use crate::keys::master::{self, Protection};
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::quarter;
use crate::keys::vault_keys::{CanaryKey, CommonsKey, IndexKey, TombstoneKey, kinds, name};
use crate::keys::{EpochSecret, KeyError, MasterSecret};
use crate::store::{ObjectName, Store, StoreError};
use crate::vault::handle::Vault;
use crate::vault::settings::{Environment, StoreSettings, VaultPlaces};
use crate::vault::stores::row_of;
use crate::vault::unlock::{Begun, unlock_new};
use crate::vault::{OpsError, replica};

use self::unfinished::Place;

/// The vault's own shards are never filled: they hold a handful of keys, and the backups'.
const OWN_SHARD_CAPACITY: u64 = 1 << 31;
const FIRST_SHARD_CAPACITY: u64 = 256;

/// Makes a vault in places that hold none yet.
pub async fn init(
    places: VaultPlaces,
    environment: Environment,
    protection: &Protection,
) -> Result<Begun, OpsError> {
    init_with(places, environment, protection, async |_| Ok(())).await
}

/// The same, with what the caller does last: it counts as a part of it. All is made, or nothing is.
pub async fn init_with<E: From<OpsError>>(
    places: VaultPlaces,
    environment: Environment,
    protection: &Protection,
    last: impl AsyncFnOnce(&Begun) -> Result<(), E>,
) -> Result<Begun, E> {
    let (mut place, left) = Place::hold(&places).await?;
    let warn = Arc::clone(&environment.warn);
    if let Some(kept) = left {
        warn("an earlier `init` did not come to its end here; what it had made was removed");
        for sentence in &kept {
            warn(sentence);
        }
    }
    let made = async {
        let begun = make(places, environment, protection, &mut place).await?;
        last(&begun).await?;
        Ok(begun)
    };
    match made.await {
        Ok(begun) => {
            // All is made. A note that stays does no harm: a vault that is used is never removed.
            if let Err(error) = place.finish() {
                warn(&error.to_string());
            }
            Ok(begun)
        }
        Err(error) => {
            place.give_up().await.iter().for_each(|sentence| warn(sentence));
            Err(error)
        }
    }
}

/// Sees that no vault is in the places yet and that they can hold one. Nothing is made.
pub async fn check(places: &VaultPlaces) -> Result<(), OpsError> {
    // What an earlier one left is what the next one removes first.
    if unfinished::is_left(&places.catalog) { Ok(()) } else { require_nothing(places).await }
}

async fn require_nothing(places: &VaultPlaces) -> Result<(), OpsError> {
    for place in [&places.master, &places.catalog] {
        if place.exists() {
            return Err(OpsError::VaultExists { place: place.display().to_string() });
        }
    }
    let custodian = first_custodian(places)?;
    match custodian.epochs(VaultId([0; 16])) {
        // It was never used. The catalog's own folder will be made.
        Err(KeyError::Unreachable { .. }) if unfinished::is_beside_the_catalog(places) => {}
        Err(KeyError::Unreachable { .. }) => custodian.require_place()?,
        Ok(_) | Err(KeyError::OtherVault { .. }) => {
            let place = format!("an epoch secret in {}", custodian.place());
            return Err(OpsError::VaultExists { place });
        }
        Err(error) => return Err(error.into()),
    }
    for settings in &places.stores {
        match crate::store::open(&settings.url) {
            Ok(store) => require_free(&*store).await?,
            // A folder that will be made; a bucket that cannot be reached says so when it is asked.
            Err(StoreError::Unreachable { .. })
                if crate::store::folder_of(&settings.url).is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn first_custodian(places: &VaultPlaces) -> Result<Box<dyn Custodian>, OpsError> {
    let first = places.custodians.first();
    let first = first.ok_or(OpsError::Bug("a vault was to be made without a custodian"))?;
    Ok(first.open()?)
}

/// A store with a marker, or with copies of a catalog, is a vault's.
async fn require_free(store: &dyn Store) -> Result<(), OpsError> {
    let marker: ObjectName = names::VAULT_MARKER.parse()?;
    let is_free = match store.size(&marker).await {
        Err(StoreError::NotFound { .. }) => store.list(names::REPLICA_HEADS).await?.is_empty(),
        Ok(_) => false,
        Err(error) => return Err(error.into()),
    };
    if is_free {
        return Ok(());
    }
    let place = format!("a vault in the store {}", store.location());
    Err(OpsError::VaultExists { place })
}

async fn make(
    places: VaultPlaces,
    environment: Environment,
    protection: &Protection,
    place: &mut Place,
) -> Result<Begun, OpsError> {
    require_nothing(&places).await?;
    let custodian = first_custodian(&places)?;
    let marker: ObjectName = names::VAULT_MARKER.parse()?;
    let random = &mut random::system();
    let vault = VaultId(random::bytes(random));
    place.begin(vault, &places)?;
    let mut stores = Vec::new();
    let mut probed = Vec::new();
    for settings in &places.stores {
        let store = crate::store::create_telling(&settings.url, Arc::clone(&environment.warn))?;
        if crate::store::is_service(&settings.url) {
            probed.push(probe(settings, &*store, &environment).await?);
        }
        stores.push(store);
    }
    let master = MasterSecret::generate(random);
    let sealed = master::seal(&master, vault, protection)?;
    let file = places.master.display().to_string();
    durable::create_folder(durable::folder_of(&places.master))
        .and_then(|()| durable::create_folder(durable::folder_of(&places.catalog)))
        .and_then(|()| durable::create_folder(&places.maps))
        .and_then(|()| durable::create_file(&places.master, &sealed))
        .map_err(|source| OpsError::File { what: format!("writing {file}"), source })?;

    let secret = EpochSecret::generate(random);
    custodian.enroll(vault)?;
    let set = ShareSet(random::bytes(random));
    let shares = quorum::split(&secret, vault, Epoch::FIRST, set, 1, 1, random)?;
    shares.iter().try_for_each(|share| custodian.put(share))?;
    let now = environment.clock.now();
    let custody = ShareSetRow {
        epoch: Epoch::FIRST,
        set,
        threshold: 1,
        state: SetState::Present,
        changed_at: now,
        shares: vec![ShareRow {
            custodian: custodian.name().to_owned(),
            index: 1,
            state: ShareState::Held,
            changed_at: now,
        }],
    };
    drop(create_catalog(&places, &environment, vault, &master, &secret, &custody, &probed)?);

    let contents = Bytes::from(VaultMarker::bytes_of(vault)?);
    for store in &stores {
        let mut writer = store.create(&marker).await?;
        writer.write(contents.clone()).await?;
        writer.finish().await?;
    }

    let opened = Vault::open(places, environment)?;
    let lock = opened.lock_for_writing("init")?;
    let unlocked = unlock_new(&opened, master)?;
    let signer = unlocked.audit_head();
    opened.note_signed(Some(&signer), Action::Init, &vault.to_string(), Outcome::Done, None)?;
    let keys = unlocked.ring().replica_keys();
    replica::sync(&opened, &keys, &lock).await?;
    drop(lock);
    Ok(Begun { vault: opened, unlocked })
}

/// Sees what a service can do before a vault is made in it.
async fn probe(
    settings: &StoreSettings,
    store: &dyn Store,
    environment: &Environment,
) -> Result<StoreRow, OpsError> {
    let capabilities = store.probe().await?;
    if let Some((_, finding)) = capabilities.unfit().next() {
        let (location, reason) = (store.location(), finding.consequence.clone());
        return Err(OpsError::StoreUnfit { location, reason });
    }
    for sentence in capabilities.worth_knowing() {
        (environment.warn)(&format!("store `{}`: {sentence}", settings.name));
    }
    row_of(settings, &capabilities)
}

fn create_catalog(
    places: &VaultPlaces,
    environment: &Environment,
    vault: VaultId,
    master: &MasterSecret,
    secret: &EpochSecret,
    custody: &ShareSetRow,
    probed: &[StoreRow],
) -> Result<Catalog, OpsError> {
    let random = &mut random::system();
    let new = NewVault {
        vault_id: vault,
        format_version: FORMAT_VERSION,
        created_at: environment.clock.now(),
        epoch: Epoch::FIRST,
    };
    let quarter = quarter(new.created_at);
    Catalog::create_with(&places.catalog, &new, |transaction| {
        custody_rows::insert(transaction, custody)?;
        probed.iter().try_for_each(|row| store_rows::put_store(transaction, row))?;
        let mut ring = KeyRing::new(vault, Epoch::FIRST, master, secret);
        for (shard_id, capacity) in [
            (ShardId::VAULT, OWN_SHARD_CAPACITY),
            (ShardId::BACKUPS, OWN_SHARD_CAPACITY),
            (ShardId::FIRST_OF_SUBJECTS, FIRST_SHARD_CAPACITY),
        ] {
            let wrapped_key = ring.add_shard(shard_id, random);
            shards::insert(transaction, &ShardRow { shard_id, wrapped_key, capacity })?;
        }
        let tombstone = format!("{}{quarter}", kinds::TOMBSTONE_PREFIX);
        let mut add = |kind: &str, key: &[u8; 32]| {
            let (name, shard_id) = name(kind);
            let wrapped_key = ring.wrap(&name, shard_id, key, random)?;
            let row = VaultKeyRow { kind: kind.to_owned(), shard_id, wrapped_key };
            Ok::<_, OpsError>(catalog_keys::insert(transaction, &row)?)
        };
        add(kinds::COMMONS, CommonsKey::generate(&mut random::system()).expose())?;
        add(kinds::INDEX, IndexKey::generate(&mut random::system()).expose())?;
        add(kinds::CANARY, CanaryKey::generate(&mut random::system()).expose())?;
        add(&tombstone, TombstoneKey::generate(&mut random::system()).expose())
    })
}
