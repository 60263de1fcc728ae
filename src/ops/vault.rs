//! A vault as a command holds it: its places opened, its keys released only against an audit entry.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use serde::{Deserialize, Serialize};

use super::backup_reader::read_whole;
use super::init::FORMAT_VERSION;
use super::{OpsError, forget};
use crate::audit::{self, Action, NewEntry, Outcome, Recorded, Who};
use crate::catalog::backups::BackupRow;
use crate::catalog::{Catalog, WriterLock, shards, vault_keys as catalog_keys};
use crate::clock::Clock;
use crate::container::age_file::BackupIdentity;
use crate::container::names;
use crate::crypto::kdf::MacKey;
use crate::ids::{Epoch, VaultId};
use crate::keys::custodian::Custodian;
use crate::keys::custodian_settings::DEFAULT_NAME;
use crate::keys::file_custodian::FileCustodian;
use crate::keys::master::{self, Credentials};
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::vault_keys::{CommonsKey, IndexKey, ReferenceMaker, TombstoneKey, kinds};
use crate::keys::{KeyError, MasterSecret, quorum, vault_keys};
use crate::store::{ObjectName, Store, StoreError};

/// The catalog, used by several threads one at a time.
pub type SharedCatalog = Arc<Mutex<Catalog>>;

/// Where a vault's parts are, as the config says.
#[derive(Debug, Clone)]
pub struct VaultPlaces {
    /// The catalog's file.
    pub catalog: PathBuf,
    /// The age file of the master secret.
    pub master: PathBuf,
    /// The folder of subject maps.
    pub maps: PathBuf,
    /// The folder of the file custodian.
    pub custodian: PathBuf,
    /// The store's URL or folder.
    pub store: String,
    /// Where rows that do not fit in memory are spilled, sealed.
    pub spill: PathBuf,
}

/// What a command works with besides its vault.
#[derive(Clone)]
pub struct Environment {
    /// Tells the moment.
    pub clock: Arc<dyn Clock>,
    /// Who gave the command, for the audit log.
    pub who: Who,
}

/// A vault whose catalog is open, and whose keys are not released.
pub struct Vault {
    places: VaultPlaces,
    environment: Environment,
    id: VaultId,
    catalog: SharedCatalog,
    /// Opened when it is first needed: the audit log is read, and an attempt at a store that is not
    /// there recorded, without it.
    store: OnceLock<Arc<dyn Store>>,
    custodian: Box<dyn Custodian>,
    /// There from the moment the master secret was opened: every entry after it signs the log.
    audit_head: OnceLock<MacKey>,
    is_writing: AtomicBool,
}

/// The right to write to a vault, as long as it lives.
pub struct Writing<'a> {
    _lock: WriterLock,
    is_writing: &'a AtomicBool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.is_writing.store(false, Ordering::SeqCst);
    }
}

/// The keys of a vault, released for one command.
pub struct Unlocked {
    /// The master secret.
    pub master: MasterSecret,
    /// The commons key.
    pub commons: CommonsKey,
    /// Makes subject references.
    pub references: ReferenceMaker,
    /// Tombstone keys by quarter.
    pub tombstones: Vec<(String, TombstoneKey)>,
    ring: RwLock<KeyRing>,
}

impl Unlocked {
    /// The key ring.
    pub fn ring(&self) -> RwLockReadGuard<'_, KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key ring, to add shards.
    pub fn ring_mut(&self) -> RwLockWriteGuard<'_, KeyRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identity of a backup.
    pub fn backup_identity(&self, row: &BackupRow) -> Result<BackupIdentity, OpsError> {
        let name = KeyName::Backup(row.backup_id.clone());
        let identity = self.ring().unwrap(&name, row.shard_id, &row.wrapped_key)?;
        Ok(BackupIdentity::from_text(&identity)?)
    }
}

/// The object that says whose store this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultMarker {
    /// Always `strongroom vault`.
    pub what: String,
    /// The newest format version that the vault's objects may have.
    pub format_version: u32,
    /// The vault.
    pub vault: VaultId,
}

