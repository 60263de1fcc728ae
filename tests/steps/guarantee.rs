//! The guarantee in both directions, checked after something went wrong: whoever was forgotten stays
//! forgotten, and nobody else is lost. The crash table and the table of faults share it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use strongroom::catalog::Catalog;
use strongroom::vault::replica;

use crate::outcomes::wait;
use crate::record::{self, Image, Point, Recording, digest};
use crate::support::{self, TestDatabase};
use crate::vault::picture::{self, Picture};
use crate::vault::{self, Ran, World, erase_arguments, files_below};

/// More people than fit into the first shard, once the late ones have come.
pub const TABLES: &str = "
    CREATE TABLE people (id int PRIMARY KEY, email text, invited_by int REFERENCES people);
    CREATE TABLE notes (person_id int REFERENCES people, body text);
    CREATE TABLE photos (person_id int REFERENCES people, scan oid);
    CREATE TABLE currencies (code text PRIMARY KEY);
    INSERT INTO currencies VALUES ('EUR'), ('CHF');";
pub const LATE_FROM: u32 = 251;
pub const PEOPLE: u32 = 270;
/// Has rows in every table, and invited others.
pub const SHE: &str = "7";

pub fn add_people(database: &TestDatabase, from: u32, to: u32) {
    let statements = format!(
        "INSERT INTO people SELECT n, 'p' || n || '@example.org', nullif(n / 7, 0)
            FROM generate_series({from}, {to}) n;
         INSERT INTO notes SELECT n, 'note ' || i FROM generate_series({from}, {to}) n,
            generate_series(1, 1 + n % 3) i;
         INSERT INTO photos SELECT n, lo_from_bytea(0, decode(repeat('ab', 3000), 'hex'))
            FROM generate_series({from}, {to}) n WHERE n % 50 = 7;"
    );
    wait(async {
        let session = database.session().await;
        session.batch("a schema", "SET search_path = public").await.unwrap();
        session.batch("people", &statements).await.unwrap();
    });
}

/// The tables, empty.
pub fn tables() -> TestDatabase {
    let database = support::database();
    wait(async {
        let session = database.session().await;
        session.batch("a schema", "SET search_path = public").await.unwrap();
        session.batch("tables", TABLES).await.unwrap();
    });
    database
}

/// A source, and a vault that has one backup of it from before the late people came.
pub fn prepared() -> (TestDatabase, World) {
    let database = tables();
    add_people(&database, 1, LATE_FROM - 1);
    let world = World::with_source(&database);
    world.print_kit();
    world.map(&["--root", "public.people", "--large-objects", "public.photos.scan"]);
    world.ok(&BACKUP);
    add_people(&database, LATE_FROM, PEOPLE);
    (database, world)
}

pub const BACKUP: [&str; 4] = ["backup", "main", "--jobs", "1"];
pub const VERIFY: [&str; 2] = ["verify", "--all"];

/// What `verify --all` says of each backup, the newest first: rows that restore, rows forgotten.
/// Nothing may be damaged.
pub fn verified(world: &World, when: &Point) -> Vec<(u64, u64)> {
    let document = world.ok(&VERIFY);
    assert_eq!(document["intact"], true, "{when:?}: {document:#}");
    let count = |one: &Value, name: &str| one[name].as_u64().unwrap();
    let reports = document["backups"].as_array().unwrap();
    reports.iter().map(|one| (count(one, "rows"), count(one, "rows_forgotten"))).collect()
}

/// Nothing of an interrupted forgetting is left, and the audit log holds.
pub fn assert_settled(world: &World, when: &Point) {
    assert_eq!(world.ok(&["audit", "verify"])["intact"], true, "{when:?}");
    assert_nothing_is_left(world, when);
}

/// No forgetting is under way, and the custodians hold shares of the present epoch and no others.
pub fn assert_nothing_is_left(world: &World, when: &Point) {
    assert_eq!(count(world, "SELECT count(*) FROM forgetting"), 0, "{when:?}");
    let (secrets, epoch) = (world.epoch_secrets(), count(world, "SELECT epoch FROM vault"));
    assert_eq!(secrets.len(), world.custodians().len(), "{when:?}: {secrets:?}");
    for secret in secrets {
        let name = format!("epoch-{epoch}.secret");
        assert!(secret.ends_with(name), "{when:?}: {}", secret.display());
    }
    let unsettled = "SELECT count(*) FROM share JOIN share_set USING (epoch, set_id)
        WHERE share.state <> iif(share_set.state = 'present', 'held', 'destroyed')";
    assert_eq!(count(world, unsettled), 0, "{when:?}");
}

