//! The crash table: each command is killed (SIGKILL) just before and just after each of its durable
//! steps; then the next ordinary commands run, and the guarantee is checked in both directions.
//!
//! The steps are learnt by running the command once; `--nocapture` shows the table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]

mod support;
mod vault;

use std::fs;

use serde_json::Value;
use support::TestDatabase;
use vault::crash::{self, Outcomes, Point};
use vault::picture::{self, Picture};
use vault::{World, erase_arguments, files_below};

/// More people than fit into the first shard, once the late ones have come.
const TABLES: &str = "
    CREATE TABLE people (id int PRIMARY KEY, email text, invited_by int REFERENCES people);
    CREATE TABLE notes (person_id int REFERENCES people, body text);
    CREATE TABLE photos (person_id int REFERENCES people, scan oid);
    CREATE TABLE currencies (code text PRIMARY KEY);
    INSERT INTO currencies VALUES ('EUR'), ('CHF');";
const LATE_FROM: u32 = 251;
const PEOPLE: u32 = 270;
/// Has rows in every table, and invited others.
const SHE: &str = "7";

async fn add_people(database: &TestDatabase, from: u32, to: u32) {
    let statements = format!(
        "INSERT INTO people SELECT n, 'p' || n || '@example.org', nullif(n / 7, 0)
            FROM generate_series({from}, {to}) n;
         INSERT INTO notes SELECT n, 'note ' || i FROM generate_series({from}, {to}) n,
            generate_series(1, 1 + n % 3) i;
         INSERT INTO photos SELECT n, lo_from_bytea(0, decode(repeat('ab', 3000), 'hex'))
            FROM generate_series({from}, {to}) n WHERE n % 50 = 7;"
    );
    let session = database.session().await;
    session.batch("a schema", "SET search_path = public").await.unwrap();
    session.batch("people", &statements).await.unwrap();
}

/// A source, and a vault that has one backup of it from before the late people came.
async fn prepared() -> (TestDatabase, World) {
    let database = support::database();
    let session = database.session().await;
    session.batch("a schema", "SET search_path = public").await.unwrap();
    session.batch("tables", TABLES).await.unwrap();
    drop(session);
    add_people(&database, 1, LATE_FROM - 1).await;
    let world = World::with_source(&database);
    world.map(&["--root", "public.people", "--large-objects", "public.photos.scan"]);
    world.ok(&BACKUP);
    add_people(&database, LATE_FROM, PEOPLE).await;
    (database, world)
}

const BACKUP: [&str; 4] = ["backup", "main", "--jobs", "1"];
const VERIFY: [&str; 2] = ["verify", "--all"];

/// What `verify --all` says of each backup, the newest first: rows that restore, rows forgotten.
/// Nothing may be damaged.
fn verified(world: &World, when: &Point) -> Vec<(u64, u64)> {
    let document = world.ok(&VERIFY);
    assert_eq!(document["intact"], true, "{when:?}: {document:#}");
    let count = |one: &Value, name: &str| one[name].as_u64().unwrap();
    let reports = document["backups"].as_array().unwrap();
    reports.iter().map(|one| (count(one, "rows"), count(one, "rows_forgotten"))).collect()
}

/// Nothing of an interrupted forgetting is left, and the audit log holds.
fn assert_settled(world: &World, when: &Point) {
    assert_eq!(world.epoch_secrets().len(), 1, "{when:?}: {:?}", world.epoch_secrets());
    assert_eq!(count(world, "SELECT count(*) FROM forgetting"), 0, "{when:?}");
    assert_eq!(world.ok(&["audit", "verify"])["intact"], true, "{when:?}");
    let epoch = count(world, "SELECT epoch FROM vault");
    let secret = world.epoch_secrets().remove(0);
    assert!(secret.ends_with(format!("epoch-{epoch}.secret")), "{when:?}: {}", secret.display());
}

fn count(world: &World, statement: &str) -> u64 {
    let count: i64 = world.catalog().query_row(statement, [], |row| row.get(0)).unwrap();
    u64::try_from(count).unwrap()
}

/// Files in the store: objects, and what unfinished writes left.
fn stored(world: &World) -> usize {
    files_below(&world.path().join("store")).len()
}