impl VaultMarker {
    /// The value of `what`.
    pub const WHAT: &'static str = "strongroom vault";
}

impl Vault {
    /// Opens the catalog. Needs no keys.
    pub fn open(places: VaultPlaces, environment: Environment) -> Result<Self, OpsError> {
        let catalog = Catalog::open(&places.catalog)?;
        let id = crate::catalog::vault::read(catalog.connection())?.vault_id;
        let custodian = Box::new(FileCustodian::new(DEFAULT_NAME, &places.custodian));
        let catalog = Arc::new(Mutex::new(catalog));
        let (store, audit_head) = (OnceLock::new(), OnceLock::new());
        let is_writing = AtomicBool::new(false);
        Ok(Self { places, environment, id, catalog, store, custodian, audit_head, is_writing })
    }

    /// The vault's id.
    #[must_use]
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// Where its parts are.
    #[must_use]
    pub fn places(&self) -> &VaultPlaces {
        &self.places
    }

    /// The catalog.
    pub fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalog, for threads of work.
    #[must_use]
    pub fn shared_catalog(&self) -> SharedCatalog {
        Arc::clone(&self.catalog)
    }

    /// The store.
    pub fn store(&self) -> Result<&Arc<dyn Store>, OpsError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = crate::store::open(&self.places.store)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// The custodian.
    #[must_use]
    pub fn custodian(&self) -> &dyn Custodian {
        &*self.custodian
    }

