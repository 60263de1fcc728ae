//! What a vault is opened with: where its parts are, and what a command works with besides it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::Who;
use crate::base::clock::Clock;
use crate::catalog::backups::BackupClass;
use crate::keys::custodians::settings::CustodianSettings;
use crate::store::Tell;

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