/// The place of the commit within a step: from there on the step has happened.
fn committed_from(passages: &[String], step: &str) -> usize {
    let begun = passages.iter().position(|passage| *passage == format!("{step}:before")).unwrap();
    let commits = passages.iter().skip(begun).position(|passage| passage == "catalog-commit:after");
    begun + commits.unwrap()
}

#[tokio::test]
async fn a_backup_is_complete_or_not_there() {
    let (database, world) = prepared().await;
    let expected = picture::of(&database).await;
    let first = verified(&world, &START)[0];
    let learnt = world.copy();
    let passages = crash::passages(&learnt, &BACKUP);
    let committed = committed_from(&passages, "backup.catalog");
    let second = verified(&learnt, &START)[0];
    let (objects_before, objects_after) = (stored(&world), stored(&learnt));
    let mut outcomes = Outcomes::default();
    for point in crash::points(&passages) {
        let world = world.copy();
        crash::crash(&world, &BACKUP, &point);
        let there = point.place >= committed;
        let listed = if there { vec![second, first] } else { vec![first] };
        assert_eq!(world.backups().len(), listed.len(), "{point:?}");
        assert_eq!(verified(&world, &point), listed, "{point:?}");

        world.ok(&["prune"]);
        let again = world.ok(&["prune"]);
        assert_eq!(again["objects"], serde_json::json!([]), "{point:?}");
        let expected_objects = if there { objects_after } else { objects_before };
        assert_eq!(stored(&world), expected_objects, "{point:?}: left in the store");
        assert_eq!(verified(&world, &point), listed, "{point:?}: prune took what is needed");

        world.ok(&BACKUP);
        assert_eq!(verified(&world, &point), [&[second], &listed[..]].concat(), "{point:?}");
        assert_settled(&world, &point);
        if point.passage.starts_with("subjects.insert") || point.passage == "backup.catalog:before"
        {
            let (copy, _) = world.restored("latest", &[]);
            picture::of(&copy).await.assert_is(&expected);
        }
        outcomes.note(&point, if there { "complete" } else { "not there" });
    }
    let totals = outcomes.print("backup");
    assert!(totals["complete"] >= 4 && totals["not there"] >= 20, "{totals:?}");
}

/// Stands for no crash at all.
const START: Point = Point { passage: String::new(), number: 0, place: 0 };

/// A vault with two backups, and what must hold of it.
struct Erasing {
    world: World,
    /// Rows of each backup, the newest first: everybody's and hers.
    rows: Vec<(u64, u64)>,
    /// What a restore of the newest backup gives once she is gone.
    without_her: Picture,
    subjects: u64,
    _database: TestDatabase,
}

impl Erasing {
    async fn prepared() -> Self {
        let (database, world) = prepared().await;
        world.ok(&BACKUP);
        let dry = world.run(&[&ERASE[..7], &["--dry-run"]].concat());
        let document = dry.document.as_ref().unwrap_or_else(|| panic!("{}", dry.all()));
        let hers = document["backups"].as_array().unwrap().iter();
        let hers: Vec<u64> = hers.map(|share| share["rows"].as_u64().unwrap()).collect();
        let rows = verified(&world, &START).into_iter().map(|(rows, _)| rows).zip(hers).collect();

        let twin = vault::twin(&database).await;
        let rule = format!(
            "SET search_path = public;
             SELECT lo_unlink(scan) FROM photos WHERE person_id = {SHE};
             DELETE FROM photos WHERE person_id = {SHE}; DELETE FROM notes WHERE person_id = {SHE};
             UPDATE people SET invited_by = NULL WHERE invited_by = {SHE};
             DELETE FROM people WHERE id = {SHE};"
        );
        twin.session().await.batch("the rule", &rule).await.unwrap();
        let without_her = picture::of(&twin).await;
        let subjects = count(&world, "SELECT count(*) FROM subject");
        assert_eq!(subjects, u64::from(PEOPLE));
        Self { world, rows, without_her, subjects, _database: database }
    }

    /// What `verify --all` says of the two backups.
    fn rows_if(&self, gone: bool) -> Vec<(u64, u64)> {
        let rows = self.rows.iter();
        rows.map(|(all, hers)| if gone { (all - hers, *hers) } else { (*all, 0) }).collect()
    }

