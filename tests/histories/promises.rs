//! What a history's commands promised, as far as their reports and the catalog tell.

use std::collections::{BTreeMap, BTreeSet};

use strongroom::catalog::backups::{self, BackupFilter};
use strongroom::ids::Epoch;
use strongroom::ops::vault::Vault;

use crate::beginning::Rows;

/// What was promised so far.
#[derive(Default)]
pub struct Promises {
    /// What was in the source when a backup was made, but for people who were forgotten by then; of
    /// every backup that the catalog ever had.
    pub taken: BTreeMap<String, Rows>,
    /// Backups that were called complete, and that nobody asked to expire.
    pub complete: BTreeSet<String>,
    /// Backups whose expiry was called confirmed.
    pub expired: BTreeSet<String>,
    /// Backups that somebody asked to expire, whatever came of it.
    pub given_up: BTreeSet<String>,
    /// People who are erased, in the order in which it was committed.
    pub erased: Vec<i64>,
    /// How many of them were called confirmed.
    pub confirmed: usize,
    /// The epochs whose secrets must be gone.
    pub dead_epochs: BTreeSet<Epoch>,
}

impl Promises {
    /// The rows of a backup that must restore now.
    pub fn rows(&self, backup: &str) -> Rows {
        let mut rows = self.taken[backup].clone();
        rows.retain(|person, _| !self.erased.contains(person));
        rows
    }

    /// Holds the catalog that a recovery made against what was promised; what was not may be undone.
    pub fn hold_against(&mut self, vault: &Vault, told: &str) {
        let found = backups_in(vault);
        for backup in &self.complete {
            assert!(found.contains(backup), "{backup} was complete and is lost\n{told}");
        }
        for backup in &self.expired {
            assert!(!found.contains(backup), "{backup} had expired and is back\n{told}");
        }
        let erased = erasures_in(vault);
        assert!(erased >= self.confirmed, "{erased} of {} erasures\n{told}", self.confirmed);
        self.erased.truncate(erased);
    }
}

/// The backups that the catalog has.
pub fn backups_in(vault: &Vault) -> BTreeSet<String> {
    let rows = backups::list(vault.catalog().connection(), &BackupFilter::default()).unwrap();
    rows.into_iter().map(|row| row.backup_id.to_string()).collect()
}

/// How many people the catalog has erased.
pub fn erasures_in(vault: &Vault) -> usize {
    strongroom::catalog::erasures::list(vault.catalog().connection()).unwrap().len()
}
