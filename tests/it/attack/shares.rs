//! Shares of epoch secrets that were destroyed and come back, or that an epoch left which never began.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{HER_KEY, Scene, assert_tells_nothing};
use crate::vault::{Ran, World, erase_arguments, finished};

/// Puts the shares of before the erasure back beside the present ones, as a snapshot of the machine
/// would, and says which file came back.
fn put_share_back(world: &World, before: &World, custodian: &str) -> std::path::PathBuf {
    let folder = before.path().join(custodian);
    let kept = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let share = kept.filter(|file| file.extension().is_some_and(|it| it == "secret")).max();
    let share = share.expect("a share from before");
    let place = world.path().join(custodian).join(share.file_name().unwrap());
    assert!(!place.exists(), "it was destroyed");
    fs::copy(share, &place).unwrap();
    place
}

fn provisional(world: &World) -> Vec<i64> {
    let catalog = world.catalog();
    let mut statement = catalog
        .prepare("SELECT erasure_id FROM erasure WHERE confirmed_at IS NULL ORDER BY 1")
        .unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The entries about custody and erasures that have such a detail.
fn entries(world: &World, detail: &str) -> Vec<Value> {
    let list = world.run(&["audit", "list"]).document.unwrap();
    let entries = list["entries"].as_array().unwrap().iter();
    let has = |entry: &&Value| entry["detail"].as_str().is_some_and(|text| text.contains(detail));
    entries.filter(has).cloned().collect()
}

/// A command that releases keys met the share: it says so, destroys it, puts both on record, and the
/// erasure is confirmed again.
fn assert_noticed(world: &World, share: &Path, what: &str, ran: &Ran) {
    assert_eq!(ran.code, Some(15), "{what}: {}", ran.all());
    assert!(ran.all().contains("holds its share of epoch 1 again"), "{what}: {}", ran.all());
    assert!(!share.exists(), "{what}: it is destroyed again");
    assert_eq!(provisional(world), Vec::<i64>::new(), "{what}");
    let found = entries(world, "share=returned epoch=1 provisional=1");
    assert_eq!(found.len(), 1, "{what}: {found:#?}");
    assert_eq!(found[0]["object"], "main");
    assert_eq!(entries(world, "share=destroyed-again epoch=1").len(), 1, "{what}");
    assert_eq!(entries(world, "state=confirmed erasures=1").len(), 2, "{what}");
    world.ok(&["doctor"]);
    world.ok(&["custody", "list"]);
    world.ok(&["verify", "latest"]);
    assert_tells_nothing(&ran.all());
}

#[tokio::test]
async fn a_destroyed_share_that_comes_back_is_noticed_and_destroyed_again() {
    let (scene, before, _) = Scene::erased().await;
    let erase_another = erase_arguments(None, "k3");
    for command in [
        &["verify", "latest"][..],
        &["custody", "reconcile"],
        &["custody", "check"],
        &["backup", "main"],
        &erase_another,
        &["keys", "rotate"],
    ] {
        let world = scene.world.copy();
        let share = put_share_back(&world, &before, "custodian");
        let ran = world.run(command);
        assert_noticed(&world, &share, &command.join(" "), &ran);
    }

    // What needs no key notices it, says so, and leaves it to the next command.
    for (command, code) in [(&["custody", "list"][..], 15), (&["doctor"], 8)] {
        let world = scene.world.copy();
        let share = put_share_back(&world, &before, "custodian");
        for _ in 0..2 {
            let ran = world.ends(code, command);
            assert!(share.exists());
            assert_eq!(provisional(&world), [1], "{}", ran.all());
        }
        let list = world.ends(15, &["custody", "list"]).document.unwrap();
        assert_eq!(list["to_destroy"][0]["returned"], true, "{list:#}");
        assert_eq!(list["provisional_erasures"], serde_json::json!([1]), "{list:#}");
        assert_eq!(world.run(&["custody", "reconcile"]).code, Some(0));
        assert!(!share.exists());
        assert_eq!(provisional(&world), Vec::<i64>::new());
    }

    // Killed around the step that puts it on record.
    for edge in ["before", "after"] {
        let world = scene.world.copy();
        let share = put_share_back(&world, &before, "custodian");
        let mut command = world.command(&["verify", "latest"]);
        command.env("STRONGROOM_CRASH_AT", format!("custody.returned:{edge}#1"));
        assert_eq!(finished(command).signal, Some(9), "{edge}");
        assert!(share.exists());
        let ran = world.run(&["verify", "latest"]);
        assert!(matches!(ran.code, Some(0 | 15)), "{}", ran.all());
        assert!(!share.exists(), "{edge}");
        assert_eq!(provisional(&world), Vec::<i64>::new(), "{edge}");
    }
    drop(scene.database);
}

#[tokio::test]
async fn a_share_that_comes_back_out_of_reach_keeps_erasures_provisional() {
    let (scene, before, _) = Scene::erased_with(2, 1).await;
    let world = &scene.world;
    let share = put_share_back(world, &before, "custodian-2");
    world.ends(15, &["custody", "list"]);
    let (there, away) = (world.path().join("custodian-2"), world.path().join("away"));
    fs::rename(&there, &away).unwrap();

    let ran = world.run(&erase_arguments(None, "k3"));
    assert_eq!(ran.code, Some(12), "{}", ran.all());
    assert!(ran.all().contains("still holds the share of epoch"), "{}", ran.all());
    assert_eq!(provisional(world), [1, 2]);
    fs::rename(&away, &there).unwrap();
    world.ok(&["custody", "reconcile"]);
    assert!(!share.exists());
    assert_eq!(provisional(world), Vec::<i64>::new());
    let confirmed = entries(world, "state=confirmed erasures=1-2");
    assert_eq!(confirmed.len(), 1, "{confirmed:#?}");
    assert_eq!(
        (&confirmed[0]["action"], &confirmed[0]["object"]),
        (&"erase".into(), &"main".into())
    );
    drop(scene.database);
}

/// The set of custodians was to change when the machine died: one that is out of reach keeps a share of
/// an epoch that never began. Keys may stand wrapped under it in a write-ahead file that somebody has.
#[tokio::test]
async fn a_share_of_an_epoch_that_never_began_keeps_later_erasures_provisional() {
    let scene = Scene::set(1, 1).await;
    let world = &scene.world;
    let mut adding = world.command(&["custody", "add", "late", "--folder", "custodian-late"]);
    adding.env("STRONGROOM_CRASH_AT", "forget.commit:before#1");
    assert_eq!(finished(adding).signal, Some(9));
    // What a thief keeps: that share, and every write-ahead file.
    let kept = world.copy();
    let late = world.path().join("custodian-late");
    let share = late.join("epoch-2.secret");
    assert!(share.exists());
    fs::rename(&late, world.path().join("away")).unwrap();

    let ran = world.run(&erase_arguments(None, HER_KEY));
    assert_eq!(ran.code, Some(12), "{}", ran.all());
    assert_eq!(ran.document.as_ref().unwrap()["state"], "provisional", "{}", ran.all());
    assert!(
        ran.all().contains("the custodian `late` may still hold the old secret (number 2)"),
        "{}",
        ran.all()
    );
    assert_eq!(provisional(world), [1]);
    let list = world.ok(&["custody", "list"]);
    assert_eq!(list["to_destroy"][0]["custodian"], "late", "{list:#}");

    fs::rename(world.path().join("away"), &late).unwrap();
    world.ok(&["custody", "reconcile"]);
    assert!(!share.exists());
    assert_eq!(provisional(world), Vec::<i64>::new());

    // It comes back once more, with the write-ahead file of then.
    fs::copy(kept.path().join("custodian-late/epoch-2.secret"), &share).unwrap();
    world.ends(15, &["verify", "latest"]);
    assert!(!share.exists());
    assert_eq!(provisional(world), Vec::<i64>::new());
    scene.assert_only_she_is_gone(world).await;
}