    /// Checks everything after a crash, once `next`, the first command after it, has run.
    async fn check(&self, world: &World, gone: bool, point: &Point, compare: bool) {
        // A backup among the next commands stands before the two.
        let found = verified(world, point);
        let found = &found[found.len() - self.rows.len()..];
        assert_eq!(found, self.rows_if(gone), "{point:?}: she is {}", word(gone));
        assert_settled(world, point);

        let again = world.run(&ERASE);
        assert_eq!(again.code, Some(if gone { 5 } else { 0 }), "{point:?}: {}", again.all());
        assert!(!gone || again.error_message().contains("was erased on"), "{}", again.all());
        let found = verified(world, point);
        let found = &found[found.len() - self.rows.len()..];
        assert_eq!(found, self.rows_if(true), "{point:?}");
        assert_settled(world, point);
        assert_eq!(count(world, "SELECT count(*) FROM subject"), self.subjects - 1, "{point:?}");
        assert_eq!(count(world, "SELECT count(*) FROM tombstone"), 1, "{point:?}");
        let confirmed = "SELECT count(*) FROM erasure WHERE confirmed_at IS NOT NULL";
        assert_eq!(count(world, confirmed), 1, "{point:?}");
        assert_eq!(count(world, "SELECT count(*) FROM erasure"), 1, "{point:?}");
        if compare {
            let (copy, _) = world.restored("latest", &[]);
            picture::of(&copy).await.assert_is(&self.without_her);
        }
    }
}

const ERASE: [&str; 8] =
    ["erase", "--source", "main", "--subject", SHE, "--reason", "case 7", "--yes"];

fn word(gone: bool) -> &'static str {
    if gone { "gone" } else { "still there" }
}

#[tokio::test]
async fn after_an_erasure_was_cut_off_she_is_there_whole_or_gone_for_good() {
    let erasing = Erasing::prepared().await;
    assert_eq!(ERASE[..], erase_arguments(None, SHE)[..]);
    let passages = crash::passages(&erasing.world.copy(), &ERASE);
    let committed = committed_from(&passages, "forget.commit");
    let mut outcomes = Outcomes::default();
    for (index, point) in crash::points(&passages).into_iter().enumerate() {
        let world = erasing.world.copy();
        crash::crash(&world, &ERASE, &point);
        let gone = point.place >= committed;
        let left: Vec<&str> = match index % 4 {
            0 => VERIFY.to_vec(),
            1 => vec!["show", "latest"],
            2 => BACKUP.to_vec(),
            _ => vec!["erase", "--source", "main", "--subject", "8", "--reason", "x", "--dry-run"],
        };
        let next = world.ok(&left);
        if left[0] == "backup" {
            assert_eq!(next["rows_of_erased"].as_u64().unwrap() > 0, gone, "{point:?}");
        }
        let compare = point.passage.starts_with("forget.") && point.passage.ends_with(":after");
        // Her live rows are in the newest backup or not, but a restore gives the same.
        erasing.check(&world, gone, &point, compare).await;
        outcomes.note(&point, word(gone));
    }
    let totals = outcomes.print("erase");
    assert!(totals["gone"] >= 8 && totals["still there"] >= 8, "{totals:?}");
}

#[tokio::test]
async fn a_recovery_that_was_cut_off_is_taken_up_again() {
    let erasing = Erasing::prepared().await;
    let mut outcomes = Outcomes::default();
    for (passage, gone) in [
        ("forget.begin:after", false),
        ("forget.install:after", false),
        ("forget.commit:after", true),
        ("forget.destroy:before", true),
        ("forget.destroy:after", true),
    ] {
        let cut_off = erasing.world.copy();
        let point = Point { passage: passage.to_owned(), number: 1, place: 0 };
        crash::crash(&cut_off, &ERASE, &point);
        let passages = crash::passages(&cut_off.copy(), &VERIFY);
        assert!(passages.iter().any(|passage| passage.starts_with("forget.")), "{passages:?}");
        for point in crash::points(&passages) {
            let world = cut_off.copy();
            crash::crash(&world, &VERIFY, &point);
            erasing.check(&world, gone, &point, point.passage == "forget.undo:after").await;
            outcomes.note(&point, word(gone));
        }
    }
    outcomes.print("recovery of an erasure");
}

