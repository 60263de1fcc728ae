//! Seeded histories: backups, erasures, expiries, prunes, copies, reconciliations and recoveries over
//! two stores that fail at random. At the end, with stores that work again, everything that was called
//! complete is whole in every store, nothing forgotten opens, and nothing but needed objects is left.
//!
//! `STRONGROOM_HISTORIES` is how many histories a run has; `STRONGROOM_HISTORY` runs the one of that
//! seed alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
#![allow(clippy::print_stdout, reason = "for those who look at what the histories were")]

mod support;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use strongroom::audit::Who;
use strongroom::catalog::backups::BackupClass;
use strongroom::catalog::stores::CopyState;
use strongroom::clock::SystemClock;
use strongroom::container::manifest::Contents;
use strongroom::crypto::SecretText;
use strongroom::ids::{BackupId, Epoch};
use strongroom::keys::custodian_settings::CustodianSettings;
use strongroom::keys::kit;
use strongroom::keys::master::{Credentials, Protection};
use strongroom::ops::OpsError;
use strongroom::ops::backup::{BackupRequest, backup};
use strongroom::ops::erase::{EraseRequest, erase};
use strongroom::ops::expire::expire;
use strongroom::ops::prune::prune;
use strongroom::ops::recover::{Quorum, RecoverRequest, recover};
use strongroom::ops::stores::{self, StoreSettings};
use strongroom::ops::vault::{Environment, Vault, VaultPlaces};
use strongroom::ops::verify::{CopyHealth, verify_all};
use strongroom::progress::{NoProgress, ProgressSink};
use strongroom::store::faulty::{Faults, FaultyStore};
use strongroom::store::{Store, open};
use vault::World;

/// How many histories a usual run has at most, and how long it may take.
const USUAL: (u64, Duration) = (300, Duration::from_mins(1));
const STORES: [&str; 2] = ["near", "far"];
/// People in the database; person n has n + 1 rows.
const PEOPLE: u64 = 12;

const SQL: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.notes (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, what text);
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(0, 11) n;
    INSERT INTO public.notes SELECT 100 * n + k, n, md5(k::text)
        FROM generate_series(0, 11) n, generate_series(1, n) k;";

/// One history: the vault's files, and what was promised so far.
struct History {
    world: World,
    machine: String,
    random: rand::rngs::StdRng,
    complete: BTreeMap<String, u64>,
    expired: BTreeSet<String>,
    erased: BTreeSet<u64>,
    told: Vec<String>,
    faults: u64,
}

fn environment() -> Environment {
    let who = Who { actor: "ada".to_owned(), host: "vault-1".to_owned() };
    Environment { clock: Arc::new(SystemClock), who, warn: Arc::new(|_: &str| {}) }
}

fn progress() -> Arc<dyn ProgressSink> {
    Arc::new(NoProgress)
}

impl History {
    fn places(&self, machine: &str) -> VaultPlaces {
        let at = |name: &str| self.world.path().join(name);
        let store = |name: &&str| StoreSettings {
            name: (*name).to_owned(),
            ..StoreSettings::main(at(name).display().to_string())
        };
        VaultPlaces {
            catalog: at(machine).join("catalog.sqlite"),
            master: at(machine).join("master.age"),
            maps: at("maps"),
            custodians: vec![CustodianSettings::file("main", at("custodian"))],
            stores: STORES.iter().map(store).collect(),
            spill: at("spill"),
        }
    }

    fn credentials(&self) -> Credentials {
        let text = fs::read_to_string(self.world.path().join("identity")).unwrap();
        let identities = Some((SecretText::new(text), "identity".to_owned()));
        Credentials { passphrase: None, identities }
    }

    /// The vault with stores that work, or that fail at random.
    fn vault(&mut self, with_faults: bool) -> (Vault, Vec<FaultyStore>) {
        let vault = Vault::open(self.places(&self.machine), environment()).unwrap();
        let mut faulty = Vec::new();
        for name in STORES.iter().filter(|_| with_faults) {
            let inner = open(&self.world.path().join(name).display().to_string()).unwrap();
            let per_mille = [0, 5, 20, 60][self.random.random_range(0..4_usize)];
            let faults = Faults { seed: self.random.random(), per_mille, ..Faults::default() };
            let store = FaultyStore::with(inner, faults);
            let shared: Arc<dyn Store> = Arc::new(store.clone());
            vault.stores().replace(name, &shared);
            faulty.push(store);
        }
        (vault, faulty)
    }

    fn rows(&self) -> u64 {
        // A person's own row, and her notes; the erased are left out of what comes after.
        (0..PEOPLE).filter(|person| !self.erased.contains(person)).map(|person| person + 1).sum()
    }

