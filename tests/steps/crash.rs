//! The crash table: each command dies just before and just after each of its durable steps; then the next
//! ordinary commands run, and the guarantee is checked in both directions.
//!
//! The command runs once and leaves an image of its files at each step; the same files are checked once.
//! That a killed process (SIGKILL) leaves its image is tested, too. `--nocapture` shows the table.

use crate::guarantee::{
    BACKUP, BackingUp, ERASE, Erasing, START, VERIFY, assert_settled, begun_after_all, prepared,
    stored, tables, verified, word,
};
use crate::outcomes::{Outcomes, at_least, each};
use crate::record::{self, Point};
use crate::vault::World;

#[test]
fn a_backup_is_complete_or_not_there() {
    let backing_up = BackingUp::prepared();
    let outcomes = Outcomes::default();
    let recording = &backing_up.recording;
    each(&recording.images(recording.points()), |turn, image| {
        let there = backing_up.is_there(image.point(), None);
        assert!(image.points.iter().all(|point| backing_up.is_there(point, None) == there));
        backing_up.check(&image.world(), turn, image.point(), there);
        outcomes.note_all(&image.points, if there { "complete" } else { "not there" });
    });
    let totals = outcomes.print("backup", "crashes");
    at_least(&totals, &[("complete", 4), ("not there", 20)]);
}

#[test]
fn after_an_erasure_was_cut_off_she_is_there_whole_or_gone_for_good() {
    erasure_cut_off(&Erasing::prepared());
}

#[test]
fn the_same_with_two_of_three_custodians() {
    erasure_cut_off(&Erasing::prepared_with(3, 2));
}

#[test]
fn a_rotation_that_was_cut_off_loses_nothing() {
    let erasing = Erasing::prepared();
    let recipient = std::fs::read_to_string(erasing.world.path().join("recipient")).unwrap();
    let outcomes = Outcomes::default();
    let commands = [
        ("rotate-master", vec!["keys", "rotate-master", "--recipient", &recipient]),
        ("rotate", vec!["keys", "rotate"]),
    ];
    for (name, rotate) in &commands {
        let recording = record::record(&erasing.world, rotate);
        let points = recording.points().into_iter();
        let images = recording.images(points.filter(|at| at.passage.starts_with("forget.")));
        each(&images, |_, image| {
            let world = image.world();
            // The next command opens the vault with whichever master secret is in force.
            erasing.check(&world, false, image.point(), false);
            outcomes.note_all(&image.points, name);
        });
    }
    let totals = outcomes.print("rotation", "crashes");
    at_least(&totals, &[("rotate-master", 16), ("rotate", 12)]);
}

fn erasure_cut_off(erasing: &Erasing) {
    let outcomes = Outcomes::default();
    each(&erasing.recording.images(erasing.recording.points()), |turn, image| {
        let (world, point, gone) = (image.world(), image.point(), erasing.is_gone(image));
        // Before anything opens the catalog, which would tidy its files.
        if let Some(point) = image.points.iter().find(|at| at.passage == "forget.destroy:before") {
            erasing.assert_no_old_key(&world, point);
        }
        if let Some(point) = image.points.iter().find(|at| at.passage.starts_with("forget.")) {
            Erasing::assert_recorded(&world, point);
        }
        erasing.check_recovered(&world, gone, point);
        Erasing::next_command(&world, turn, gone, point);
        // Her live rows are in the newest backup or not, but a restore gives the same.
        erasing.check(&world, gone, point, image.points.iter().any(is_compared));
        outcomes.note_all(&image.points, word(gone));
    });
    let (custodians, threshold) = erasing.custody;
    let command = format!("erase, {threshold} of {custodians} custodians");
    let totals = outcomes.print(&command, "crashes");
    at_least(&totals, &[("gone", 8), ("still there", 8)]);
}

/// Whether what is there after a disturbance here is restored and compared, too.
pub fn is_compared(point: &Point) -> bool {
    point.passage.starts_with("forget.") && point.passage.ends_with(":after")
}

#[test]
fn a_recovery_that_was_cut_off_is_taken_up_again() {
    let erasing = Erasing::prepared();
    let outcomes = Outcomes::default();
    for (passage, gone) in [
        ("forget.begin:after", false),
        ("forget.install:after", false),
        ("forget.commit:after", true),
        ("forget.destroy:before", true),
        ("forget.destroy:after", true),
    ] {
        let cut_off = erasing.recording.image(&erasing.recording.first(passage)).world();
        let recovery = record::record(&cut_off, &VERIFY);
        let passages = &recovery.passages;
        assert!(passages.iter().any(|passage| passage.starts_with("forget.")), "{passages:?}");
        each(&recovery.images(recovery.points()), |_, image| {
            let compare = image.points.iter().any(|point| point.passage == "forget.undo:after");
            erasing.check(&image.world(), gone, image.point(), compare);
            outcomes.note_all(&image.points, word(gone));
        });
    }
    outcomes.print("recovery of an erasure", "crashes");
}