#[tokio::test]
async fn a_prune_that_was_cut_off_is_finished_by_the_next() {
    let (_database, world) = prepared().await;
    let (first, objects) = (verified(&world, &START), stored(&world));
    let point = Point { passage: "backup.manifest:after".to_owned(), number: 1, place: 0 };
    crash::crash(&world, &BACKUP, &point);
    let point = Point { passage: "store-publish:before".to_owned(), number: 1, place: 0 };
    crash::crash(&world, &BACKUP, &point);
    assert!(stored(&world) > objects + 4, "unfinished objects are left, too");
    let passages = crash::passages(&world.copy(), &["prune"]);
    let mut outcomes = Outcomes::default();
    for point in crash::points(&passages) {
        let world = world.copy();
        crash::crash(&world, &["prune"], &point);
        let left = stored(&world) - objects;
        world.ok(&["prune"]);
        assert_eq!(stored(&world), objects, "{point:?}");
        assert_eq!(world.ok(&["prune"])["objects"], serde_json::json!([]), "{point:?}");
        assert_eq!(verified(&world, &point), first, "{point:?}");
        outcomes.note(&point, if left == 0 { "nothing was left" } else { "some was left" });
    }
    outcomes.print("prune");
}

#[tokio::test]
async fn a_vault_is_begun_whole_or_not_at_all() {
    let learnt = World::empty();
    let passages = crash::passages_of(learnt.init_command());
    let mut outcomes = Outcomes::default();
    for point in crash::points(&passages) {
        let world = World::empty();
        crash::crash_command(world.init_command(), &point);
        let again = world.init();
        if again.code == Some(0) {
            outcomes.note(&point, "begins anew");
        } else if world.path().join("strongroom.toml").exists() {
            // The configuration comes last: the vault is whole.
            assert_eq!(again.code, Some(4), "{point:?}: {}", again.all());
            outcomes.note(&point, "complete");
        } else {
            // What is there may be somebody's vault: it is named, and never overwritten.
            assert_eq!(again.code, Some(4), "{point:?}: {}", again.all());
            assert!(again.error_message().contains("already exists"), "{}", again.all());
            for part in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "master.age"]
            {
                let _ = fs::remove_file(world.path().join(part));
            }
            for part in ["custodian", "store"] {
                let _ = fs::remove_dir_all(world.path().join(part));
            }
            let again = world.init();
            assert_eq!(again.code, Some(0), "{point:?}: {}", again.all());
            outcomes.note(&point, "names what is there");
        }
        assert!(world.backups().is_empty());
        assert_eq!(world.ok(&["audit", "verify"])["intact"], true, "{point:?}");
    }
    outcomes.print("init");
}

#[tokio::test]
async fn a_source_and_its_map_are_there_or_not() {
    let database = support::database();
    let session = database.session().await;
    session.batch("a schema", "SET search_path = public").await.unwrap();
    session.batch("tables", TABLES).await.unwrap();
    let world = World::new();
    let add = ["source", "add", "main", "--url", &database.url];
    let learnt = world.copy();
    let mut outcomes = Outcomes::default();
    for point in crash::points(&crash::passages(&learnt, &add)) {
        let world = world.copy();
        crash::crash(&world, &add, &point);
        let there = world.ok(&["source", "list"])["sources"].as_array().unwrap().len() == 1;
        world.ends(if there { 4 } else { 0 }, &add);
        assert_eq!(world.ok(&["source", "list"])["sources"].as_array().unwrap().len(), 1);
        assert_settled(&world, &point);
        outcomes.note(&point, if there { "there" } else { "not there" });
    }
    outcomes.print("source add");

    let mut outcomes = Outcomes::default();
    let flags = learnt.copy().map(&["--root", "public.people"]);
    let mut write = vec!["map", "main", "--write"];
    write.extend(flags.iter().map(String::as_str));
    for point in crash::points(&crash::passages(&learnt.copy(), &write)) {
        let world = learnt.copy();
        crash::crash(&world, &write, &point);
        let there = world.path().join("maps/main.toml").exists();
        world.ends(if there { 0 } else { 5 }, &["map", "main", "--check"]);
        world.ends(if there { 0 } else { 5 }, &BACKUP);
        world.ok(&write);
        world.ok(&["map", "main", "--check"]);
        world.ok(&BACKUP);
        assert_settled(&world, &point);
        outcomes.note(&point, if there { "there" } else { "not there" });
    }
    outcomes.print("map --write");
}
