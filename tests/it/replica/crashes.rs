//! Processes that die at each durable step of a sync and of a recovery. The steps run in a process
//! of their own: this very test program, told by its environment what to do.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::replica::machine::{World, names_with};

/// Not a test by itself: the process that is killed.
#[tokio::test]
async fn helper_that_works_until_it_is_killed() {
    let Some(folder) = std::env::var_os("STRONGROOM_TEST_WORLD") else { return };
    let work = std::env::var("STRONGROOM_TEST_WORK").unwrap();
    let world = World::at(Path::new(&folder));
    if work == "recover" {
        world.recover("two").await.unwrap().go_on().await.unwrap();
        return;
    }
    let machine = world.machine("one").await;
    machine.add_subjects(500..600);
    machine.sync().await.unwrap();
}

/// Runs the helper; the passages of its steps, or nothing where it was killed.
fn work(world: &World, work: &str, crash_at: Option<&str>) -> Vec<String> {
    let log = world.path("steps");
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "replica::crashes::helper_that_works_until_it_is_killed"])
        .env("STRONGROOM_TEST_WORLD", world.folder.path())
        .env("STRONGROOM_TEST_WORK", work)
        .env("STRONGROOM_STEP_LOG", &log)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(point) = crash_at {
        command.env("STRONGROOM_CRASH_AT", point);
    }
    let status = command.status().unwrap();
    assert_eq!(status.success(), crash_at.is_none(), "{crash_at:?}");
    std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect()
}

/// Each passage once, with its number.
fn points(passages: &[String]) -> Vec<String> {
    let number = |place: usize| {
        let passage = &passages[place];
        let before = passages[..place].iter().filter(|one| *one == passage).count();
        format!("{passage}#{}", before + 1)
    };
    (0..passages.len()).map(number).collect()
}

#[tokio::test]
async fn a_sync_that_dies_anywhere_is_finished_by_the_next() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..500);
    machine.sync().await.unwrap();
    drop(machine);
    let passages = work(&world.copy(), "sync", None);
    for step in ["take", "data", "pending", "head", "settle"] {
        for edge in ["before", "after"] {
            let passage = format!("replica.{step}:{edge}");
            assert!(passages.contains(&passage), "{passage} is not in {passages:?}");
        }
    }
    let mut crashes = 0;
    for point in points(&passages) {
        let world = world.copy();
        work(&world, "sync", Some(&point));
        // Whatever was reached, what is in the store can be recovered.
        let found = world.recover("early").await.unwrap().report.subjects;
        assert!([500, 600].contains(&found), "{point}: {found}");
        let machine = world.machine("one").await;
        machine.ensure_newest().await.unwrap();
        let subjects = u64::try_from(machine.dump()["subject"].len()).unwrap();
        machine.sync().await.unwrap();
        let recovered = world.recover("two").await.unwrap();
        assert_eq!(recovered.report.subjects, subjects, "{point}");
        let lock = machine.vault.lock_for_writing("test").unwrap();
        strongroom::vault::replica::remove_superseded(&machine.vault, &lock).await.unwrap();
        let needed = strongroom::vault::replica::needed_names(machine.vault.catalog().connection());
        let objects = world.objects();
        assert_eq!(needed.unwrap(), objects.keys().cloned().collect(), "{point}");
        assert_eq!(names_with(&objects, "head").len(), 1, "{point}");
        crashes += 1;
    }
    println!("{crashes} crashes of a sync");
    assert!(crashes >= 20);
}

#[tokio::test]
async fn a_recovery_that_dies_leaves_no_half_catalog() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..100);
    machine.sync().await.unwrap();
    drop(machine);
    let passages = work(&world.copy(), "recover", None);
    let mut crashes = 0;
    for point in points(&passages) {
        let world = world.copy();
        work(&world, "recover", Some(&point));
        if world.path("two/catalog.sqlite").exists() {
            assert_eq!(world.machine("two").await.dump()["subject"].len(), 100, "{point}");
        } else {
            // The master secret may be there already; it is in the way and says so.
            let in_the_way = world.path("two/master.age").exists();
            let again = world.recover("two").await;
            assert_eq!(again.is_err(), in_the_way, "{point}");
        }
        world.recover("three").await.unwrap();
        crashes += 1;
    }
    println!("{crashes} crashes of a recovery");
    assert!(crashes >= 20);
}
