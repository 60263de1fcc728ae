//! The crash table: each command is killed (SIGKILL) just before and just after each of its durable
//! steps; then the next ordinary commands run, and the guarantee is checked in both directions.
//!
//! The steps are learnt by running the command once; `--nocapture` shows the table.

use crate::guarantee::{
    BACKUP, BackingUp, ERASE, Erasing, START, TABLES, VERIFY, assert_settled, begun_after_all,
    prepared, stored, verified, word,
};
use crate::points::{self, Outcomes, Point};
use crate::support;
use crate::vault::World;

#[tokio::test]
async fn a_backup_is_complete_or_not_there() {
    let backing_up = BackingUp::prepared().await;
    let mut outcomes = Outcomes::default();
    for point in points::points(&backing_up.passages) {
        let world = backing_up.world.copy();
        points::crash(&world, &BACKUP, &point);
        let there = backing_up.is_there(&point, None);
        backing_up.check(&world, &point, there).await;
        outcomes.note(&point, if there { "complete" } else { "not there" });
    }
    let totals = outcomes.print("backup", "crashes");
    assert!(totals["complete"] >= 4 && totals["not there"] >= 20, "{totals:?}");
}

#[tokio::test]
async fn after_an_erasure_was_cut_off_she_is_there_whole_or_gone_for_good() {
    erasure_cut_off(&Erasing::prepared().await).await;
}

#[tokio::test]
async fn the_same_with_two_of_three_custodians() {
    erasure_cut_off(&Erasing::prepared_with(3, 2).await).await;
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_loses_nothing() {
    let erasing = Erasing::prepared().await;
    let recipient = std::fs::read_to_string(erasing.world.path().join("recipient")).unwrap();
    let mut outcomes = Outcomes::default();
    let commands = [
        ("rotate-master", vec!["keys", "rotate-master", "--recipient", &recipient]),
        ("rotate", vec!["keys", "rotate"]),
    ];
    for (name, rotate) in &commands {
        let passages = points::passages(&erasing.world.copy(), rotate);
        for point in points::points(&passages) {
            if !point.passage.starts_with("forget.") {
                continue;
            }
            let world = erasing.world.copy();
            points::crash(&world, rotate, &point);
            // The next command opens the vault with whichever master secret is in force.
            world.ok(&VERIFY);
            erasing.check(&world, false, &point, false).await;
            outcomes.note(&point, name);
        }
    }
    let totals = outcomes.print("rotation", "crashes");
    assert!(totals["rotate-master"] >= 16 && totals["rotate"] >= 12, "{totals:?}");
}

async fn erasure_cut_off(erasing: &Erasing) {
    let (passages, committed) = erasing.passages();
    let mut outcomes = Outcomes::default();
    for (turn, point) in points::points(&passages).into_iter().enumerate() {
        let world = erasing.world.copy();
        points::crash(&world, &ERASE, &point);
        let gone = point.place >= committed;
        erasing.check_recovered(&world, gone, &point);
        Erasing::next_command(&world, turn, gone, &point);
        let compare = point.passage.starts_with("forget.") && point.passage.ends_with(":after");
        // Her live rows are in the newest backup or not, but a restore gives the same.
        erasing.check(&world, gone, &point, compare).await;
        outcomes.note(&point, word(gone));
    }
    let (custodians, threshold) = erasing.custody;
    let command = format!("erase, {threshold} of {custodians} custodians");
    let totals = outcomes.print(&command, "crashes");
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
        points::crash(&cut_off, &ERASE, &point);
        let passages = points::passages(&cut_off.copy(), &VERIFY);
        assert!(passages.iter().any(|passage| passage.starts_with("forget.")), "{passages:?}");
        for point in points::points(&passages) {
            let world = cut_off.copy();
            points::crash(&world, &VERIFY, &point);
            erasing.check(&world, gone, &point, point.passage == "forget.undo:after").await;
            outcomes.note(&point, word(gone));
        }
    }
    outcomes.print("recovery of an erasure", "crashes");
}

#[tokio::test]
async fn a_prune_that_was_cut_off_is_finished_by_the_next() {
    let (_database, world) = prepared().await;
    let (first, objects) = (verified(&world, &START), stored(&world));
    let point = Point { passage: "backup.manifest:after".to_owned(), number: 1, place: 0 };
    points::crash(&world, &BACKUP, &point);
    let point = Point { passage: "store-publish:before".to_owned(), number: 1, place: 0 };
    points::crash(&world, &BACKUP, &point);
    assert!(stored(&world) > objects + 4, "unfinished objects are left, too");
    let passages = points::passages(&world.copy(), &["prune"]);
    let mut outcomes = Outcomes::default();
    for point in points::points(&passages) {
        let world = world.copy();
        points::crash(&world, &["prune"], &point);
        let left = stored(&world) - objects;
        world.ok(&["prune"]);
        assert_eq!(stored(&world), objects, "{point:?}");
        assert_eq!(world.ok(&["prune"])["objects"], serde_json::json!([]), "{point:?}");
        assert_eq!(verified(&world, &point), first, "{point:?}");
        outcomes.note(&point, if left == 0 { "nothing was left" } else { "some was left" });
    }
    outcomes.print("prune", "crashes");
}

#[tokio::test]
async fn a_vault_is_begun_whole_or_not_at_all() {
    let learnt = World::empty();
    let passages = points::passages_of(learnt.init_command());
    let mut outcomes = Outcomes::default();
    for point in points::points(&passages) {
        let world = World::empty();
        points::crash_command(world.init_command(), &point);
        outcomes.note(&point, begun_after_all(&world, &point));
    }
    outcomes.print("init", "crashes");
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
    for point in points::points(&points::passages(&learnt, &add)) {
        let world = world.copy();
        points::crash(&world, &add, &point);
        let there = world.ok(&["source", "list"])["sources"].as_array().unwrap().len() == 1;
        world.ends(if there { 4 } else { 0 }, &add);
        assert_eq!(world.ok(&["source", "list"])["sources"].as_array().unwrap().len(), 1);
        assert_settled(&world, &point);
        outcomes.note(&point, if there { "there" } else { "not there" });
    }
    outcomes.print("source add", "crashes");

    let mut outcomes = Outcomes::default();
    let flags = learnt.copy().map(&["--root", "public.people"]);
    let mut write = vec!["map", "main", "--write"];
    write.extend(flags.iter().map(String::as_str));
    for point in points::points(&points::passages(&learnt.copy(), &write)) {
        let world = learnt.copy();
        points::crash(&world, &write, &point);
        let there = world.path().join("maps/main.toml").exists();
        world.ends(if there { 0 } else { 5 }, &["map", "main", "--check"]);
        world.ends(if there { 0 } else { 5 }, &BACKUP);
        world.ok(&write);
        world.ok(&["map", "main", "--check"]);
        world.ok(&BACKUP);
        assert_settled(&world, &point);
        outcomes.note(&point, if there { "there" } else { "not there" });
    }
    outcomes.print("map --write", "crashes");
}