    /// Tells the moment.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// The right to write, for as long as the value lives. `command` is told to whoever comes second.
    pub fn lock_for_writing(&self, command: &str) -> Result<Writing<'_>, OpsError> {
        let lock = WriterLock::acquire(&self.places.catalog, command, self.clock().now())?;
        self.is_writing.store(true, Ordering::SeqCst);
        Ok(Writing { _lock: lock, is_writing: &self.is_writing })
    }

    /// Whether this process holds the writer's lock.
    pub(super) fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::SeqCst)
    }

    /// Writes an audit entry. What it returns is the proof that [`Vault::unlock`] asks for.
    pub fn record(
        &self,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<Recorded, OpsError> {
        let entry = NewEntry {
            at: self.clock().now(),
            actor: &self.environment.who.actor,
            host: &self.environment.who.host,
            action,
            object,
            outcome,
            detail,
        };
        let catalog = self.catalog();
        let connection = catalog.connection();
        if let Some(key) = self.audit_head.get()
            && audit::head_holds(connection, |message, mac| key.verify_message(message, mac))?
        {
            let mac = |message: &[u8]| key.mac_message(message);
            return Ok(audit::record_with_head(connection, &entry, mac)?);
        }
        // A head that does not hold is left as it is, for `audit verify` to find.
        Ok(audit::record(connection, &entry)?)
    }

    /// Lets every entry from now on sign the log: for `init`, whose first entry makes the head.
    pub(super) fn sign_audit_log(&self, master: &MasterSecret) {
        self.audit_head.get_or_init(|| vault_keys::audit_head_key(master, self.id));
    }

    /// Writes an audit entry that closes an access, or notes one that needs no key.
    pub fn note(
        &self,
        action: Action,
        object: &str,
        outcome: Outcome,
        detail: Option<&str>,
    ) -> Result<(), OpsError> {
        self.record(action, object, outcome, detail).map(|_| ())
    }

    /// Checks that the store is this vault's.
    pub async fn check_store(&self) -> Result<(), OpsError> {
        let name: ObjectName = names::VAULT_MARKER.parse()?;
        let store = self.store()?;
        let location = store.location();
        let bytes = match read_whole(&**store, &name).await {
            Ok(bytes) => bytes,
            Err(OpsError::Store(StoreError::NotFound { .. })) => {
                return Err(OpsError::StoreWithoutVault { location });
            }
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<VaultMarker>(&bytes) {
            Ok(marker) if marker.format_version > FORMAT_VERSION => Err(OpsError::NewerStore {
                location,
                found: marker.format_version,
                known: FORMAT_VERSION,
            }),
            Ok(marker) if marker.what == VaultMarker::WHAT && marker.vault == self.id => Ok(()),
            Ok(marker) if marker.what == VaultMarker::WHAT => {
                Err(OpsError::OtherVaultsStore { location, found: marker.vault, expected: self.id })
            }
            _ => Err(OpsError::StoreMarkerDamaged { location }),
        }
    }

    /// Releases the keys. First finishes or undoes a forgetting that a crash interrupted.
    pub fn unlock(&self, credentials: &Credentials, _: &Recorded) -> Result<Unlocked, OpsError> {
        let master = self.open_master(credentials)?;
        forget::recover(self, &master)?;
        self.open_ring(master)
    }

    /// Releases the key that signs the audit log's head, and no other.
    pub fn audit_head_key(
        &self,
        credentials: &Credentials,
        _: &Recorded,
    ) -> Result<&MacKey, OpsError> {
        let master = self.open_master(credentials)?;
        Ok(self.audit_head.get_or_init(|| vault_keys::audit_head_key(&master, self.id)))
    }

    fn open_master(&self, credentials: &Credentials) -> Result<MasterSecret, OpsError> {
        let file = self.places.master.display().to_string();
        let sealed = fs::read(&self.places.master)
            .map_err(|source| KeyError::Io { file: file.clone(), source })?;
        let master = master::open(&sealed, self.id, credentials, &file)?;
        self.sign_audit_log(&master);
        Ok(master)
    }

    fn open_ring(&self, master: MasterSecret) -> Result<Unlocked, OpsError> {
        let ring = self.read_ring(&master)?;
        let catalog = self.catalog();
        let open = |kind: &str| {
            let row = catalog_keys::get(catalog.connection(), kind)?
                .ok_or(OpsError::Bug("the catalog lacks a vault key"))?;
            let (name, _) = vault_keys::name(kind);
            Ok::<_, OpsError>(ring.unwrap(&name, row.shard_id, &row.wrapped_key)?)
        };
        let short = OpsError::Bug("a vault key is not 32 bytes");
        let Some(commons) = CommonsKey::from_slice(&open(kinds::COMMONS)?) else {
            return Err(short);
        };
        let Some(index) = IndexKey::from_slice(&open(kinds::INDEX)?) else { return Err(short) };
        let mut tombstones = Vec::new();
        for row in catalog_keys::all(catalog.connection())? {
            if let Some(quarter) = row.kind.strip_prefix(kinds::TOMBSTONE_PREFIX) {
                let Some(key) = TombstoneKey::from_slice(&open(&row.kind)?) else {
                    return Err(short);
                };
                tombstones.push((quarter.to_owned(), key));
            }
        }
        Ok(Unlocked {
            master,
            commons,
            references: ReferenceMaker::new(&index),
            tombstones,
            ring: RwLock::new(ring),
        })
    }

    /// The ring of the catalog's present epoch.
    pub(super) fn read_ring(&self, master: &MasterSecret) -> Result<KeyRing, OpsError> {
        let (epoch, shards) = self.epoch_and_shards()?;
        let secret = match self.custodian.get(self.id, epoch) {
            Err(error @ KeyError::NoEpochSecret { .. }) => {
                if self.epoch_and_shards()?.0 != epoch {
                    // Another process finished a forgetting between the two looks.
                    return self.read_ring(master);
                }
                return match self.custodian.epochs(self.id)?.pop() {
                    Some(custodian) if custodian > epoch => {
                        Err(OpsError::OldCatalog { catalog: epoch, custodian })
                    }
                    _ => Err(error.into()),
                };
            }
            other => quorum::combine(&[other?])?,
        };
        let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
        Ok(KeyRing::open(self.id, epoch, master, &secret, wrapped)?)
    }

    /// The present epoch and the shards wrapped under it, of one moment.
    fn epoch_and_shards(&self) -> Result<(Epoch, Vec<shards::ShardRow>), OpsError> {
        let catalog = self.catalog();
        let snapshot = catalog.snapshot()?;
        Ok((crate::catalog::vault::read(&snapshot)?.epoch, shards::all(&snapshot)?))
    }
}
