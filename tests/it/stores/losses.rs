//! What is lost or damaged in one store is read from another, and mended.

use std::fs;

use serde_json::json;

use super::{backup, configure, objects, store, take_away, two_stores};
use crate::vault::picture;

#[tokio::test]
async fn copies_are_made_by_class_counted_and_read_when_the_nearest_is_gone() {
    let (database, world) = two_stores().await;
    let expected = picture::of(&database).await;
    let daily = backup(&world, "daily");
    let document = world.ok(&["backup", "main", "--class", "weekly", "--full"]);
    let weekly = document["backup"].as_str().unwrap();
    let both = json!([
        { "store": "main", "state": "complete", "reason": null },
        { "store": "far", "state": "complete", "reason": null },
    ]);
    assert_eq!(document["copies"], both);
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["backups"][0]["complete"], json!(["far", "main"]));
    assert_eq!(list["backups"][1]["complete"], json!(["main"]));
    assert_eq!(list["stores"][1]["complete"], 1);
    assert_eq!(list["stores"][1]["has_newest_replica"], true);
    let far = objects(&world, "far");
    assert!(far.len() >= 4 && far.iter().all(|one| objects(&world, "main").contains(one)));
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);

    // Every object of the weekly backup but one is damaged or gone in the nearest store.
    for (number, (file, bytes)) in far.iter().enumerate() {
        let file = store(&world, "main").join(file);
        match number % 3 {
            0 => fs::remove_file(file).unwrap(),
            1 => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
            _ => {
                let mut bytes = bytes.clone();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(file, bytes).unwrap();
            }
        }
    }
    let verdict = world.ends(3, &["verify", weekly]).document.unwrap();
    assert_eq!(verdict["intact"], true, "{verdict:#}");
    let copy = |name: &str| {
        let copies = verdict["backups"][0]["copies"].as_array().unwrap();
        copies.iter().find(|copy| copy["store"] == name).unwrap().clone()
    };
    assert_eq!(copy("main")["state"], "damaged");
    assert_eq!(copy("main")["problems"].as_array().unwrap().len(), far.len());
    assert_eq!(copy("far")["state"], "intact");
    let (restored, _) = world.restored(weekly, &[]);
    picture::of(&restored).await.assert_is(&expected);

    // One object is damaged in the far store too: the nearest has a good one of no other.
    let done = world.ok(&["store", "reconcile", "main", "--verify"]);
    assert_eq!(done["stores"][0]["objects"], far.len());
    assert!(far.iter().all(|one| objects(&world, "main").contains(one)));
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
    assert_eq!(world.ok(&["store", "reconcile", "--verify"])["stores"][1]["objects"], 0);

    // The daily one is copied by hand, and read after the nearest store is gone for good.
    assert_eq!(world.ok(&["store", "copy", &daily, "--to", "far"])["objects"], far.len());
    take_away(&world, "main");
    for one in [daily.as_str(), weekly] {
        let (restored, _) = world.restored(one, &[]);
        picture::of(&restored).await.assert_is(&expected);
    }
    let verdict = world.ok(&["verify", weekly]);
    assert_eq!(verdict["backups"][0]["copies"][1]["state"], "unreachable");
}

#[tokio::test]
async fn the_machine_and_the_nearest_store_are_lost() {
    let (database, world) = two_stores().await;
    backup(&world, "weekly");
    let expected = {
        let session = database.session().await;
        session.batch("one less", "DELETE FROM public.orders WHERE user_id = 7").await.unwrap();
        session.batch("one less", "DELETE FROM public.users WHERE id = 7").await.unwrap();
        picture::of(&database).await
    };
    let weekly = backup(&world, "weekly");
    assert_eq!(world.erase(None, "7")["state"], "confirmed");
    world.ok(&["kit", "print", "--output", "kit.txt"]);
    take_away(&world, "main");
    for part in ["catalog.sqlite", "master.age", "strongroom.toml", "maps"] {
        let path = world.path().join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    let far = format!("far={}", store(&world, "far").display());
    let custodian = world.path().join("custodian").display().to_string();
    let arguments = ["recover", "--store", &far, "--kit", "kit.txt", "--custodian", &custodian];
    let recovered = world.ok(&[&arguments[..], &["--recipient", &recipient]].concat());
    assert_eq!(recovered["backups"], 2);
    let (restored, document) = world.restored(&weekly, &[]);
    assert_eq!(document["rows_forgotten"], 0);
    picture::of(&restored).await.assert_is(&expected);
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);

    // A new store in the place of the lost one is taken in and filled.
    let file = world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let one_more = "[[store]]\nname = \"main\"\nurl = \"new\"\n\n[[custodian]]";
    fs::write(&file, text.replacen("[[custodian]]", one_more, 1)).unwrap();
    assert_eq!(world.ok(&["store", "check", "main"])["stores"][0]["taken"], true);
    let done = world.ok(&["store", "reconcile"]);
    assert_eq!(
        (&done["stores"][1]["state"], &done["stores"][1]["backups"]),
        (&json!("complete"), &json!(2))
    );
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["stores"][1]["has_newest_replica"], true, "{list:#}");
}

#[tokio::test]
async fn a_store_that_is_not_this_vaults_is_refused() {
    let (_database, world) = two_stores().await;
    let (_other_database, other) = two_stores().await;
    let foreign = store(&other, "far");
    let name = "[[store]]\nname = \"third\"\nurl = ";
    fs::create_dir(world.path().join("full")).unwrap();
    fs::write(world.path().join("full/letters"), "somebody's").unwrap();
    configure_again(&world, &format!("{name}\"full\"\n"));
    let ran = world.ends(4, &["store", "check", "third"]);
    assert!(ran.error_message().contains("holds objects and no vault"), "{}", ran.all());
    configure_again(&world, &format!("{name}{:?}\n", foreign.display().to_string()));
    for command in [&["store", "check", "third"][..], &["backup", "main"], &["verify", "--all"]] {
        let ran = world.ends(3, command);
        assert!(ran.error_message().contains("belongs to vault"), "{}", ran.all());
    }
    assert!(objects(&other, "far").is_empty());
    let ran = world.ends(5, &["store", "check", "fourth"]);
    assert!(ran.error_message().contains("no store is named `fourth`"), "{}", ran.all());
}

fn configure_again(world: &crate::vault::World, more: &str) {
    let file = world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("[[store]]").unwrap();
    let end = text.find("\n\n# Who holds").unwrap();
    fs::write(&file, format!("{}[store]\nurl = 'x'{}", &text[..begin], &text[end..])).unwrap();
    configure(world, more);
}
