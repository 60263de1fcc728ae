//! The commands of a history, each with stores that fail while it runs, and what it promised.

use std::fs;

use rand::RngExt as _;
use strongroom::base::ids::Epoch;
use strongroom::catalog::backups::BackupClass;
use strongroom::catalog::stores::CopyState;
use strongroom::container::manifest::Contents;
use strongroom::crypto::SecretText;
use strongroom::keys::master::{Protection, kit};
use strongroom::ops::backup::{BackupRequest, LockRules, backup};
use strongroom::ops::erase::{Asked, EraseRequest, erase};
use strongroom::ops::expire::expire;
use strongroom::ops::prune::prune;
use strongroom::ops::recover::{RecoverRequest, Recovered, recover};
use strongroom::ops::restore::{RestoreRequest, restore};
use strongroom::ops::stores;
use strongroom::ops::verify::verify_all;
use strongroom::vault::OpsError;
use strongroom::vault::custody::Quorum;
use strongroom::vault::handle::Vault;
use strongroom::vault::reader::select::Choice;
use strongroom::vault::reasons::Reason;
use strongroom::vault::replica::ReplicaError;

use crate::histories::beginning::{PEOPLE, rows};
use crate::histories::history::{History, Second, environment, progress};
use crate::histories::promises::{backups_in, erasures_in};
use crate::vault::files_below;

/// How often a recovery is tried while stores fail, before they work again.
const RECOVERIES_MAX: u32 = 3;