#[test]
fn a_prune_that_was_cut_off_is_finished_by_the_next() {
    let (_database, world) = prepared();
    let (first, objects) = (verified(&world, &START), stored(&world));
    // Objects without a backup, and unfinished ones.
    for passage in ["backup.manifest:after", "store-publish:before"] {
        let mut command = world.command(&BACKUP);
        command.env("STRONGROOM_CRASH_AT", passage);
        assert_eq!(crate::vault::finished(command).signal, Some(9));
    }
    assert!(stored(&world) > objects + 4, "unfinished objects are left, too");
    let recording = record::record(&world, &["prune"]);
    let outcomes = Outcomes::default();
    each(&recording.images(recording.points()), |_, image| {
        let (world, point) = (image.world(), image.point());
        let left = stored(&world) - objects;
        world.ok(&["prune"]);
        assert_eq!(stored(&world), objects, "{point:?}");
        assert_eq!(world.ok(&["prune"])["objects"], serde_json::json!([]), "{point:?}");
        assert_eq!(verified(&world, point), first, "{point:?}");
        outcomes
            .note_all(&image.points, if left == 0 { "nothing was left" } else { "some was left" });
    });
    outcomes.print("prune", "crashes");
}

#[test]
fn a_vault_is_begun_whole_or_not_at_all() {
    let learnt = World::empty();
    let recording = record::record_command(&learnt, learnt.init_command());
    let outcomes = Outcomes::default();
    each(&recording.images(recording.points()), |_, image| {
        outcomes.note_all(&image.points, begun_after_all(&image.world(), image.point()));
    });
    outcomes.print("init", "crashes");
}

#[test]
fn a_source_and_its_map_are_there_or_not() {
    let database = tables();
    let world = World::new();
    let add = ["source", "add", "main", "--url", &database.url];
    let recording = record::record(&world, &add);
    let outcomes = Outcomes::default();
    each(&recording.images(recording.points()), |_, image| {
        let world = image.world();
        let there = world.ok(&["source", "list"])["sources"].as_array().unwrap().len() == 1;
        world.ends(if there { 4 } else { 0 }, &add);
        assert_eq!(world.ok(&["source", "list"])["sources"].as_array().unwrap().len(), 1);
        assert_settled(&world, image.point());
        outcomes.note_all(&image.points, if there { "there" } else { "not there" });
    });
    outcomes.print("source add", "crashes");

    world.ok(&add);
    let outcomes = Outcomes::default();
    let flags = world.copy().map(&["--root", "public.people"]);
    let mut write = vec!["map", "main", "--write"];
    write.extend(flags.iter().map(String::as_str));
    let recording = record::record(&world, &write);
    each(&recording.images(recording.points()), |_, image| {
        let world = image.world();
        let there = world.path().join("maps/main.toml").exists();
        world.ends(if there { 0 } else { 5 }, &["map", "main", "--check"]);
        world.ends(if there { 0 } else { 5 }, &BACKUP);
        world.ok(&write);
        world.ok(&["map", "main", "--check"]);
        world.ok(&BACKUP);
        assert_settled(&world, image.point());
        outcomes.note_all(&image.points, if there { "there" } else { "not there" });
    });
    outcomes.print("map --write", "crashes");
}

/// A process that is killed leaves, byte for byte, the image that was taken at that passage of its own.
#[test]
fn a_killed_process_leaves_its_image() {
    let erasing = Erasing::prepared();
    let cut_off = erasing.recording.image(&erasing.recording.first("forget.commit:after")).world();
    let database = tables();
    let without_map = World::with_source(&database);
    let flags = without_map.copy().map(&["--root", "public.people"]);
    let mut write = vec!["map", "main", "--write"];
    write.extend(flags.iter().map(String::as_str));
    let add = ["source", "add", "other", "--url", "postgres://nobody@127.0.0.1/other"];
    let commands: [(&World, &[&str]); 7] = [
        (&erasing.world, &BACKUP),
        (&erasing.world, &ERASE),
        (&cut_off, &VERIFY),
        (&erasing.world, &["keys", "rotate"]),
        (&erasing.world, &["prune"]),
        (&erasing.world, &add),
        (&without_map, &write),
    ];
    let outcomes = Outcomes::default();
    each(&commands, |_, (world, command)| {
        let recording = record::record(world, command);
        let middle = recording.middle();
        let world = world.copy();
        let (left, image) = record::killed(&world, world.command(command), &middle);
        assert_eq!(left, image, "{command:?} at {middle:?}");
        outcomes.note(&middle, "as its image");
    });
    let empty = World::empty();
    let recording = record::record_command(&empty, empty.init_command());
    let (middle, empty) = (recording.middle(), World::empty());
    let (left, image) = record::killed(&empty, empty.init_command(), &middle);
    assert_eq!(left, image, "init at {middle:?}");
    outcomes.note(&middle, "as its image");
    outcomes.print("one of each", "kills");
}
