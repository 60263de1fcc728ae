//! A vault as a command holds it: its places opened, its keys released only against an audit entry.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::stores::{self, StoreSettings, Stores};
use super::{OpsError, custody, forget, replica};
use crate::audit::{self, Action, NewEntry, Outcome, Recorded, Who};
use crate::base::clock::{Clock, timestamp};
use crate::base::ids::{Epoch, VaultId};
use crate::catalog::Transaction;
use crate::catalog::backups::BackupRow;
use crate::catalog::custody::{self as custody_rows, ShareSetRow};
use crate::catalog::shards::{self, ShardRow};
use crate::catalog::{Catalog, WriterLock, vault_keys as catalog_keys};
use crate::container::age_file::BackupIdentity;
use crate::crypto::kdf::MacKey;
use crate::keys::custodians::Custodian;
use crate::keys::custodians::settings::CustodianSettings;
use crate::keys::master::{self, Credentials};
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::vault_keys::{CommonsKey, IndexKey, ReferenceMaker, TombstoneKey, kinds};
use crate::keys::{KeyError, MasterSecret, vault_keys};
use crate::store::Tell;
use chrono::TimeDelta;

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
    /// Who can hold shares of the epoch secret. Who does is the catalog's to know.
    pub custodians: Vec<CustodianSettings>,
    /// The stores, the nearest first; at least one.
    pub stores: Vec<StoreSettings>,
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
    /// Where one-sentence warnings go that do not end a command.
    pub warn: Tell,
    /// Where warnings go that somebody must look at: the command ends as one that needs attention.
    pub alert: Tell,
}

/// A vault whose catalog is open, and whose keys are not released.
pub struct Vault {
    places: VaultPlaces,
    environment: Environment,
    id: VaultId,
    catalog: SharedCatalog,
    stores: Stores,
    custodians: Vec<Box<dyn Custodian>>,
    /// There from the moment the master secret was opened: every entry after it signs the log.
    audit_head: RwLock<Option<Arc<MacKey>>>,
    unlocked: RwLock<Option<Arc<Unlocked>>>,
    is_writing: AtomicBool,
    clock_was_checked: AtomicBool,
}

/// The right to write to a vault, as long as it lives.
pub struct Writing<'a> {
    /// Nothing where this is a part of what the process is writing already.
    lock: Option<WriterLock>,
    is_writing: &'a AtomicBool,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.lock.is_some() {
            self.is_writing.store(false, Ordering::SeqCst);
        }
    }
}

/// The keys of a vault, released for one command.
pub struct Unlocked {
    master: RwLock<MasterSecret>,
    /// The commons key for what is sealed from now on.
    pub commons: CommonsKey,
    /// The kind under which the catalog has it.
    pub commons_kind: String,
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

    /// The master secret.
    pub fn master(&self) -> RwLockReadGuard<'_, MasterSecret> {
        self.master.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with another master secret, whose epoch has begun.
    pub(crate) fn replace_master(&self, master: &MasterSecret) {
        if let Some(copy) = MasterSecret::from_slice(master.expose()) {
            *self.master.write().unwrap_or_else(PoisonError::into_inner) = copy;
        }
    }

    /// The identity of a backup.
    pub fn backup_identity(&self, row: &BackupRow) -> Result<BackupIdentity, OpsError> {
        let name = KeyName::Backup(row.backup_id.clone());
        let identity = self.ring().unwrap(&name, row.shard_id, &row.wrapped_key)?;
        Ok(BackupIdentity::from_text(&identity)?)
    }
}

/// A vault that was begun in this moment, with its keys at hand for the recovery kit.
pub struct Begun {
    /// The vault.
    pub vault: Vault,
    pub(crate) unlocked: Arc<Unlocked>,
}