/// The store holds of the catalog's replica what the catalog says, and nothing else.
pub fn assert_replica_is_tidy(world: &World, when: &Point) {
    let catalog = Catalog::open(&world.path().join("catalog.sqlite")).unwrap();
    let needed = replica::needed_names(catalog.connection()).unwrap();
    let store = world.path().join("store");
    let found = files_below(&store.join("catalog"));
    let name = |file: &PathBuf| file.strip_prefix(&store).unwrap().display().to_string();
    assert_eq!(found.iter().map(name).collect::<BTreeSet<_>>(), needed, "{when:?}");
}

/// What machines that have nothing made of stores and custodians, by these files' bytes: most disturbances
/// leave both alone, and the same files are recovered once.
#[derive(Default)]
pub struct Recoveries(Mutex<BTreeMap<String, Vec<(u64, u64)>>>);

impl Recoveries {
    /// What [`recovered`] finds.
    pub fn of(&self, world: &World, epoch_before: u64, when: &Point) -> Vec<(u64, u64)> {
        let mut folders = world.custodians();
        folders.push(world.path().join("store"));
        let files = folders.iter().map(|folder| digest(folder)).collect::<Vec<_>>().concat();
        let known = |found: &Self| {
            let known = found.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&files).cloned()
        };
        known(self).unwrap_or_else(|| {
            let found = recovered(world, epoch_before, when);
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(files, found.clone());
            found
        })
    }
}

/// What a machine that has nothing makes of the store and the custodians as they are at this moment:
/// the rows of each backup, the newest first. The catalog of this moment may have gone further.
fn recovered(world: &World, epoch_before: u64, when: &Point) -> Vec<(u64, u64)> {
    let (mut other, mut ran) = world.recover(&[]);
    if ran.code == Some(4) {
        // The custodians know an epoch of which the store has no replica yet: whoever knows why
        // may go back to the one before.
        assert!(ran.error_message().contains("replica of that epoch is missing"), "{}", ran.all());
        assert!(!other.path().join("catalog.sqlite").exists(), "{when:?}");
        (other, ran) = world.recover(&["--epoch", &epoch_before.to_string()]);
    }
    assert_eq!(ran.code, Some(0), "{when:?}: {}", ran.all());
    verified(&other, when)
}

pub fn count(world: &World, statement: &str) -> u64 {
    let count: i64 = world.catalog().query_row(statement, [], |row| row.get(0)).unwrap();
    u64::try_from(count).unwrap()
}

/// Files in the store: objects, and what unfinished writes left.
pub fn stored(world: &World) -> usize {
    // The catalog's replica has a history of its own.
    let replica = world.path().join("store/catalog");
    let files = files_below(&world.path().join("store"));
    files.iter().filter(|path| !path.starts_with(&replica)).count()
}

/// The place of the commit within a step: from there on the step has happened.
pub fn committed_from(passages: &[String], step: &str) -> usize {
    let begun = passages.iter().position(|passage| *passage == format!("{step}:before")).unwrap();
    let commits = passages.iter().skip(begun).position(|passage| passage == "catalog-commit:after");
    begun + commits.unwrap()
}

/// Stands for no crash at all.
pub const START: Point = Point { passage: String::new(), number: 0, place: 0 };

/// A vault with one backup, and what must hold of it after another was cut off.
pub struct BackingUp {
    pub world: World,
    /// What a backup passes through.
    pub recording: Recording,
    /// The place from which on the second backup exists.
    committed: usize,
    expected: Picture,
    /// Rows of the first and of the second backup.
    rows: [(u64, u64); 2],
    /// Files in the store with the first backup, and with both.
    stored: [usize; 2],
    recoveries: Recoveries,
    _database: TestDatabase,
}

impl BackingUp {
    pub fn prepared() -> Self {
        let (database, world) = prepared();
        let expected = wait(picture::of(&database));
        let first = verified(&world, &START)[0];
        let recording = record::record(&world, &BACKUP);
        let committed = committed_from(&recording.passages, "backup.catalog");
        let learnt = world.copy();
        learnt.ok(&BACKUP);
        let rows = [first, verified(&learnt, &START)[0]];
        let stored = [stored(&world), stored(&learnt)];
        let recoveries = Recoveries::default();
        Self {
            world,
            recording,
            committed,
            expected,
            rows,
            stored,
            recoveries,
            _database: database,
        }
    }

