//! The end of a history: stores that work again, everything brought up to date, and all of it looked
//! at; then one store and the machine are lost, and what is left must do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use rand::RngExt as _;
use strongroom::base::ids::BackupId;
use strongroom::catalog::stores::CopyState;
use strongroom::catalog::{backups, packs};
use strongroom::container::names;
use strongroom::ops::expire::expire;
use strongroom::ops::prune::prune;
use strongroom::ops::stores;
use strongroom::ops::verify::{CopyHealth, verify_all};
use strongroom::store::Store;
use strongroom::vault::custody::{EpochSecrets as _, Quorum};
use strongroom::vault::handle::Vault;
use strongroom::vault::replica;

use crate::histories::history::{History, Second, environment, progress};
use crate::histories::promises::backups_in;

impl History<'_> {
    /// Brings everything up to date, and holds it against what was promised.
    pub async fn end(&mut self) {
        let vault = self.calm_vault();
        self.give_up(&vault).await;
        self.reconcile(&vault).await;
        prune(&vault, false).await.unwrap();
        self.examine(&vault).await;
        self.nothing_else_is_left(&vault).await;
        self.nothing_forgotten_opens(&vault).await;
        drop(vault);
        self.one_store_is_enough().await;
    }

    /// Expires what somebody asked to expire, and what only a liar ever had.
    async fn give_up(&mut self, vault: &Vault) {
        let credentials = self.credentials();
        let done = stores::reconcile(vault, &credentials, None, true, &progress()).await.unwrap();
        let complete = done.stores.iter().all(|store| store.state == CopyState::Complete);
        let mut given_up: BTreeSet<String> =
            backups_in(vault).intersection(&self.promises.given_up).cloned().collect();
        if self.second == Second::Liar && !complete {
            let reports =
                verify_all(vault, &credentials, None, None, &progress()).await.unwrap().backups;
            let damaged = reports.iter().filter(|report| !report.intact);
            given_up.extend(damaged.map(|report| report.backup.to_string()));
        }
        for id in &given_up {
            assert!(!self.promises.complete.contains(id), "{id}: {done:?}\n{}", self.story());
        }
        if !given_up.is_empty() {
            let given_up: Vec<String> = given_up.into_iter().collect();
            let choices: Vec<_> = given_up.iter().map(|id| id.parse().unwrap()).collect();
            let done = expire(vault, &credentials, &choices, |_| true).await.unwrap();
            assert_eq!(done.state, "confirmed", "{done:?}\n{}", self.story());
            self.promises.expired.extend(given_up);
        }
    }

    async fn reconcile(&mut self, vault: &Vault) {
        let credentials = self.credentials();
        let done = stores::reconcile(vault, &credentials, None, true, &progress()).await.unwrap();
        for store in &done.stores {
            assert_eq!(store.state, CopyState::Complete, "{store:?}\n{}", self.story());
        }
    }

    /// Every backup that there is is whole in every store, and none is lost.
    async fn examine(&self, vault: &Vault) {
        let reports =
            verify_all(vault, &self.credentials(), None, None, &progress()).await.unwrap().backups;
        let mut seen = BTreeSet::new();
        for report in &reports {
            assert!(report.intact, "{report:?}\n{}", self.story());
            let mut copies = report.copies.iter();
            assert!(copies.all(|copy| copy.state == CopyHealth::Intact), "{report:?}");
            let id = report.backup.to_string();
            let count = |rows: &crate::histories::beginning::Rows| {
                rows.values().map(Vec::len).sum::<usize>()
            };
            let (all, left) =
                (count(&self.promises.taken[&id].rows), count(&self.promises.rows(&id)));
            let found = (report.rows + report.rows_forgotten, report.rows);
            assert_eq!(found, (all as u64, left as u64), "{report:?}\n{}", self.story());
            seen.insert(id);
        }
        assert!(self.promises.complete.is_subset(&seen), "{seen:?}\n{}", self.story());
        assert!(self.promises.expired.is_disjoint(&seen), "{seen:?}\n{}", self.story());
    }

    /// Each store holds what the catalog needs, the same in both, and nothing else.
    async fn nothing_else_is_left(&self, vault: &Vault) {
        let again = prune(vault, true).await.unwrap();
        assert!(again.objects.is_empty(), "{again:?}\n{}", self.story());
        let needed = needed(vault);
        let mut contents = Vec::new();
        for place in &self.places {
            let found = contents_of(&place.inner).await;
            assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), needed, "{}", self.story());
            assert_eq!(place.inner.leftovers().await.unwrap(), [], "{}", self.story());
            let mut old = place.inner.old_versions("").await.unwrap();
            old.retain(|version| needed.contains(version.name.as_str()));
            assert_eq!(old, [], "{}", self.story());
            contents.push(found);
        }
        // Of the catalog's replica, a liar may have wrong bytes where nothing is any more.
        let same = self.second == Second::Liar || contents[0] == contents[1];
        assert!(same, "the stores differ\n{}", self.story());
    }

    /// Every erasure is final, and a copy of the catalog from before the first one opens nothing.
    async fn nothing_forgotten_opens(&self, vault: &Vault) {
        let erasures = strongroom::catalog::erasures::list(vault.catalog().connection()).unwrap();
        assert_eq!(erasures.len(), self.promises.erased.len(), "{}", self.story());
        let mut dead = self.promises.dead_epochs.clone();
        for erasure in &erasures {
            assert!(erasure.confirmed_at.is_some(), "{erasure:?}\n{}", self.story());
            dead.insert(erasure.erasure.epoch_before);
        }
        let places = self.vault_places(self.machine);
        let custodians: Vec<_> = places.custodians.iter().map(|one| one.open().unwrap()).collect();
        let held = Quorum { vault: vault.id(), custodians: &custodians }.epochs().unwrap();
        assert!(held.iter().all(|epoch| !dead.contains(epoch)), "{held:?}\n{}", self.story());
        let old = self.world.path().join("old");
        if !erasures.is_empty() {
            let mut places = self.vault_places(self.machine);
            (places.catalog, places.master) = (old.join("catalog.sqlite"), old.join("master.age"));
            let old = Vault::open(places, environment()).unwrap();
            let opened = verify_all(&old, &self.credentials(), None, None, &progress()).await;
            let opened = opened.map(|all| all.backups);
            assert!(opened.is_err(), "{opened:?}\n{}", self.story());
        }
    }

    /// One store and the machine are lost. What is left is recovered, and restores row by row.
    async fn one_store_is_enough(&mut self) {
        let left = self.random.random_range(0..2_usize);
        self.places = vec![self.places.swap_remove(left)];
        self.calm();
        self.machine += 1;
        let recovered = self.recover(self.machine, None).await.unwrap();
        let story = self.story();
        self.promises.hold_against(recovered.vault(), &story);
        recovered.go_on().await.unwrap();
        drop(recovered);
        let vault = self.calm_vault();
        for id in self.promises.complete.clone() {
            self.restore(&vault, &id).await.unwrap();
        }
        fs::remove_dir_all(self.world.path().join("spill")).unwrap();
    }
}

/// The names of all objects that a vault's stores must hold.
fn needed(vault: &Vault) -> BTreeSet<String> {
    let backups = backups_in(vault);
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let mut needed = replica::needed_names(connection).unwrap();
    needed.insert(names::VAULT_MARKER.to_owned());
    for id in backups {
        let id: BackupId = id.parse().unwrap();
        needed.insert(names::manifest(&id));
        let layers = backups::layers_of(connection, &id).unwrap();
        needed.extend(layers.iter().map(names::index));
        let packs = packs::of_backup(connection, &id).unwrap();
        needed.extend(packs.into_iter().map(|pack| names::pack(pack.pack_id)));
    }
    needed
}

async fn contents_of(store: &Arc<dyn Store>) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for object in store.list("").await.unwrap() {
        let bytes = store.read_range(&object.name, 0, object.bytes).await.unwrap();
        contents.insert(object.name.to_string(), bytes.to_vec());
    }
    contents
}
