//! The stores of a vault: an ordered list, the nearest first, each for some classes of backups.
//!
//! A backup is written to the first store of its class that can be reached and then copied to the
//! others ([`copy`]). What is read comes from the nearest copy that authenticates ([`Copies`]). A store
//! that cannot be reached stops nothing as long as another can; `ops::stores` brings it up to date later.

pub mod copy;
mod read;
mod ready;
pub mod route;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use read::{Attempts, Copies};
pub(crate) use ready::expect_marker;
pub use ready::{check_all, ready};

use super::OpsError;
use super::settings::StoreSettings;
use crate::base::ids::VaultId;
use crate::catalog::Catalog;
use crate::catalog::stores::{self as rows, StoreRow};
use crate::store::{Capabilities, Store, Tell};

/// A store that was opened, with its name.
#[derive(Clone)]
pub struct NamedStore {
    /// Its name in the configuration.
    pub name: String,
    /// The store.
    pub store: Arc<dyn Store>,
}

/// Whether a store can be used by this command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has looked.
    Unknown,
    /// Its marker is this vault's.
    Ready,
    /// It cannot be reached, or is not this vault's yet: why, as a sentence.
    Away(String),
}

/// All stores of a vault.
pub struct Stores {
    pub(crate) all: Vec<OneStore>,
    catalog: Arc<Mutex<Catalog>>,
    vault: VaultId,
    warn: Tell,
    /// Whether no store refused to remove something before.
    first_refusal: AtomicBool,
}

pub(crate) struct OneStore {
    pub(crate) settings: StoreSettings,
    /// Opened when it is first needed: the audit log is read, and an attempt at a store that is not
    /// there recorded, without it.
    opened: OnceLock<Arc<dyn Store>>,
    standing: Mutex<Standing>,
}

impl OneStore {
    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found of a store, as the catalog keeps it.
pub(crate) fn row_of(
    settings: &StoreSettings,
    capabilities: &Capabilities,
) -> Result<StoreRow, OpsError> {
    Ok(StoreRow {
        store: settings.name.clone(),
        location: place_of(settings),
        capabilities: serde_json::to_string(capabilities)
            .map_err(|_| OpsError::Bug("what a store can do is no JSON"))?,
        checked_at: capabilities.probed_at,
    })
}

/// A store's place for the catalog: its URL without parameters, which may name files of this machine.
pub(crate) fn place_of(settings: &StoreSettings) -> String {
    settings.url.split('?').next().unwrap_or_default().to_owned()
}

impl Stores {
    /// The stores of a configuration, none of them opened.
    #[must_use]
    pub fn new(
        settings: &[StoreSettings],
        catalog: Arc<Mutex<Catalog>>,
        vault: VaultId,
        warn: Tell,
    ) -> Self {
        let one = |settings: &StoreSettings| OneStore {
            settings: settings.clone(),
            opened: OnceLock::new(),
            standing: Mutex::new(Standing::Unknown),
        };
        let all = settings.iter().map(one).collect();
        Self { all, catalog, vault, warn, first_refusal: AtomicBool::new(true) }
    }

    /// Opens one, knowing what an earlier look at this very place found.
    pub(crate) fn open(&self, one: &OneStore) -> Result<NamedStore, OpsError> {
        let name = one.settings.name.clone();
        if let Some(store) = one.opened.get() {
            return Ok(NamedStore { name, store: Arc::clone(store) });
        }
        let known = self.known(&one.settings)?;
        let (url, tell) = (&one.settings.url, Arc::clone(&self.warn));
        let store = crate::store::open_telling(url, known.as_ref(), tell)?;
        Ok(NamedStore { name, store: Arc::clone(one.opened.get_or_init(|| store)) })
    }

    /// What an earlier look at the store of that name found, if it was at the same place.
    pub(crate) fn known_of(&self, name: &str) -> Result<Option<Capabilities>, OpsError> {
        match self.all.iter().find(|one| one.settings.name == name) {
            Some(one) => self.known(&one.settings),
            None => Ok(None),
        }
    }

    /// What an earlier look at a store found, if it was at the same place.
    fn known(&self, settings: &StoreSettings) -> Result<Option<Capabilities>, OpsError> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows::store(catalog.connection(), &settings.name)?;
        let row = row.filter(|row| row.location == place_of(settings));
        Ok(row.and_then(|row| serde_json::from_str(&row.capabilities).ok()))
    }

    /// Whether no store refused to remove something before: a command tells it once.
    #[must_use]
    pub fn is_first_refusal(&self) -> bool {
        self.first_refusal.swap(false, Ordering::Relaxed)
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Why a store is not used, if it is known to be away.
    #[must_use]
    pub fn away(&self) -> Vec<(String, String)> {
        let away = |one: &OneStore| match &*one.standing() {
            Standing::Away(reason) => Some((one.settings.name.clone(), reason.clone())),
            _ => None,
        };
        self.all.iter().filter_map(away).collect()
    }

    /// Notes that a store has failed for good: nothing more of this command goes there.
    pub fn lost(&self, name: &str, reason: &str) {
        for one in self.all.iter().filter(|one| one.settings.name == name && self.are_several()) {
            *one.standing() = Standing::Away(reason.to_owned());
        }
    }
}