    /// Checks everything after a backup that was disturbed at this point. Whether it is there. The first
    /// command that opens the vault is another one each time.
    pub fn check(&self, world: &World, turn: usize, point: &Point, there: bool) {
        let [first, second] = self.rows;
        let listed = if there { vec![second, first] } else { vec![first] };
        let replicated = self.recoveries.of(world, 1, point);
        assert!(replicated == listed || replicated == [first], "{point:?}: {replicated:?}");
        let is_looked_at_first = turn.is_multiple_of(3);
        match turn % 3 {
            0 => assert_eq!(verified(world, point), listed, "{point:?}"),
            1 => assert_eq!(world.backups().len(), listed.len(), "{point:?}"),
            _ => {}
        }

        world.ok(&["prune"]);
        if is_looked_at_first {
            let again = world.ok(&["prune"]);
            assert_eq!(again["objects"], serde_json::json!([]), "{point:?}");
            assert_replica_is_tidy(world, point);
        }
        assert_eq!(stored(world), self.stored[usize::from(there)], "{point:?}: in the store");

        // What prune took of the others, or the backup changed in them, would be missing now.
        world.ok(&BACKUP);
        assert_eq!(verified(world, point), [&[second], &listed[..]].concat(), "{point:?}");
        if !is_looked_at_first {
            // What a sync that was cut off left is known to be needless once a later one is done.
            world.ok(&["prune"]);
            assert_replica_is_tidy(world, point);
        }
        assert_settled(world, point);
        if point.passage.starts_with("subjects.insert") || point.passage == "backup.catalog:before"
        {
            let (copy, _) = world.restored("latest", &[]);
            wait(picture::of(&copy)).assert_is(&self.expected);
        }
    }

    /// Whether a backup that was disturbed at this point is there: whether it had got so far, or the
    /// disturbance is one that it does not mind.
    pub fn is_there(&self, point: &Point, ran: Option<&Ran>) -> bool {
        // What is superseded is removed as far as the store lets it.
        let tolerated = ran.is_some() && point.passage.starts_with("store-delete");
        point.place >= self.committed || tolerated
    }
}

/// A vault with two backups, and what must hold of it.
pub struct Erasing {
    pub world: World,
    /// Rows of each backup, the newest first: everybody's and hers.
    rows: Vec<(u64, u64)>,
    /// What a restore of the newest backup gives once she is gone.
    without_her: Picture,
    subjects: u64,
    /// The epoch that the erasure ends.
    pub epoch: u64,
    /// How many custodians there are, and how many of their shares make the secret.
    pub custody: (u8, u8),
    /// What an erasure passes through.
    pub recording: Recording,
    /// The place from which on she is gone.
    pub committed: usize,
    recoveries: Recoveries,
    _database: TestDatabase,
}

impl Erasing {
    pub fn prepared() -> Self {
        Self::prepared_with(1, 1)
    }

    /// With so many custodians, any `threshold` of which make the epoch secret.
    pub fn prepared_with(custodians: u8, threshold: u8) -> Self {
        let (database, world) = prepared();
        world.share_among(custodians, threshold);
        world.ok(&BACKUP);
        let dry = world.run(&[&ERASE[..7], &["--dry-run"]].concat());
        let document = dry.document.as_ref().unwrap_or_else(|| panic!("{}", dry.all()));
        let hers = document["subjects"][0]["backups"].as_array().unwrap().iter();
        let hers: Vec<u64> = hers.map(|share| share["rows"].as_u64().unwrap()).collect();
        let rows = verified(&world, &START).into_iter().map(|(rows, _)| rows).zip(hers).collect();

        let twin = wait(vault::twin(&database));
        let rule = format!(
            "SET search_path = public;
             SELECT lo_unlink(scan) FROM photos WHERE person_id = {SHE};
             DELETE FROM photos WHERE person_id = {SHE}; DELETE FROM notes WHERE person_id = {SHE};
             UPDATE people SET invited_by = NULL WHERE invited_by = {SHE};
             DELETE FROM people WHERE id = {SHE};"
        );
        wait(async { twin.session().await.batch("the rule", &rule).await.unwrap() });
        let without_her = wait(picture::of(&twin));
        assert_eq!(ERASE[..], erase_arguments(None, SHE)[..]);
        let subjects = count(&world, "SELECT count(*) FROM subject");
        assert_eq!(subjects, u64::from(PEOPLE));
        let epoch = count(&world, "SELECT epoch FROM vault");
        let custody = (custodians, threshold);
        let recording = record::record(&world, &ERASE);
        let committed = committed_from(&recording.passages, "forget.commit");
        Self {
            world,
            rows,
            without_her,
            subjects,
            epoch,
            custody,
            recording,
            committed,
            recoveries: Recoveries::default(),
            _database: database,
        }
    }

