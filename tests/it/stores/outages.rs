//! A store that is away leaves the others at work, and is brought up to date later.

use std::fs;

use serde_json::json;

use super::{backup, objects, put_back, store, take_away, two_stores};
use crate::vault::picture;

#[tokio::test]
async fn a_backup_is_complete_without_a_store_that_is_away_and_copied_later() {
    let (database, world) = two_stores().await;
    take_away(&world, "far");
    let ran = world.ends(12, &["backup", "main", "--class", "weekly"]);
    let document = ran.document.unwrap();
    assert_eq!(document["copies"][0]["state"], "complete");
    assert_eq!(document["copies"][1]["state"], "behind");
    assert!(document["copies"][1]["reason"].is_string());
    assert_eq!(
        world.ok(&["backup", "main", "--class", "daily"])["copies"].as_array().unwrap().len(),
        1
    );
    let done = world.ends(12, &["store", "reconcile"]).document.unwrap();
    assert_eq!(done["stores"][1]["state"], "behind");

    put_back(&world, "far");
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["backups"][1]["behind"], json!(["far"]));
    assert_eq!(list["stores"][1]["has_newest_replica"], false);
    let done = world.ok(&["store", "reconcile"]);
    assert_eq!(done["stores"][1]["backups"], 1);
    assert!(done["stores"][1]["objects"].as_u64().unwrap() >= 4);
    assert_eq!(world.ok(&["store", "reconcile"])["stores"][1]["objects"], 0);
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["backups"][1]["behind"], json!([]));
    assert_eq!(list["stores"][1]["has_newest_replica"], true);

    // Now the nearest is away: what is written goes to the other, and comes back later.
    take_away(&world, "main");
    let expected = picture::of(&database).await;
    let weekly = world.ends(12, &["backup", "main", "--class", "weekly"]).document.unwrap();
    let weekly = weekly["backup"].as_str().unwrap();
    let (restored, _) = world.restored(weekly, &[]);
    picture::of(&restored).await.assert_is(&expected);
    let ran = world.ends(7, &["backup", "main", "--class", "daily"]);
    assert!(ran.error_message().contains("cannot open the store"), "{}", ran.all());
    put_back(&world, "main");
    assert_eq!(world.ok(&["store", "reconcile"])["stores"][0]["state"], "complete");
    assert!(objects(&world, "far").iter().all(|one| objects(&world, "main").contains(one)));
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
    // What the stores missed of superseded replicas, and nothing of a backup.
    let pruned = world.ok(&["prune"]);
    let names =
        pruned["objects"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
    assert!(names.into_iter().all(|name| name.starts_with("catalog/")), "{pruned:#}");
    assert_eq!(world.ok(&["prune"])["objects"], json!([]));
}

#[tokio::test]
async fn an_erasure_is_provisional_until_every_store_has_the_new_epoch() {
    let (_database, world) = two_stores().await;
    backup(&world, "weekly");
    take_away(&world, "far");
    let arguments = crate::vault::erase_arguments(None, "3");
    let document = world.ends(12, &arguments).document.unwrap();
    assert_eq!(document["state"], "provisional");
    assert!(
        document.to_string().contains("store `far` has not the newest replica"),
        "{document:#}"
    );
    assert_eq!(world.epoch_secrets().len(), 2);
    put_back(&world, "far");
    world.ok(&["verify", "latest"]);
    assert_eq!(world.epoch_secrets().len(), 1);
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["stores"][1]["has_newest_replica"], true);
    let old = store(&world, "far").join("catalog/head");
    world.ok(&["prune"]);
    assert_eq!(fs::read_dir(old).unwrap().count(), 1);
}

#[tokio::test]
async fn prune_and_expire_say_which_store_they_did_not_reach() {
    let (_database, world) = two_stores().await;
    let weekly = backup(&world, "weekly");
    backup(&world, "weekly");
    take_away(&world, "far");
    let ran = world.ends(12, &["expire", &weekly, "--yes"]);
    let document = ran.document.unwrap();
    assert_eq!(document["not_reached"].as_array().unwrap().len(), 1);
    assert!(document["objects_removed"].as_u64().unwrap() >= 4);
    let ran = world.ends(12, &["prune"]);
    assert!(ran.document.unwrap()["not_reached"][0].as_str().unwrap().contains("`far`"));
    put_back(&world, "far");
    let pruned = world.ok(&["prune"]);
    let names: Vec<_> = pruned["objects"].as_array().unwrap().iter().collect();
    assert!(names.len() >= 4, "{pruned:#}");
    assert_eq!(objects(&world, "far"), objects(&world, "main"));
    assert_eq!(world.ok(&["prune"])["objects"], json!([]));
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
}
