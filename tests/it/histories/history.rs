//! One history: a vault's files, its two stores, and what was promised so far.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use strongroom::audit::Who;
use strongroom::base::clock::SystemClock;
use strongroom::base::progress::{NoProgress, ProgressSink};
use strongroom::crypto::SecretText;
use strongroom::keys::custodians::settings::CustodianSettings;
use strongroom::keys::master::Credentials;
use strongroom::ops::stores;
use strongroom::store::faulty::{Faults, FaultyStore, StandIn, stand_in};
use strongroom::store::{Store, open};
use strongroom::vault::OpsError;
use strongroom::vault::handle::Vault;
use strongroom::vault::settings::StoreSettings;
use strongroom::vault::settings::{Environment, VaultPlaces};

use crate::histories::beginning::Beginning;
use crate::histories::promises::Promises;
use crate::support::s3_server::seaweed;
use crate::vault::World;

/// How many calls of a thousand fail, for one store and one command.
const PER_MILLE: [u64; 5] = [0, 5, 20, 60, 150];

/// What the second store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// A directory, as the first.
    Directory,
    /// A directory that also reports as done what is not.
    Liar,
    /// A prefix of a bucket, which may keep versions.
    Bucket { versions: bool },
}

/// One of the two stores.
pub struct Place {
    pub name: &'static str,
    pub url: String,
    /// The store without faults.
    pub inner: Arc<dyn Store>,
    pub faulty: FaultyStore,
    lies: bool,
    _standing: StandIn,
}

/// One history.
pub struct History<'b> {
    pub beginning: &'b Beginning,
    pub second: Second,
    pub world: World,
    pub places: Vec<Place>,
    /// Whose folder holds the catalog: recoveries make others.
    pub machine: u32,
    pub random: StdRng,
    pub promises: Promises,
    /// How often the application wrote.
    pub moment: u32,
    pub told: Vec<String>,
    /// The commands, and whether each was done.
    pub commands: Vec<(&'static str, bool)>,
    /// The faults that were met.
    pub faults: Vec<String>,
}

pub fn environment() -> Environment {
    let who = Who { actor: "ada".to_owned(), host: "vault-1".to_owned() };
    Environment {
        clock: Arc::new(SystemClock),
        who,
        warn: Arc::new(|_: &str| {}),
        alert: Arc::new(|_: &str| {}),
    }
}

pub fn progress() -> Arc<dyn ProgressSink> {
    Arc::new(NoProgress)
}

impl Place {
    fn new(name: &'static str, url: String, lies: bool) -> Self {
        let inner = open(&url).unwrap();
        let faulty = FaultyStore::new(Arc::clone(&inner));
        let standing = stand_in(&url, &faulty);
        Self { name, url, inner, faulty, lies, _standing: standing }
    }
}

impl<'b> History<'b> {
    pub async fn begin(beginning: &'b Beginning, seed: u64, second: Second) -> Self {
        beginning.reset().await;
        let world = beginning.world.copy();
        let folder = |name: &str| world.path().join(name).display().to_string();
        let far = match second {
            Second::Directory | Second::Liar => folder("far"),
            Second::Bucket { versions } => bucket(versions),
        };
        let places = vec![
            Place::new("near", folder("near"), false),
            Place::new("far", far, second == Second::Liar),
        ];
        let mut history = Self {
            beginning,
            second,
            world,
            places,
            machine: 0,
            random: StdRng::seed_from_u64(seed),
            promises: Promises::default(),
            moment: 0,
            told: vec![format!("STRONGROOM_HISTORY={seed} ({second:?})")],
            commands: Vec::new(),
            faults: Vec::new(),
        };
        if let Second::Bucket { .. } = second {
            let vault = history.calm_vault();
            stores::check(&vault, Some("far")).await.unwrap();
            let credentials = history.credentials();
            stores::reconcile(&vault, &credentials, None, false, &progress()).await.unwrap();
        }
        history
    }

    pub async fn play(mut self) -> Self {
        for _ in 0..self.random.random_range(4..11_u32) {
            self.step().await;
            self.note_faults();
        }
        println!("{}", self.told.join("; "));
        self.end().await;
        self
    }

    /// What happened, for a failing test's message.
    pub fn story(&self) -> String {
        self.told.join("\n")
    }

    pub fn vault_places(&self, machine: u32) -> VaultPlaces {
        let at = |name: &str| self.world.path().join(name);
        let here = at(&format!("machine-{machine}"));
        let store = |place: &Place| StoreSettings {
            name: place.name.to_owned(),
            ..StoreSettings::main(place.url.clone())
        };
        VaultPlaces {
            catalog: here.join("catalog.sqlite"),
            master: here.join("master.age"),
            maps: at("maps"),
            custodians: vec![CustodianSettings::file("main", at("custodian"))],
            stores: self.places.iter().map(store).collect(),
            spill: at("spill"),
        }
    }

    pub fn credentials(&self) -> Credentials {
        let text = fs::read_to_string(self.world.path().join("identity")).unwrap();
        let identities = Some((SecretText::new(text), "identity".to_owned()));
        Credentials { passphrase: None, identities }
    }

    /// The vault with stores that work.
    pub fn calm_vault(&mut self) -> Vault {
        self.calm();
        Vault::open(self.vault_places(self.machine), environment()).unwrap()
    }

    /// The vault with stores that fail at random.
    pub fn rough_vault(&mut self) -> Vault {
        self.rough();
        Vault::open(self.vault_places(self.machine), environment()).unwrap()
    }

    /// Lets the stores work from now on.
    pub fn calm(&mut self) {
        self.note_faults();
        for place in &self.places {
            place.faulty.go_on(Faults::default());
        }
    }

    /// Lets the stores fail at random from now on.
    pub fn rough(&mut self) {
        self.note_faults();
        for place in &self.places {
            let per_mille = PER_MILLE[self.random.random_range(0..PER_MILLE.len())];
            let seed = self.random.random();
            let faults = Faults { seed, per_mille, lies: place.lies, ..Faults::default() };
            place.faulty.go_on(faults);
        }
    }

    fn note_faults(&mut self) {
        for place in &self.places {
            let injected = place.faulty.injected();
            place.faulty.go_on(Faults::default());
            self.faults.extend(
                injected.iter().map(|(operation, _, fault)| format!("{fault} ({operation})")),
            );
        }
    }

    /// Notes how a command went, and what it made, if it was done. A defect ends the test.
    pub fn say<T>(
        &mut self,
        command: &'static str,
        detail: &str,
        outcome: Result<T, OpsError>,
    ) -> Option<T> {
        self.commands.push((command, outcome.is_ok()));
        match outcome {
            Ok(value) => {
                self.told.push(format!("{command}{detail}: done"));
                Some(value)
            }
            Err(error) => {
                self.told.push(format!("{command}{detail}: {error}"));
                let says_nothing = matches!(error, OpsError::Bug(_) | OpsError::StoreStopped);
                assert!(!says_nothing, "{}", self.story());
                None
            }
        }
    }
}

/// A prefix of its own in one of two buckets.
fn bucket(versions: bool) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    static BUCKETS: std::sync::OnceLock<[String; 2]> = std::sync::OnceLock::new();
    let server = seaweed();
    let buckets = BUCKETS.get_or_init(|| [server.bucket(false), server.bucket(true)]);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    server.url(&format!("{}/history-{number}", buckets[usize::from(versions)]), "")
}
