//! The stores of a vault: an ordered list, the nearest first, each for some classes of backups.
//!
//! A backup is written to the first store of its class that can be reached and then copied to the
//! others ([`copy`]). What is read comes from the nearest copy that authenticates ([`Copies`]). A store
//! that cannot be reached stops nothing as long as another can; `ops::stores` brings it up to date later.

pub mod copy;
mod read;
mod ready;
pub mod route;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use read::{Attempts, Copies};
pub(crate) use ready::expect_marker;
pub use ready::{check_all, ready};

use super::OpsError;
use super::handle::Vault;
use crate::catalog::backups::BackupClass;
use crate::catalog::stores::{self as rows, StoreRow};
use crate::store::{Capabilities, Store};

/// The name of the store of a configuration that names none.
pub const DEFAULT_NAME: &str = "main";

/// One store, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its name: 1 to 31 lower-case letters, digits and hyphens.
    pub name: String,
    /// What [`crate::store::open`] opens.
    pub url: String,
    /// The classes of backups that go there; empty for all.
    pub classes: Vec<BackupClass>,
}

impl StoreSettings {
    /// The only store of a vault: for every class.
    #[must_use]
    pub fn main(url: impl Into<String>) -> Self {
        Self { name: DEFAULT_NAME.to_owned(), url: url.into(), classes: Vec::new() }
    }

    /// Whether backups of that class go there.
    #[must_use]
    pub fn takes(&self, class: BackupClass) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }
}

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
pub struct Stores(pub(crate) Vec<OneStore>);

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

    /// Opens it, knowing what an earlier look at this very place found.
    pub(crate) fn open(&self, vault: &Vault) -> Result<NamedStore, OpsError> {
        let name = self.settings.name.clone();
        if let Some(store) = self.opened.get() {
            return Ok(NamedStore { name, store: Arc::clone(store) });
        }
        let known = known(vault, &self.settings)?;
        let url = &self.settings.url;
        let store = crate::store::open_telling(url, known.as_ref(), vault.teller())?;
        Ok(NamedStore { name, store: Arc::clone(self.opened.get_or_init(|| store)) })
    }
}

/// What an earlier look at a store found, if it was at the same place.
fn known(vault: &Vault, settings: &StoreSettings) -> Result<Option<Capabilities>, OpsError> {
    let row = rows::store(vault.catalog().connection(), &settings.name)?;
    let row = row.filter(|row| row.location == place_of(settings));
    Ok(row.and_then(|row| serde_json::from_str(&row.capabilities).ok()))
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
    pub fn new(settings: &[StoreSettings]) -> Self {
        let one = |settings: &StoreSettings| OneStore {
            settings: settings.clone(),
            opened: OnceLock::new(),
            standing: Mutex::new(Standing::Unknown),
        };
        Self(settings.iter().map(one).collect())
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Why a store is not used, if it is known to be away.
    #[must_use]
    pub fn away(&self) -> Vec<(String, String)> {
        let away = |one: &OneStore| match &*one.standing() {
            Standing::Away(reason) => Some((one.settings.name.clone(), reason.clone())),
            _ => None,
        };
        self.0.iter().filter_map(away).collect()
    }

    /// Notes that a store has failed for good: nothing more of this command goes there.
    pub fn lost(&self, name: &str, reason: &str) {
        for one in self.0.iter().filter(|one| one.settings.name == name && self.are_several()) {
            *one.standing() = Standing::Away(reason.to_owned());
        }
    }
}
