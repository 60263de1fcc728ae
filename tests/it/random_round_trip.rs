//! The main path on random databases: backed up with little memory, random people erased, restored,
//! and every table compared with the rule, computed by SQL in a copy of the source.

use crate::support;
use std::fs;
use std::sync::Arc;

use crate::vault::random::{Database, databases};
use crate::vault::rule::{self, Person};
use crate::vault::{self, World, picture};
use proptest::prelude::*;
use strongroom::audit::Who;
use strongroom::base::clock::SystemClock;
use strongroom::base::progress::{NoProgress, ProgressSink};
use strongroom::base::schema::quote_identifier;
use strongroom::catalog::backups::BackupClass;
use strongroom::container::manifest::Contents;
use strongroom::crypto::SecretText;
use strongroom::keys::custodians::settings::CustodianSettings;
use strongroom::keys::master::Credentials;
use strongroom::ops::backup::{BackupReport, BackupRequest, LockRules, backup};
use strongroom::policy::subject_map::SubjectMap;
use strongroom::postgres::Session;
use strongroom::vault::handle::Vault;
use strongroom::vault::settings::{Environment, VaultPlaces};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn everybody_but_the_forgotten_comes_back(
        database in databases(),
        chosen in prop::collection::vec((0_usize..2, any::<prop::sample::Index>()), 1..5),
        // From all rows spilled to none.
        memory_bytes in prop_oneof![Just(300_usize), Just(6_000), Just(16 << 20)],
        jobs in 1_usize..4,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(round_trip(&database, &chosen, memory_bytes, jobs));
    }
}

/// A few for every run; `PROPTEST_CASES` for a long one.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

async fn round_trip(
    random: &Database,
    chosen: &[(usize, prop::sample::Index)],
    memory_bytes: usize,
    jobs: usize,
) {
    let database = support::database();
    database.session().await.batch("a random database", &random.statements()).await.unwrap();
    let world = World::with_source(&database);
    let roots: Vec<String> = (0..random.classes).map(|root| format!("s.t{root}")).collect();
    let flags: Vec<&str> = roots.iter().flat_map(|root| ["--root", root.as_str()]).collect();
    world.map(&flags);
    let map = SubjectMap::from_toml(&world.map_text()).unwrap();

    let first = back_up(&world, memory_bytes, jobs).await;
    let before = picture::of(&database).await;
    assert_eq!(first.rows, before.tables.values().map(|rows| rows.len() as u64).sum::<u64>());
    let (copy, _) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&before);
    drop(copy);

    let gone = choose(&database.session().await, &map, chosen).await;
    let mut rows_erased = 0;
    for (class, key) in &gone {
        let report = world.erase(Some(class), &typed(key));
        rows_erased += report["rows"].as_u64().unwrap();
    }
    let twin = vault::twin(&database).await;
    let owned = rule::apply(&twin.session().await, &map, &gone).await;
    assert_eq!(rows_erased, owned, "{gone:?}");
    let expected = picture::of(&twin).await;
    let (copy, report) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&expected);
    assert_eq!(report["rows_forgotten"], owned);
    drop(copy);
    println!(
        "{} tables, {} rows: {} people with {owned} rows erased, {} kinds of references mended",
        random.tables.len(),
        first.rows,
        gone.len(),
        report["mended"].as_array().unwrap().len()
    );

    let second = back_up(&world, memory_bytes, jobs).await;
    assert_eq!((second.rows_of_erased, second.rows), (owned, first.rows - owned));
    let (copy, report) = world.restored("latest", &["--jobs", "1"]);
    picture::of(&copy).await.assert_is(&expected);
    assert_eq!(report["rows_forgotten"], 0);
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
}

/// Some people, each once.
async fn choose(
    session: &Session,
    map: &SubjectMap,
    chosen: &[(usize, prop::sample::Index)],
) -> Vec<Person> {
    let mut gone: Vec<Person> = Vec::new();
    for (class, index) in chosen {
        let class = &map.classes[class % map.classes.len()];
        let columns: Vec<String> = class
            .key
            .iter()
            .map(|column| format!("{}::text", quote_identifier(&column.name)))
            .collect();
        let statement =
            format!("SELECT {} FROM {} ORDER BY 1", columns.join(", "), class.root.quoted());
        let rows = session.query(&statement, &[]).await.unwrap();
        let row = index.get(&rows);
        let person = (class.name.clone(), (0..columns.len()).map(|part| row.get(part)).collect());
        if !gone.contains(&person) {
            gone.push(person);
        }
    }
    gone
}

/// A key as the officer types it.
fn typed(key: &[String]) -> String {
    match key {
        [only] => only.clone(),
        parts => {
            let escaped = |part: &String| part.replace('\\', r"\\").replace(',', r"\,");
            parts.iter().map(escaped).collect::<Vec<_>>().join(",")
        }
    }
}

/// Through the library, for the program takes no memory budget this small.
async fn back_up(world: &World, memory_bytes: usize, jobs: usize) -> BackupReport {
    let place = |name: &str| world.path().join(name);
    let places = VaultPlaces {
        catalog: place("catalog.sqlite"),
        master: place("master.age"),
        maps: place("maps"),
        custodians: vec![CustodianSettings::file("main", place("custodian"))],
        stores: vec![strongroom::vault::settings::StoreSettings::main(
            place("store").display().to_string(),
        )],
        spill: place("spill"),
    };
    let environment = Environment {
        clock: Arc::new(SystemClock),
        who: Who::current(),
        warn: Arc::new(|_: &str| {}),
        alert: Arc::new(|_: &str| {}),
    };
    let vault = Vault::open(places, environment).unwrap();
    let identity = SecretText::new(fs::read_to_string(place("identity")).unwrap());
    let credentials =
        Credentials { passphrase: None, identities: Some((identity, "identity".to_owned())) };
    let request = BackupRequest {
        source: "main".to_owned(),
        class: BackupClass::Manual,
        note: None,
        contents: Contents::Full,
        jobs,
        memory_bytes,
        full: false,
        strict: false,
        locks: LockRules::default(),
    };
    let progress: Arc<dyn ProgressSink> = Arc::new(NoProgress);
    let report = backup(&vault, &credentials, &request, &progress).await.unwrap();
    assert_eq!(fs::read_dir(place("spill")).unwrap().count(), 0, "spilled rows have no name");
    report
}
