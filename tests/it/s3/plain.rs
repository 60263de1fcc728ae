//! A bucket as the only store, and as one of two.

use std::fs;

use serde_json::json;
use strongroom::store::open;

use super::{backup, folder_and_bucket, names, only_bucket, people};
use crate::support::s3_server::seaweed;
use crate::vault::{World, picture};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_lives_in_a_bucket_alone() {
    let server = seaweed();
    let url = server.url(&format!("{}/vault", server.bucket(false)), "");
    let (database, world) = only_bucket(&url).await;
    let checked = world.ok(&["store", "check"]);
    let findings = &checked["stores"][0]["capabilities"]["findings"];
    assert_eq!(findings["conditional-put"]["verdict"], "yes", "{checked:#}");
    let expected = picture::of(&database).await;
    let first = backup(&world, "daily");
    assert_eq!(world.ok(&["verify", "--all"])["intact"], true);
    let (restored, _) = world.restored(&first, &[]);
    picture::of(&restored).await.assert_is(&expected);
    assert_eq!(world.erase(None, "3")["state"], "confirmed");
    let (_restored, document) = world.restored(&first, &[]);
    assert_eq!(document["rows_forgotten"], 101);
    let expired = world.ok(&["expire", &first, "--yes"]);
    assert_eq!((&expired["state"], &expired["retained"]), (&json!("confirmed"), &json!([])));
    assert_eq!(world.ok(&["prune"])["objects"], json!([]));
    let store = open(&url).unwrap();
    let left = names(&store, "").await;
    assert!(left.iter().all(|name| !name.starts_with("packs") && !name.starts_with("backups")));
    assert!(world.ok(&["doctor"])["findings"].is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weekly_backups_leave_the_building_and_survive_the_loss_of_either_store() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let (database, world) = folder_and_bucket(&server.url(&format!("{bucket}/a"), "")).await;
    let expected = picture::of(&database).await;
    let daily = backup(&world, "daily");
    let weekly = backup(&world, "weekly");
    let list = world.ok(&["store", "list"]);
    assert_eq!(list["backups"][0]["complete"], json!(["local", "offsite"]));
    assert_eq!(list["backups"][1]["complete"], json!(["local"]));

    let local = world.path().join("store");
    fs::rename(&local, world.path().join("gone")).unwrap();
    let (restored, _) = world.restored(&weekly, &[]);
    picture::of(&restored).await.assert_is(&expected);
    let verdict = world.ends(7, &["verify", "--all"]).document.unwrap();
    assert_eq!(verdict["backups"][0]["intact"], true);
    assert_eq!(verdict["backups"][1]["copies"][0]["state"], "unreachable");
    let target = crate::vault::uncreated_database();
    let ran = world.restore(&daily, &target, &["--create"]);
    assert!(ran.code == Some(7) && ran.error_message().contains("`local`"), "{}", ran.all());
    fs::rename(world.path().join("gone"), &local).unwrap();

    // Somebody overwrites and hides what is in the bucket: the genuine versions are brought back.
    let client = server.client();
    let listed = client.list_objects_v2().bucket(&bucket).prefix("a/packs/").send().await.unwrap();
    let key = listed.contents()[0].key().unwrap().to_owned();
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"encrypted by somebody else");
    client.put_object().bucket(&bucket).key(&key).body(body).send().await.unwrap();
    client.delete_object().bucket(&bucket).key("a/backups/x").send().await.unwrap();
    let manifest = format!("a/backups/{weekly}/manifest.age");
    client.delete_object().bucket(&bucket).key(&manifest).send().await.unwrap();
    let verdict = world.ends(3, &["verify", &weekly]).document.unwrap();
    assert_eq!(verdict["intact"], true, "{verdict:#}");
    let done = world.ok(&["store", "reconcile", "offsite", "--verify"]);
    assert_eq!(done["stores"][0]["objects"], 2, "{done:#}");
    assert_eq!(world.ok(&["verify", &weekly])["intact"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_with_a_bucket_are_one_sentence_and_what_to_do() {
    let server = seaweed();
    let bucket = server.bucket(false);
    let (_database, other) = only_bucket(&server.url(&format!("{bucket}/b"), "")).await;
    drop(other);
    let database = people().await;
    let world = World::empty();
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    let lock = "&lock=compliance&lock_days=1";
    for (url, code, says, hint) in [
        (server.url(&format!("{bucket}/b"), ""), 4, "already exists", "another"),
        (server.url("no-such-bucket/x", ""), 7, "no bucket", "bucket's name"),
        (server.url(&format!("{bucket}/c"), "&profile=wrong"), 7, "credentials", "secret"),
        (server.url(&format!("{bucket}/c"), "&profile=reader"), 7, "s3:PutObject", "grant"),
        (server.url(&format!("{bucket}/c"), lock), 7, "cannot lock", "Object Lock"),
    ] {
        let ran = world.ends(code, &["init", "--store", &url, "--recipient", &recipient]);
        let document = ran.document.as_ref().unwrap();
        let told = document["error"]["hint"].as_str().unwrap();
        assert!(ran.error_message().contains(says), "{}", ran.all());
        assert!(told.contains(hint), "{}", ran.all());
        // What was begun is begun anew.
        for part in ["catalog.sqlite", "master.age", "custodian", "maps", "catalog.sqlite.lock"] {
            let path = world.path().join(part);
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
    drop(database);
}