impl Vault {
    /// Opens the catalog. Needs no keys.
    pub fn open(places: VaultPlaces, environment: Environment) -> Result<Self, OpsError> {
        let catalog = Catalog::open(&places.catalog)?;
        let id = crate::catalog::vault::read(catalog.connection())?.vault_id;
        let custodians =
            places.custodians.iter().map(CustodianSettings::open).collect::<Result<_, _>>()?;
        let stores = Stores::new(&places.stores);
        let vault = Self {
            places,
            environment,
            id,
            catalog: Arc::new(Mutex::new(catalog)),
            stores,
            custodians,
            audit_head: RwLock::new(None),
            unlocked: RwLock::new(None),
            is_writing: AtomicBool::new(false),
            clock_was_checked: AtomicBool::new(false),
        };
        forget::take_its_place(&vault)?;
        Ok(vault)
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

    /// The stores.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// A custodian by its name in the configuration.
    pub fn custodian(&self, name: &str) -> Result<&dyn Custodian, KeyError> {
        self.custodians().find(|custodian| custodian.name() == name).ok_or_else(|| {
            KeyError::Unreachable {
                custodian: name.to_owned(),
                reason: "the configuration has no custodian of that name".to_owned(),
            }
        })
    }

    /// All custodians of the configuration.
    pub fn custodians(&self) -> impl Iterator<Item = &dyn Custodian> {
        self.custodians.iter().map(|custodian| &**custodian)
    }

    /// Tells the user something that does not end the command.
    pub fn warn(&self, sentence: &str) {
        (self.environment.warn)(sentence);
    }

    /// Tells the user something that does not end the command, and that somebody must look at.
    pub fn alert(&self, sentence: &str) {
        (self.environment.alert)(sentence);
    }

    /// Who tells the user, for what works on beside the vault.
    #[must_use]
    pub fn teller(&self) -> Tell {
        Arc::clone(&self.environment.warn)
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
        Ok(Writing { lock: Some(lock), is_writing: &self.is_writing })
    }

    /// The right to finish what a crash interrupted: this process's own, if it writes already, and
    /// else one that is taken for it.
    pub(crate) fn lock_for_recovery(&self) -> Result<Writing<'_>, OpsError> {
        if self.is_writing() {
            return Ok(Writing { lock: None, is_writing: &self.is_writing });
        }
        self.lock_for_writing("recovery of a forgetting")
    }

    /// Whether this process holds the writer's lock.
    pub(crate) fn is_writing(&self) -> bool {
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
        self.check_clock()?;
        let entry = NewEntry {
            at: self.clock().now(),
            actor: &self.environment.who.actor,
            host: &self.environment.who.host,
            action,
            object,
            outcome,
            detail,
        };
        let key = self.audit_head.read().unwrap_or_else(PoisonError::into_inner).clone();
        let catalog = self.catalog();
        let connection = catalog.connection();
        if let Some(key) = key
            && audit::head_holds(connection, |message, mac| key.verify_message(message, mac))?
        {
            let mac = |message: &[u8]| key.mac_message(message);
            return Ok(audit::record_with_head(connection, &entry, mac)?);
        }
        // A head that does not hold is left as it is, for `audit verify` to find.
        Ok(audit::record(connection, &entry)?)
    }

    /// Warns once where the clock stands before the newest entry. Nothing depends on it but what
    /// people read: the order of things is the order of epochs and entries.
    fn check_clock(&self) -> Result<(), OpsError> {
        const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
        if self.clock_was_checked.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let newest = audit::newest_at(self.catalog().connection())?;
        let now = self.clock().now();
        if let Some(newest) = newest.filter(|newest| now + TOLERANCE < *newest) {
            self.warn(&format!(
                "the clock stands at {}, before the newest entry of the audit log ({}); nothing is \
                 lost, but the moments written now will mislead: set the clock",
                timestamp(now),
                timestamp(newest)
            ));
        }
        Ok(())
    }

    /// Lets every entry from now on sign the log: for `init`, whose first entry makes the head.
    pub(crate) fn sign_audit_log(&self, master: &MasterSecret) {
        let mut key = self.audit_head.write().unwrap_or_else(PoisonError::into_inner);
        key.get_or_insert_with(|| Arc::new(vault_keys::audit_head_key(master, self.id)));
    }

