//! The record of erasures, whom backups meet of those who were erased, and how long they are known.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{self, TestDatabase};
use crate::vault::World;

/// Three people with two rows each beside their own.
async fn world() -> (World, TestDatabase) {
    let database = support::database();
    let statements = "
        SET search_path = public;
        CREATE TABLE users (id int PRIMARY KEY, email text);
        CREATE TABLE notes (user_id int REFERENCES users, body text);
        INSERT INTO users SELECT n, 'u' || n || '@example.org' FROM generate_series(10, 12) n;
        INSERT INTO notes SELECT 10 + n % 3, 'note' FROM generate_series(1, 6) n;";
    database.session().await.batch("the people", statements).await.unwrap();
    let world = World::with_source(&database);
    world.map(&["--root", "public.users"]);
    (world, database)
}

fn erase<'a>(subjects: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["erase", "--source", "main", "--yes"];
    for subject in subjects {
        arguments.extend(["--subject", subject]);
    }
    arguments.extend(words);
    arguments
}

#[tokio::test]
async fn case_and_reason_can_be_read_again_and_every_begun_has_an_end() {
    let (world, _database) = world().await;
    world.ok(&["backup", "main"]);
    world.ok(&erase(&["10", "11"], &["--case", "2026-118", "--reason", "by letter"]));
    world.ok(&erase(&["12"], &["--reason", "case 7"]));
    // Words are sealed anew when the keys are.
    world.ok(&["keys", "rotate"]);
    let list = world.ok(&["erasure", "list"]);
    let told: Vec<_> = list["erasures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["erasure"].clone(), one["case"].clone(), one["reason"].clone()))
        .collect();
    let case = json!("2026-118");
    assert_eq!(
        told,
        [
            (json!(3), Value::Null, json!("case 7")),
            (json!(2), case.clone(), json!("by letter")),
            (json!(1), case.clone(), json!("by letter")),
        ]
    );
    let one = world.ok(&["erasure", "show", "1"]);
    assert_eq!(
        (&one["case"], &one["state"], &one["rows"]),
        (&case, &json!("confirmed"), &json!(3))
    );
    assert_eq!((&one["tombstone"], &one["met_at"]), (&json!(true), &Value::Null));
    world.ends(5, &["erasure", "show", "4"]);

    let entries = world.ok(&["audit", "list"])["entries"].clone();
    let mut open: BTreeMap<(String, String), i64> = BTreeMap::new();
    for entry in entries.as_array().unwrap() {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        let (action, object, outcome) = (text("action"), text("object"), text("outcome"));
        // A subject's reference: what an erasure of several is named by.
        if action == "erase" && object.len() == 32 {
            *open.entry((action, object)).or_default() += if outcome == "begun" { 1 } else { -1 };
        }
    }
    assert_eq!(open.len(), 3, "{entries:#}");
    assert!(open.values().all(|left| *left == 0), "{open:?}: {entries:#}");
}

#[tokio::test]
async fn words_that_look_like_a_person_are_refused() {
    let (world, database) = world().await;
    world.ok(&["backup", "main"]);
    for words in [
        &["--reason", "ana@example.org asked"][..],
        &["--reason", "Anna Keller, by letter"],
        &["--reason", "called from +49 170 1234567"],
    ] {
        let ran = world.ends(4, &erase(&["10"], words));
        assert!(ran.error_message().contains("looks like"), "{}", ran.all());
        assert!(!ran.all().contains("Keller"), "{}", ran.all());
    }
    for words in [&["--reason", ""][..], &["--case", " "], &["--case", "Anna Keller"], &[]] {
        world.ends(2, &erase(&["10"], words));
    }
    assert_eq!(world.ok(&["erasure", "list"])["erasures"], json!([]));
    let insisted = ["--reason", "the Old Bailey", "--case", "7", "--not-personal"];
    world.ok(&erase(&["10"], &insisted));

    // A backup that ran every night goes on.
    let ran = world.ends(15, &["backup", "main", "--note", "for Anna Keller"]);
    assert!(ran.all().contains("looks like a name"), "{}", ran.all());
    world.ok(&["backup", "main", "--note", "for Anna Keller", "--not-personal"]);
    drop(database);
}

#[tokio::test]
async fn whom_a_backup_meets_is_told_by_erasure() {
    let (world, database) = world().await;
    world.ok(&["backup", "main"]);
    world.ok(&erase(&["10", "11"], &["--case", "2026-118"]));
    let delete =
        "DELETE FROM public.notes WHERE user_id = 11; DELETE FROM public.users WHERE id = 11;";
    database.session().await.batch("one is gone", delete).await.unwrap();

    let backup = world.run(&["backup", "main"]);
    let document = backup.document.as_ref().unwrap();
    assert_eq!(document["erased_met"], json!([{ "erasure": 1, "rows": 3 }]), "{document:#}");
    assert!(backup.said.contains("By erasure: erasure 1: 3 rows"), "{}", backup.said);
    let met =
        world.ok(&["subject", "met", "--backup", "latest", "--subject", "11", "--subject", "10"]);
    assert_eq!(met["met"], json!([{ "erasure": 1, "case": "2026-118", "rows": 3 }]));
    let asked: Vec<_> = met["subjects"].as_array().unwrap().iter().collect();
    assert_eq!((&asked[0]["erasure"], &asked[0]["met"]), (&json!(2), &json!(false)));
    assert_eq!((&asked[1]["erasure"], &asked[1]["met"]), (&json!(1), &json!(true)));
    let one = world.ok(&["erasure", "show", "1"]);
    assert_eq!(one["met_at"], document["snapshot_at"]);

    // The note of it comes with the catalog's replica, and goes with the backup.
    world.print_kit();
    let (recovered, ran) = world.recover(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(recovered.ok(&["subject", "met", "--backup", "latest"])["met"], met["met"]);
    world.ok(&["expire", "latest", "--yes"]);
}

/// An expiry of all backups from before an erasure ends no tombstone: the person would come back with
/// the next backup, without a word.
#[tokio::test]
async fn an_erased_person_is_known_after_every_expiry_until_her_time_is_over() {
    let (world, database) = world().await;
    world.ok(&["backup", "main"]);
    world.ok(&erase(&["10"], &["--case", "7"]));
    world.ok(&["backup", "main"]);
    let oldest = world.backups().pop().unwrap();
    world.ok(&["expire", &oldest, "--yes"]);
    let backup = world.run(&["backup", "main"]).document.unwrap();
    assert_eq!((&backup["rows_of_erased"], &backup["subjects"]), (&json!(3), &json!(2)));

    let long_ago = |what: &str| {
        let set = format!("UPDATE tombstone SET {what} = '2020-01-01T00:00:00.000000Z'");
        world.catalog().execute(&set, []).unwrap();
    };
    let nothing_over = |what: &str| {
        assert_eq!(world.ok(&["erasure", "list"])["tombstones_over"], 0, "{what}");
        let ended = world.ok(&["erasure", "forget-tombstones", "--yes"]);
        assert_eq!(
            (&ended["state"], &ended["tombstones"]),
            (&json!("nothing"), &json!(0)),
            "{what}"
        );
    };
    nothing_over("erased today");
    long_ago("erased_at");
    nothing_over("met today");
    let gone =
        "DELETE FROM public.notes WHERE user_id = 10; DELETE FROM public.users WHERE id = 10;";
    database.session().await.batch("she is gone", gone).await.unwrap();
    world.ok(&["backup", "main"]);
    nothing_over("met today, and not by the newest backup");
    long_ago("met_at");
    assert_eq!(world.ok(&["erasure", "list"])["tombstones_over"], 1);
    world.ends(4, &["erasure", "forget-tombstones"]);
    let ended = world.ok(&["erasure", "forget-tombstones", "--yes"]);
    assert_eq!((&ended["state"], &ended["tombstones"]), (&json!("confirmed"), &json!(1)));
    let one = world.ok(&["erasure", "show", "1"]);
    assert_eq!((&one["tombstone"], &one["state"]), (&json!(false), &json!("confirmed")));
    world.ok(&["verify", "--all"]);

    // Somebody of that key is somebody new.
    let back = "INSERT INTO public.users VALUES (10, 'new@example.org');";
    database.session().await.batch("somebody new", back).await.unwrap();
    let backup = world.ok(&["backup", "main"]);
    assert_eq!((&backup["rows_of_erased"], &backup["subjects"]), (&json!(0), &json!(3)));
    world.ok(&["audit", "verify"]);
}
