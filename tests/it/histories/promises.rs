//! What a history's commands promised, as far as their reports and the catalog tell.

use std::collections::{BTreeMap, BTreeSet};

use strongroom::base::ids::Epoch;
use strongroom::catalog::backups::{self, BackupFilter};
use strongroom::vault::handle::Vault;

use crate::histories::beginning::Rows;

/// What a backup took.
pub struct Taken {
    /// The rows.
    pub rows: Rows,
    /// How many erasures there were before it.
    pub erasures: usize,
}

/// What was promised so far.
#[derive(Default)]
pub struct Promises {
    /// What is in each backup that the catalog ever had.
    pub taken: BTreeMap<String, Taken>,
    /// Backups that were called complete, and that nobody asked to expire.
    pub complete: BTreeSet<String>,
    /// Backups whose expiry was called confirmed.
    pub expired: BTreeSet<String>,
    /// Backups that somebody asked to expire, whatever came of it.
    pub given_up: BTreeSet<String>,
    /// People who were erased, in the order in which it was committed.
    pub erased: Vec<i64>,
    /// How many of them were called confirmed.
    pub confirmed: usize,
    /// The epochs whose secrets must be gone.
    pub dead_epochs: BTreeSet<Epoch>,
}

impl Promises {
    /// The rows that a backup takes now: erased people stay out, whatever expired since.
    pub fn take(&self, mut rows: Rows) -> Taken {
        rows.retain(|person, _| !self.erased.contains(person));
        Taken { rows, erasures: self.erased.len() }
    }

    /// The rows of a backup that must restore now: not those of people erased after it.
    pub fn rows(&self, backup: &str) -> Rows {
        let taken = &self.taken[backup];
        let gone = self.erased.get(taken.erasures..).unwrap_or_default();
        let mut rows = taken.rows.clone();
        rows.retain(|person, _| !gone.contains(person));
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