    /// Signs from now on with a key of another master secret.
    pub(crate) fn replace_audit_head_key(&self, master: &MasterSecret) {
        let key = Arc::new(vault_keys::audit_head_key(master, self.id));
        *self.audit_head.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// Signs the head anew under a key of another master secret, as a part of the transaction that
    /// replaces it. A head that does not hold is left as it is, for `audit verify` to find.
    pub(crate) fn move_audit_head(
        &self,
        transaction: &Transaction<'_>,
        master: &MasterSecret,
    ) -> Result<(), OpsError> {
        let old = self.audit_head.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(old) = old else { return Ok(()) };
        if audit::head_holds(transaction, |message, mac| old.verify_message(message, mac))? {
            let new = vault_keys::audit_head_key(master, self.id);
            audit::seal_head_in(transaction, |message| new.mac_message(message))?;
        }
        Ok(())
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

    /// Checks that every store that can be reached is this vault's, and that one can be.
    pub async fn check_store(&self) -> Result<(), OpsError> {
        stores::check_all(self).await?;
        // Whoever only reads may do so from a catalog that another machine has overtaken.
        if self.is_writing() { replica::ensure_newest(self).await } else { Ok(()) }
    }

    /// Releases the keys. Then finishes or undoes a forgetting that a crash interrupted, and
    /// destroys shares whose custodians could not be reached before.
    pub async fn unlock(
        &self,
        credentials: &Credentials,
        _: &Recorded,
    ) -> Result<Arc<Unlocked>, OpsError> {
        let master = self.open_master(credentials)?;
        let mut unlocked = Arc::new(self.open_ring(master)?);
        let epoch = unlocked.ring().epoch();
        for sentence in custody::returned::notice(self)? {
            self.alert(&sentence);
        }
        for sentence in forget::recover(self, &unlocked).await? {
            self.warn(&format!("an erasure or expiry is still provisional: {sentence}"));
        }
        for sentence in custody::returned::left(self)? {
            self.alert(&sentence);
        }
        if self.epoch_and_shards()?.0 != epoch {
            // Another process began an epoch meanwhile.
            let master = MasterSecret::from_slice(unlocked.master().expose());
            let master = master.ok_or(OpsError::Bug("the master secret is not 32 bytes"))?;
            unlocked = Arc::new(self.open_ring(master)?);
        }
        *self.unlocked.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::clone(&unlocked));
        Ok(unlocked)
    }

    /// The keys of a vault that was made or recovered just now.
    pub(crate) fn unlock_new(&self, master: MasterSecret) -> Result<Arc<Unlocked>, OpsError> {
        self.sign_audit_log(&master);
        Ok(Arc::new(self.open_ring(master)?))
    }

    /// The keys, if this command released them.
    pub(crate) fn unlocked(&self) -> Option<Arc<Unlocked>> {
        self.unlocked.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Releases the key that signs the audit log's head, and no other.
    pub fn audit_head_key(
        &self,
        credentials: &Credentials,
        _: &Recorded,
    ) -> Result<Arc<MacKey>, OpsError> {
        let master = self.open_master(credentials)?;
        let key = self.audit_head.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(key.unwrap_or_else(|| Arc::new(vault_keys::audit_head_key(&master, self.id))))
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
        &self,
        unlocked: &Unlocked,
        kind: &str,
    ) -> Result<CommonsKey, OpsError> {
        let row = catalog_keys::get(self.catalog().connection(), kind)?
            .ok_or(OpsError::Bug("the catalog lacks a commons key"))?;
        let (name, _) = vault_keys::name(kind);
        let key = unlocked.ring().unwrap(&name, row.shard_id, &row.wrapped_key)?;
        CommonsKey::from_slice(&key).ok_or(OpsError::Bug("a vault key is not 32 bytes"))
    }

    /// The ring of the catalog's present epoch.
    pub(crate) fn read_ring(&self, master: &MasterSecret) -> Result<KeyRing, OpsError> {
        let (epoch, shards, set) = self.epoch_and_shards()?;
        let secret = match custody::read_secret(self, &set) {
            Ok(secret) => secret,
            Err(error) => {
                if self.epoch_and_shards()?.0 != epoch {
                    // Another process finished a forgetting between the two looks.
                    return self.read_ring(master);
                }
                return match custody::newest_epoch(self)? {
                    Some(custodian) if custodian > epoch => {
                        Err(OpsError::OldCatalog { catalog: epoch, custodian })
                    }
                    _ => Err(error),
                };
            }
        };
        let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
        Ok(KeyRing::open(self.id, epoch, master, &secret, wrapped)?)
    }

    /// The present epoch, the shards wrapped under it and who holds its secret, of one moment.
    fn epoch_and_shards(&self) -> Result<(Epoch, Vec<ShardRow>, ShareSetRow), OpsError> {
        let catalog = self.catalog();
        let snapshot = catalog.snapshot()?;
        let epoch = crate::catalog::vault::read(&snapshot)?.epoch;
        Ok((epoch, shards::all(&snapshot)?, custody_rows::present(&snapshot)?))
    }
}