    fn say<T>(&mut self, what: &str, outcome: Result<T, OpsError>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.told.push(format!("{what}: done"));
                Some(value)
            }
            Err(error) => {
                assert!(
                    !matches!(error, OpsError::Bug(_)),
                    "{what}: {error}\n{}",
                    self.told.join("\n")
                );
                self.told.push(format!("{what}: {error}"));
                None
            }
        }
    }

    async fn step(&mut self) {
        let what = self.random.random_range(0..10_u32);
        let (vault, faulty) = self.vault(true);
        let credentials = self.credentials();
        match what {
            0..=3 => {
                let rows = self.rows();
                let made = backup(&vault, &credentials, &request(), &progress()).await;
                if let Some(report) = self.say("backup", made) {
                    self.complete.insert(report.backup.to_string(), rows);
                }
            }
            4 => {
                let person = self.random.random_range(0..PEOPLE);
                let request = EraseRequest {
                    source: "main".to_owned(),
                    class: None,
                    subjects: vec![SecretText::new(person.to_string())],
                    reason: "case".to_owned(),
                    dry_run: false,
                };
                let done = erase(&vault, &credentials, &request, |_| true).await;
                if self.say(&format!("erase {person}"), done).is_some() {
                    self.erased.insert(person);
                } else if is_erased(&vault) > self.erased.len() {
                    // It was committed, and then something failed.
                    self.erased.insert(person);
                }
            }
            5 => {
                let Some(id) = self.complete.keys().next().cloned() else { return };
                let done = expire(&vault, &credentials, std::slice::from_ref(&id), |_| true).await;
                let done = self.say(&format!("expire {id}"), done).is_some();
                if done || !exists(&vault, &id) {
                    self.complete.remove(&id);
                    self.expired.insert(id);
                }
            }
            6 => {
                let done = prune(&vault, false).await;
                self.say("prune", done);
            }
            7 => {
                let verify = self.random.random_bool(0.5);
                let done = stores::reconcile(&vault, &credentials, None, verify, &progress()).await;
                self.say("reconcile", done);
            }
            8 => {
                let to = STORES[self.random.random_range(0..2_usize)];
                let done = stores::copy_to(&vault, &credentials, "latest", to, &progress()).await;
                self.say(&format!("copy to {to}"), done);
            }
            _ => {
                let done = verify_all(&vault, &credentials, &progress()).await;
                self.say("verify", done);
            }
        }
        self.faults += faulty.iter().map(|store| store.injected().len() as u64).sum::<u64>();
    }

    /// With stores that work again: brings everything up to date, and looks at all of it.
    async fn end(&mut self) {
        let credentials = self.credentials();
        let (vault, _) = self.vault(false);
        let done = stores::reconcile(&vault, &credentials, None, true, &progress()).await.unwrap();
        for store in &done.stores {
            assert_eq!(store.state, CopyState::Complete, "{store:?}");
        }
        prune(&vault, false).await.unwrap();
        self.examine(&vault).await;
        let again = prune(&vault, true).await.unwrap();
        assert!(again.objects.is_empty(), "{again:?}");
        for name in STORES {
            let folder = self.world.path().join(name);
            assert!(
                open(&folder.display().to_string()).unwrap().leftovers().await.unwrap().is_empty()
            );
        }
        assert_eq!(files(&self.world.path().join("near")), files(&self.world.path().join("far")));

        // One store and the machine are lost.
        let kit = fs::read(self.world.path().join("kit.txt")).unwrap();
        let kit = kit::read(&kit).unwrap();
        drop(vault);
        let lost = STORES[self.random.random_range(0..2_usize)];
        fs::remove_dir_all(self.world.path().join(lost)).unwrap();
        let places = self.places("recovered");
        let opened: Vec<_> = places.custodians.iter().map(|one| one.open().unwrap()).collect();
        let recipient = fs::read_to_string(self.world.path().join("recipient")).unwrap();
        let recovered = recover(RecoverRequest {
            places,
            environment: environment(),
            vault: kit.vault,
            master: kit.master,
            protection: Protection::recipients(&[recipient]).unwrap(),
            epochs: &Quorum { vault: kit.vault, custodians: &opened },
            epoch: None::<Epoch>,
        })
        .await
        .unwrap();
        recovered.go_on().await.unwrap();
        drop(recovered);
        "recovered".clone_into(&mut self.machine);
        let (vault, _) = self.vault(false);
        self.examine(&vault).await;
    }

    /// Everything that was called complete restores; what was forgotten does not.
    async fn examine(&self, vault: &Vault) {
        let told = self.told.join("\n");
        let reports = verify_all(vault, &self.credentials(), &progress()).await.unwrap();
        let all: u64 = (1..=PEOPLE).sum();
        let gone: u64 = self.erased.iter().map(|person| person + 1).sum();
        let mut seen = BTreeSet::new();
        for report in &reports {
            assert!(report.intact, "{report:?}\n{told}");
            let right = |copy: &strongroom::ops::verify::CopyVerdict| {
                matches!(copy.state, CopyHealth::Intact | CopyHealth::Unreachable)
            };
            assert!(report.copies.iter().all(right), "{report:?}\n{told}");
            assert_eq!(report.rows, all - gone, "{report:?}\n{told}");
            seen.insert(report.backup.to_string());
        }
        for (id, rows) in &self.complete {
            assert!(seen.contains(id), "{id} was complete and is lost\n{told}");
            let report = reports.iter().find(|one| one.backup.to_string() == *id).unwrap();
            assert_eq!(report.rows + report.rows_forgotten, *rows, "{report:?}\n{told}");
        }
        assert!(self.expired.iter().all(|id| !seen.contains(id)), "{told}");
    }
}