    /// Whatever an erasure has done, it was on record before: its entry is the first thing that it wrote.
    pub fn assert_recorded(world: &World, point: &Point) {
        let begun = "SELECT count(*) FROM audit_entry WHERE action = 'erase' AND outcome = 'begun'";
        assert!(count(world, begun) > 0, "{point:?}: an erasure is under way without an entry");
    }

    /// Nothing of the catalog's files has a key of a subject that was re-wrapped or went.
    pub fn assert_no_old_key(&self, world: &World, point: &Point) {
        let keys = |world: &World| -> BTreeSet<Vec<u8>> {
            let catalog = world.catalog();
            let mut statement = catalog.prepare("SELECT wrapped_key FROM subject").unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        // The files first: to open a catalog changes them.
        let files = ["catalog.sqlite", "catalog.sqlite-wal"];
        let files = files.map(|name| fs::read(world.path().join(name)).unwrap_or_default());
        let (before, since) = (keys(&self.world.copy()), keys(world));
        let old: Vec<_> = before.difference(&since).collect();
        assert!(
            old.len() > 100,
            "{point:?}: she has a shard with others, whose keys were re-wrapped"
        );
        for file in files {
            let is_there = |key: &&&Vec<u8>| memchr::memmem::find(&file, key).is_some();
            let left = old.iter().filter(is_there).count();
            assert_eq!(left, 0, "{point:?}: keys under the secret that is about to be destroyed");
        }
    }

    /// Whether she is gone after a crash that left this: at all of its points, or at none.
    pub fn is_gone(&self, image: &Image) -> bool {
        let gone = image.point().place >= self.committed;
        let alike = image.points.iter().all(|point| (point.place >= self.committed) == gone);
        assert!(alike, "the same files, and she is there and gone: {:?}", image.points);
        gone
    }

    /// Runs one of the ordinary commands as the first after an erasure was disturbed.
    pub fn next_command(world: &World, turn: usize, gone: bool, point: &Point) {
        let next = match turn % 4 {
            0 => VERIFY.to_vec(),
            1 => vec!["show", "latest"],
            2 => BACKUP.to_vec(),
            _ => vec!["erase", "--source", "main", "--subject", "8", "--reason", "x", "--dry-run"],
        };
        let document = world.ok(&next);
        if next[0] == "backup" {
            assert_eq!(document["rows_of_erased"].as_u64().unwrap() > 0, gone, "{point:?}");
        }
    }

    /// What `verify --all` says of the two backups.
    fn rows_if(&self, gone: bool) -> Vec<(u64, u64)> {
        let rows = self.rows.iter();
        rows.map(|(all, hers)| if gone { (all - hers, *hers) } else { (*all, 0) }).collect()
    }

    /// Checks what a machine that has nothing makes of the moment after an erasure was disturbed:
    /// everybody is there, and she is, too, or is not.
    pub fn check_recovered(&self, world: &World, gone: bool, point: &Point) {
        let found = self.recoveries.of(world, self.epoch, point);
        let [whole, without] = [false, true].map(|gone| self.rows_if(gone));
        assert!(found == whole || gone && found == without, "{point:?}: {found:?}");
        // While the old secret can be made, an older replica may stand for it; then no more.
        let old = world.epoch_secrets();
        let name = format!("epoch-{}.secret", self.epoch);
        let old = old.iter().filter(|file| file.ends_with(&name)).count();
        assert!(old >= usize::from(self.custody.1) || found == without, "{point:?}: {found:?}");
    }

    /// What an erasure says of itself must be so.
    pub fn check_report(&self, world: &World, ran: &Ran, point: &Point) {
        let Some(state) = ran.document.as_ref().and_then(|report| report["state"].as_str()) else {
            assert!(![Some(0), Some(12)].contains(&ran.code), "{point:?}: {}", ran.all());
            return;
        };
        let report = ran.document.as_ref().unwrap();
        let old = world.epoch_secrets();
        let name = format!("epoch-{}.secret", self.epoch);
        let old = old.iter().filter(|file| file.ends_with(&name)).count();
        let waiting = report["waiting"].as_array().unwrap();
        match ran.code {
            Some(0) => {
                assert_eq!((state, waiting.len()), ("confirmed", 0), "{point:?}: {}", ran.all());
                assert!(report["confirmed_at"].is_string(), "{point:?}: {}", ran.all());
                assert!(old < usize::from(self.custody.1), "{point:?}: {old} shares are left");
            }
            Some(12) => {
                assert_eq!(state, "provisional", "{point:?}: {}", ran.all());
                assert!(!waiting.is_empty(), "{point:?}: {}", ran.all());
                assert!(report["confirmed_at"].is_null(), "{point:?}: {}", ran.all());
                let list = world.ok(&["custody", "list"]);
                assert_eq!(list["provisional_erasures"], serde_json::json!([1]), "{point:?}");
            }
            _ => panic!("{point:?}: {}", ran.all()),
        }
        assert_eq!(report["proof"]["segments_opened"], 0, "{point:?}");
        assert!(report["proof"]["segments_tried"].as_u64().unwrap() > 0, "{point:?}");
        assert!(report["proof"]["bystanders_opened"].as_u64().unwrap() > 0, "{point:?}");
    }

    /// The same command once more. She is erased by it where she was not. Where she was, and the test
    /// after it was cut off, it makes up for that test; else it says since when she is gone.
    pub fn erase_again(world: &World, gone: bool, point: &Point) {
        let is_proven = count(world, "SELECT count(*) FROM erasure_proof") > 0;
        let again = world.run(&ERASE);
        if gone && is_proven {
            assert_eq!(again.code, Some(5), "{point:?}: {}", again.all());
            assert!(again.error_message().contains("was erased on"), "{}", again.all());
        } else {
            assert_eq!(again.code, Some(0), "{point:?}: {}", again.all());
            let report = again.document.as_ref().unwrap();
            assert_eq!(report["state"], "confirmed", "{point:?}: {}", again.all());
            assert_eq!(report["proof"]["state"], "proven", "{point:?}: {}", again.all());
            assert_eq!(report["proof"]["segments_opened"], 0, "{point:?}: {}", again.all());
        }
    }

    /// Checks everything after an erasure was disturbed, once the first command after it has run.
    pub fn check(&self, world: &World, gone: bool, point: &Point, compare: bool) {
        let unsure = "SELECT count(*) FROM share JOIN share_set USING (epoch, set_id)
            WHERE share.state = 'asked' AND share_set.state = 'present'";
        if count(world, unsure) > 0 {
            assert!(self.custody.0 > self.custody.1, "{point:?}");
            world.ok(&["custody", "reconcile"]);
        }
        // A backup among the next commands stands before the two.
        let found = verified(world, point);
        let found = &found[found.len() - self.rows.len()..];
        assert_eq!(found, self.rows_if(gone), "{point:?}: she is {}", word(gone));
        assert_nothing_is_left(world, point);

        Self::erase_again(world, gone, point);
        if !gone {
            let found = verified(world, point);
            let found = &found[found.len() - self.rows.len()..];
            assert_eq!(found, self.rows_if(true), "{point:?}");
        }
        assert_settled(world, point);
        assert_eq!(count(world, "SELECT count(*) FROM subject"), self.subjects - 1, "{point:?}");
        assert_eq!(count(world, "SELECT count(*) FROM tombstone"), 1, "{point:?}");
        let confirmed = "SELECT count(*) FROM erasure WHERE confirmed_at IS NOT NULL";
        assert_eq!(count(world, confirmed), 1, "{point:?}");
        assert_eq!(count(world, "SELECT count(*) FROM erasure"), 1, "{point:?}");
        if compare {
            let (copy, _) = world.restored("latest", &[]);
            wait(picture::of(&copy)).assert_is(&self.without_her);
        }
    }
}

pub const ERASE: [&str; 8] =
    ["erase", "--source", "main", "--subject", SHE, "--reason", "case 7", "--yes"];

pub fn word(gone: bool) -> &'static str {
    if gone { "gone" } else { "still there" }
}

/// After an `init` was disturbed: what the next finds, and that a vault can be begun.
pub fn begun_after_all(world: &World, point: &Point) -> &'static str {
    let again = world.init();
    let found = if again.code == Some(0) {
        "begins anew"
    } else if world.path().join("strongroom.toml").exists() {
        // The configuration comes last: the vault is whole.
        assert_eq!(again.code, Some(4), "{point:?}: {}", again.all());
        "complete"
    } else {
        // What is there may be somebody's vault: it is named, and never overwritten.
        assert_eq!(again.code, Some(4), "{point:?}: {}", again.all());
        assert!(again.error_message().contains("already exists"), "{}", again.all());
        for part in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "master.age"] {
            let _ = fs::remove_file(world.path().join(part));
        }
        for part in ["custodian", "store"] {
            let _ = fs::remove_dir_all(world.path().join(part));
        }
        let again = world.init();
        assert_eq!(again.code, Some(0), "{point:?}: {}", again.all());
        "names what is there"
    };
    assert!(world.backups().is_empty());
    assert_eq!(world.ok(&["audit", "verify"])["intact"], true, "{point:?}");
    found
}
