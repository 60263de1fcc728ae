//! How the keys of a vault are released: the master secret from its file, the epoch's secret from the
//! custodians, the ring from both.

use std::fs;
use std::sync::{Arc, RwLock};

use super::handle::{Vault, Writing};
use super::keys::Unlocked;
use super::{OpsError, custody, forget};
use crate::audit::Recorded;
use crate::base::ids::Epoch;
use crate::catalog::custody::{self as custody_rows, ShareSetRow};
use crate::catalog::shards::{self, ShardRow};
use crate::catalog::vault_keys as catalog_keys;
use crate::crypto::kdf::MacKey;
use crate::keys::master::{self, Credentials};
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::{CommonsKey, IndexKey, ReferenceMaker, TombstoneKey, kinds};
use crate::keys::{KeyError, MasterSecret, vault_keys};

/// A vault that was made just now, with its keys at hand for the recovery kit.
pub struct Begun {
    pub vault: Vault,
    pub(crate) unlocked: Arc<Unlocked>,
}

/// Releases the keys. Then finishes or undoes a forgetting that a crash interrupted, and destroys
/// shares whose custodians could not be reached before: with the right to write that the command has,
/// or else one that is taken for it.
pub async fn unlock(
    vault: &Vault,
    credentials: &Credentials,
    recorded: &Recorded,
    writing: Option<&Writing>,
) -> Result<Arc<Unlocked>, OpsError> {
    let master = open_master(vault, credentials, recorded)?;
    release(vault, master, writing).await
}

/// The same from the master secret on.
pub(super) async fn release(
    vault: &Vault,
    master: MasterSecret,
    writing: Option<&Writing>,
) -> Result<Arc<Unlocked>, OpsError> {
    let mut unlocked = Arc::new(open_ring(vault, master)?);
    let epoch = unlocked.ring().epoch();
    let signer = unlocked.audit_head();
    for sentence in custody::returned::notice(vault, Some(&signer), writing)? {
        vault.alert(&sentence);
    }
    for sentence in forget::recover(vault, &unlocked, writing).await? {
        vault.warn(&format!("an erasure or expiry is still provisional: {sentence}"));
    }
    for sentence in custody::returned::left(vault)? {
        vault.alert(&sentence);
    }
    if epoch_and_shards(vault)?.0 != epoch {
        // Another process began an epoch meanwhile.
        let master = MasterSecret::from_slice(unlocked.master().expose());
        let master = master.ok_or(OpsError::Bug("the master secret is not 32 bytes"))?;
        unlocked = Arc::new(open_ring(vault, master)?);
    }
    Ok(unlocked)
}

/// The keys of a vault that was made just now.
pub(crate) fn unlock_new(vault: &Vault, master: MasterSecret) -> Result<Arc<Unlocked>, OpsError> {
    Ok(Arc::new(open_ring(vault, master)?))
}

/// Releases the key that signs the audit log's head, and no other.
pub fn audit_head_key(
    vault: &Vault,
    credentials: &Credentials,
    recorded: &Recorded,
) -> Result<MacKey, OpsError> {
    let master = open_master(vault, credentials, recorded)?;
    Ok(vault_keys::audit_head_key(&master, vault.id()))
}

/// Opens the master secret's file; one that a crash kept from its place takes it first.
pub(super) fn open_master(
    vault: &Vault,
    credentials: &Credentials,
    _: &Recorded,
) -> Result<MasterSecret, OpsError> {
    forget::take_its_place(vault)?;
    let path = &vault.places().master;
    let file = path.display().to_string();
    let sealed = fs::read(path).map_err(|source| KeyError::Io { file: file.clone(), source })?;
    Ok(master::open(&sealed, vault.id(), credentials, &file)?)
}

fn open_ring(vault: &Vault, master: MasterSecret) -> Result<Unlocked, OpsError> {
    let ring = read_ring(vault, &master)?;
    let catalog = vault.catalog();
    let open = |kind: &str| {
        let row = catalog_keys::get(catalog.connection(), kind)?
            .ok_or(OpsError::Bug("the catalog lacks a vault key"))?;
        let (name, _) = vault_keys::name(kind);
        Ok::<_, OpsError>(ring.unwrap(&name, row.shard_id, &row.wrapped_key)?)
    };
    let short = || OpsError::Bug("a vault key is not 32 bytes");
    let rows = catalog_keys::all(catalog.connection())?;
    let commons_kind = kinds::newest_commons(rows.iter().map(|row| row.kind.as_str()));
    let commons = CommonsKey::from_slice(&open(&commons_kind)?).ok_or_else(short)?;
    let index = IndexKey::from_slice(&open(kinds::INDEX)?).ok_or_else(short)?;
    let mut tombstones = Vec::new();
    for row in &rows {
        if let Some(quarter) = row.kind.strip_prefix(kinds::TOMBSTONE_PREFIX) {
            let key = TombstoneKey::from_slice(&open(&row.kind)?).ok_or_else(short)?;
            tombstones.push((quarter.to_owned(), key));
        }
    }
    Ok(Unlocked {
        audit_head: RwLock::new(Arc::new(vault_keys::audit_head_key(&master, vault.id()))),
        master: RwLock::new(master),
        commons,
        commons_kind,
        references: ReferenceMaker::new(&index),
        tombstones,
        ring: RwLock::new(ring),
    })
}

/// The commons key under which a backup's rows that are nobody's are sealed.
pub(crate) fn commons_of(
    vault: &Vault,
    unlocked: &Unlocked,
    kind: &str,
) -> Result<CommonsKey, OpsError> {
    let row = catalog_keys::get(vault.catalog().connection(), kind)?
        .ok_or(OpsError::Bug("the catalog lacks a commons key"))?;
    let (name, _) = vault_keys::name(kind);
    let key = unlocked.ring().unwrap(&name, row.shard_id, &row.wrapped_key)?;
    CommonsKey::from_slice(&key).ok_or(OpsError::Bug("a vault key is not 32 bytes"))
}

/// The ring of the catalog's present epoch.
pub(crate) fn read_ring(vault: &Vault, master: &MasterSecret) -> Result<KeyRing, OpsError> {
    let (epoch, shards, set) = epoch_and_shards(vault)?;
    let secret = match custody::read_secret(vault, &set) {
        Ok(secret) => secret,
        Err(error) => {
            if epoch_and_shards(vault)?.0 != epoch {
                // Another process finished a forgetting between the two looks.
                return read_ring(vault, master);
            }
            return match custody::newest_epoch(vault)? {
                Some(custodian) if custodian > epoch => {
                    Err(OpsError::OldCatalog { catalog: epoch, custodian })
                }
                _ => Err(error),
            };
        }
    };
    let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
    Ok(KeyRing::open(vault.id(), epoch, master, &secret, wrapped)?)
}

/// The present epoch, the shards wrapped under it and who holds its secret, of one moment.
fn epoch_and_shards(vault: &Vault) -> Result<(Epoch, Vec<ShardRow>, ShareSetRow), OpsError> {
    let catalog = vault.catalog();
    let snapshot = catalog.snapshot()?;
    let epoch = crate::catalog::vault::read(&snapshot)?.epoch;
    Ok((epoch, shards::all(&snapshot)?, custody_rows::present(&snapshot)?))
}