fn request() -> BackupRequest {
    BackupRequest {
        source: "main".to_owned(),
        class: BackupClass::Manual,
        note: None,
        contents: Contents::DataOnly,
        jobs: 1,
        memory_bytes: 1 << 20,
        full: false,
        strict: false,
    }
}

fn is_erased(vault: &Vault) -> usize {
    let count = "SELECT count(*) FROM erasure";
    let count = vault.catalog().connection().query_row(count, [], |row| row.get::<_, i64>(0));
    usize::try_from(count.unwrap()).unwrap()
}

fn exists(vault: &Vault, id: &str) -> bool {
    let id: BackupId = id.parse().unwrap();
    strongroom::catalog::backups::get(vault.catalog().connection(), &id).unwrap().is_some()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = vault::files_below(folder).into_iter();
    files
        .map(|file| {
            let name = file.strip_prefix(folder).unwrap().display().to_string();
            (name, fs::read(file).unwrap())
        })
        .collect()
}

/// A vault with two stores, its map and its kit, from which every history begins.
async fn beginning() -> (support::TestDatabase, World) {
    let database = support::database();
    database.session().await.batch("people", SQL).await.unwrap();
    let world = World::empty();
    let near = world.path().join("near").display().to_string();
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    world.ok(&["init", "--store", &near, "--recipient", &recipient]);
    let file = world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("[store]").unwrap();
    let end = begin + text[begin..].find("\n\n").unwrap();
    let stores =
        "[[store]]\nname = \"near\"\nurl = \"near\"\n[[store]]\nname = \"far\"\nurl = \"far\"\n";
    fs::write(&file, format!("{}{stores}{}", &text[..begin], &text[end..])).unwrap();
    world.ok(&["store", "check", "far"]);
    world.ok(&["source", "add", "main", "--url", &database.url]);
    world.map(&["--root", "public.users"]);
    world.ok(&["kit", "print", "--output", "kit.txt"]);
    fs::create_dir(world.path().join("machine")).unwrap();
    for part in ["catalog.sqlite", "master.age"] {
        fs::rename(world.path().join(part), world.path().join("machine").join(part)).unwrap();
    }
    (database, world)
}

async fn history(begun: &World, seed: u64) -> (u64, usize) {
    let mut history = History {
        world: begun.copy(),
        machine: "machine".to_owned(),
        random: rand::rngs::StdRng::seed_from_u64(seed),
        complete: BTreeMap::new(),
        expired: BTreeSet::new(),
        erased: BTreeSet::new(),
        told: vec![format!("STRONGROOM_HISTORY={seed}")],
        faults: 0,
    };
    for _ in 0..history.random.random_range(3..9_u32) {
        history.step().await;
    }
    println!("{}", history.told.join("; "));
    history.end().await;
    (history.faults, history.told.len() - 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_complete_is_lost_and_nothing_forgotten_opens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (_database, begun) = beginning().await;
    if let Some(seed) = number("STRONGROOM_HISTORY") {
        history(&begun, seed).await;
        return;
    }
    let asked = number("STRONGROOM_HISTORIES");
    let started = Instant::now();
    let (mut faults, mut steps, mut run) = (0, 0, 0);
    for seed in 0..asked.unwrap_or(USUAL.0) {
        let (some, others) = history(&begun, seed).await;
        faults += some;
        steps += others;
        run += 1;
        if asked.is_none() && started.elapsed() > USUAL.1 {
            break;
        }
    }
    println!("{run} histories, {steps} commands, {faults} faults, {:?}", started.elapsed());
    assert!(run >= 10 && (faults > run || run < 20), "{run} histories met {faults} faults only");
}