impl History<'_> {
    /// One command, drawn at random.
    pub async fn step(&mut self) {
        match self.random.random_range(0..16_u32) {
            0..=4 => self.backup().await,
            5 | 6 => self.erase().await,
            7 => self.expire().await,
            8 => {
                let vault = self.rough_vault();
                let done = prune(&vault, false).await;
                self.say("prune", "", done);
            }
            9 | 10 => {
                let verify = self.random.random_bool(0.5);
                let (vault, credentials) = (self.rough_vault(), self.credentials());
                let done = stores::reconcile(&vault, &credentials, None, verify, &progress()).await;
                self.say("reconcile", if verify { " --verify" } else { "" }, done);
            }
            11 => {
                let to = ["near", "far"][self.random.random_range(0..2_usize)];
                let (vault, credentials) = (self.rough_vault(), self.credentials());
                let done =
                    stores::copy_to(&vault, &credentials, &Choice::LATEST, to, &progress()).await;
                self.say("copy", &format!(" to {to}"), done);
            }
            12 => {
                let (vault, credentials) = (self.rough_vault(), self.credentials());
                let done = verify_all(&vault, &credentials, None, None, &progress()).await;
                self.say("verify", "", done.map(|done| done.backups));
            }
            13 | 14 => {
                let complete: Vec<_> = self.promises.complete.iter().cloned().collect();
                if complete.is_empty() {
                    return;
                }
                let id = &complete[self.random.random_range(0..complete.len())];
                let vault = self.rough_vault();
                let done = self.restore(&vault, id).await;
                self.say("restore", &format!(" {id}"), done);
            }
            // What a liar has taken alone is lost with the machine: nobody could know.
            _ if self.second == Second::Liar => {}
            _ => self.lose_the_machine().await,
        }
    }

    async fn backup(&mut self) {
        if self.random.random_bool(0.6) {
            self.moment += 1;
            let person = self.random.random_range(0..PEOPLE);
            self.beginning.write(person, self.moment).await;
        }
        let there = rows(&self.beginning.source.session().await).await;
        let (vault, credentials) = (self.rough_vault(), self.credentials());
        let before = backups_in(&vault);
        let request = BackupRequest {
            source: "main".to_owned(),
            class: BackupClass::Manual,
            note: None,
            contents: Contents::DataOnly,
            jobs: 1,
            memory_bytes: 1 << 20,
            full: false,
            strict: false,
            locks: LockRules::default(),
        };
        let made = backup(&vault, &credentials, &request, &progress()).await;
        for new in backups_in(&vault).difference(&before) {
            let taken = self.promises.take(there.clone());
            self.promises.taken.insert(new.clone(), taken);
        }
        if let Some(report) = self.say("backup", "", made) {
            // What a liar says that it has taken was promised by the liar alone.
            let honest = |name: &str| self.second != Second::Liar || name == "near";
            let mut copies = report.copies.iter();
            if copies.any(|copy| copy.state == CopyState::Complete && honest(&copy.store)) {
                self.promises.complete.insert(report.backup.to_string());
            }
        }
    }

    async fn erase(&mut self) {
        let person = self.random.random_range(0..PEOPLE);
        let old = self.world.path().join("old");
        if self.promises.erased.is_empty() && !old.exists() {
            let machine = self.world.path().join(format!("machine-{}", self.machine));
            fs::create_dir(&old).unwrap();
            for file in files_below(&machine) {
                fs::copy(&file, old.join(file.file_name().unwrap())).unwrap();
            }
        }
        let request = EraseRequest {
            source: "main".to_owned(),
            class: None,
            subjects: vec![Asked { key: SecretText::new(person.to_string()), line: None }],
            skip_unknown: false,
            reason: Reason { case: None, text: "case".to_owned() },
            dry_run: false,
        };
        let (vault, credentials) = (self.rough_vault(), self.credentials());
        let before = erasures_in(&vault);
        let done = erase(&vault, &credentials, &request, |_| true).await;
        // It may have been committed, and then something failed.
        if erasures_in(&vault) > before {
            self.promises.erased.push(person);
        }
        if let Some(report) = self.say("erase", &format!(" {person}"), done) {
            assert_eq!(self.promises.erased.last(), Some(&person), "{}", self.story());
            if report.state == "confirmed" {
                self.promises.confirmed = self.promises.erased.len();
                self.promises.dead_epochs.insert(report.epoch_before);
            }
        }
    }

    async fn expire(&mut self) {
        let Some(id) = self.promises.complete.first().cloned() else { return };
        let (vault, credentials) = (self.rough_vault(), self.credentials());
        let done = expire(&vault, &credentials, &[id.parse().unwrap()], |_| true).await;
        let done = self.say("expire", &format!(" {id}"), done);
        if done.is_some() || !backups_in(&vault).contains(&id) {
            self.promises.complete.remove(&id);
            self.promises.given_up.insert(id.clone());
        }
        if done.is_some_and(|report| report.state == "confirmed") {
            self.promises.expired.insert(id);
        }
    }

    /// Restores a backup. What arrives is right, and whole if it was done.
    pub async fn restore(&mut self, vault: &Vault, id: &str) -> Result<(), OpsError> {
        self.beginning.empty_target().await;
        let request = RestoreRequest {
            backup: id.parse().unwrap(),
            target: self.beginning.target.settings(),
            create: false,
            tables: Vec::new(),
            contents: Contents::DataOnly,
            no_owner: true,
            no_privileges: true,
            jobs: 1,
            on_gone: std::collections::BTreeMap::new(),
            into_non_empty: false,
            salvage: false,
            no_tablespaces: false,
            open: false,
        };
        let restored = restore(vault, &self.credentials(), &request, &progress()).await;
        let found = rows(&self.beginning.target.session().await).await;
        let expected = self.promises.rows(id);
        if restored.is_ok() {
            assert_eq!(found, expected, "{id}\n{}", self.story());
        }
        for (person, rows) in &found {
            let right =
                |row: &String| expected.get(person).is_some_and(|right| right.contains(row));
            assert!(rows.iter().all(right), "{id}: {person}: {rows:?}\n{}", self.story());
        }
        restored.map(|_| ())
    }

    /// The machine burns with everything on it; another one takes over from the stores.
    async fn lose_the_machine(&mut self) {
        for tried in 0.. {
            let machine = self.machine + 1;
            if tried < RECOVERIES_MAX {
                self.rough();
            } else {
                self.calm();
            }
            let mut recovered = self.recover(machine, None).await;
            if let Err(OpsError::Replica(ReplicaError::Rollback { epoch, .. })) = &recovered {
                // A forgetting was cut off before any store knew of it. Its epoch holds nothing.
                let epoch = *epoch;
                assert!(!self.promises.dead_epochs.contains(&epoch), "{}", self.story());
                self.say("recover", "", recovered);
                recovered = self.recover(machine, Some(epoch)).await;
            }
            if let Some(recovered) = self.say("recover", "", recovered) {
                self.machine = machine;
                let story = self.story();
                self.promises.hold_against(recovered.vault(), &story);
                let went_on = recovered.go_on().await;
                self.say("recover: go on", "", went_on);
                return;
            }
            assert!(tried <= RECOVERIES_MAX, "{}", self.story());
            // Whoever tries again begins anew.
            let _ = fs::remove_dir_all(self.world.path().join(format!("machine-{machine}")));
        }
    }

    /// Recovers the vault on another machine.
    pub async fn recover(&self, machine: u32, epoch: Option<Epoch>) -> Result<Recovered, OpsError> {
        let kit = fs::read(self.world.path().join("kit.txt")).unwrap();
        let kit = kit::read(&kit).unwrap();
        let places = self.vault_places(machine);
        let custodians: Vec<_> = places.custodians.iter().map(|one| one.open().unwrap()).collect();
        let recipient = fs::read_to_string(self.world.path().join("recipient")).unwrap();
        recover(RecoverRequest {
            places,
            environment: environment(),
            vault: kit.vault,
            master: kit.master,
            protection: Protection::recipients(&[recipient]).unwrap(),
            epochs: &Quorum { vault: kit.vault, custodians: &custodians },
            epoch,
        })
        .await
    }
}
