//! Someone who kept copies of everything from before an erasure puts them back, whole and in parts;
//! someone edits the audit log. Nothing of hers opens, and nobody else is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]

mod support;
mod vault;

use std::fs;

use support::TestDatabase;
use vault::picture::{self, Picture};
use vault::{Ran, World, erase_arguments, files_below, uncreated_database};

/// Unlikely to be in any file by chance.
const HER_KEY: &str = "zq-her-key-4711-xv";
const HER_EMAIL: &str = "wilhelmina.zyxwvut@example.org";
const HER_NAME: &str = "Wilhelmina Zyxwvut";
const HER_SECRET: &str = "she owes 7 sovereigns to nobody at all";

/// A source with her in it, a vault with two backups of it, and what a restore without her gives.
struct Scene {
    world: World,
    without_her: Picture,
    database: TestDatabase,
}

impl Scene {
    async fn set() -> Self {
        let database = support::database();
        let statements = format!(
            "SET search_path = public;
             CREATE TABLE users (id text PRIMARY KEY, email text, full_name text);
             CREATE TABLE notes (user_id text REFERENCES users, body text);
             CREATE TABLE scans (user_id text REFERENCES users, content oid);
             INSERT INTO users VALUES ('{HER_KEY}', '{HER_EMAIL}', '{HER_NAME}');
             INSERT INTO users SELECT 'k' || n, 'u' || n || '@example.org', 'User ' || n
                FROM generate_series(1, 30) n;
             INSERT INTO notes SELECT '{HER_KEY}', '{HER_SECRET}' FROM generate_series(1, 300);
             INSERT INTO notes SELECT 'k' || n, 'note' FROM generate_series(1, 30) n;
             INSERT INTO scans VALUES ('{HER_KEY}', lo_from_bytea(0, '{HER_SECRET}')),
                ('k1', lo_from_bytea(0, 'one'));"
        );
        database.session().await.batch("the scene", &statements).await.unwrap();
        let world = World::with_source(&database);
        world.map(&["--root", "public.users", "--large-objects", "public.scans.content"]);
        world.ok(&["backup", "main"]);
        world.ok(&["backup", "main"]);

        let twin = vault::twin(&database).await;
        let rule = format!(
            "SET search_path = public;
             SELECT lo_unlink(content) FROM scans WHERE user_id = '{HER_KEY}';
             DELETE FROM scans WHERE user_id = '{HER_KEY}';
             DELETE FROM notes WHERE user_id = '{HER_KEY}'; DELETE FROM users WHERE id = '{HER_KEY}';"
        );
        twin.session().await.batch("the rule", &rule).await.unwrap();
        let without_her = picture::of(&twin).await;
        Self { world, without_her, database }
    }

    /// Everything with a copy of the world from before the erasure and the reference that was
    /// erased. The copy is taken while the catalog is open, so it has write-ahead files.
    async fn erased() -> (Self, World, String) {
        let scene = Self::set().await;
        let open = scene.world.catalog();
        let read = |_: &rusqlite::Row<'_>| Ok(());
        open.query_row("SELECT count(*) FROM subject", [], read).unwrap();
        scene.world.ok(&["verify", "latest"]);
        let before = scene.world.copy();
        assert!(before.path().join("catalog.sqlite-wal").metadata().unwrap().len() > 0);
        assert!(before.path().join("catalog.sqlite-shm").exists());
        drop(open);
        let report = scene.world.erase(None, HER_KEY);
        let reference = report["subjects"][0]["subject_reference"].as_str().unwrap().to_owned();
        (scene, before, reference)
    }

    /// Everybody else restores from each backup, and nothing of hers does.
    async fn assert_only_she_is_gone(&self, world: &World) {
        let verified = world.ok(&["verify", "--all"]);
        assert_eq!(verified["intact"], true, "{verified:#}");
        for one in verified["backups"].as_array().unwrap() {
            assert_eq!(
                one["rows_forgotten"], 304,
                "a user, 300 notes, a scan, an object's two rows"
            );
        }
        for backup in world.backups() {
            let (copy, _) = world.restored(&backup, &[]);
            picture::of(&copy).await.assert_is(&self.without_her);
        }
    }
}

/// Every command that needs keys, in a world in which none may open anything.
fn every_command(world: &World) -> Vec<(String, Ran)> {
    let target = uncreated_database();
    let nowhere = ["restore", "latest", "--to", target.url.as_str(), "--create"];
    let dry_run = [&erase_arguments(None, HER_KEY)[..7], &["--dry-run"]].concat();
    let salvage = [&nowhere[..], &["--salvage"]].concat();
    let commands: [&[&str]; 9] = [
        &["verify", "--all"],
        &["verify", "latest"],
        &["show", "latest"],
        &nowhere,
        &salvage,
        &dry_run,
        &erase_arguments(None, HER_KEY),
        &erase_arguments(None, "k3"),
        &["backup", "main"],
    ];
    commands.iter().map(|command| (command.join(" "), world.run(command))).collect()
}

/// The files of a world in which a text stands.
fn files_with(world: &World, text: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let files = files_below(world.path());
    assert!(files.len() > 10);
    let found = files.into_iter().filter(|file| holds(&fs::read(file).unwrap()));
    found.map(|file| file.display().to_string()).collect()
}

#[tokio::test]
async fn an_old_catalog_opens_nothing() {
    let (scene, before, _) = Scene::erased().await;
    // Catalog alone; with its store; everything but what the custodian destroyed.
    for parts in [&[][..], &["store"][..], &["store", "master.age", "maps", "strongroom.toml"][..]]
    {
        let attacked = scene.world.copy();
        attacked.put_back_catalog(&before);
        for part in parts {
            attacked.put_back(part, &before);
        }
        for (command, ran) in every_command(&attacked) {
            assert_eq!(ran.code, Some(8), "{command}: {}", ran.all());
            assert_eq!(ran.error_code(), "vault", "{command}");
            assert!(ran.error_message().contains("an old copy"), "{command}: {}", ran.all());
        }
        assert_eq!(attacked.epoch_secrets(), {
            let file = attacked.path().join("custodian/epoch-2.secret");
            vec![file]
        });
        // The present catalog put back again, nothing was lost by all that.
        attacked.put_back_catalog(&scene.world);
        scene.assert_only_she_is_gone(&attacked).await;
    }
}

#[tokio::test]
async fn an_old_store_or_master_secret_changes_nothing() {
    let (scene, before, _) = Scene::erased().await;
    let attacked = scene.world.copy();
    for part in ["store", "master.age", "maps", "identity"] {
        attacked.put_back(part, &before);
    }
    scene.assert_only_she_is_gone(&attacked).await;
    drop(attacked);
    scene.assert_only_she_is_gone(&scene.world).await;
    let backup = scene.world.ok(&["backup", "main"]);
    assert_eq!(backup["rows_of_erased"], 304, "{backup:#}");
    drop(scene.database);
}

#[tokio::test]
async fn the_present_secret_under_an_old_number_opens_nothing() {
    let (scene, before, _) = Scene::erased().await;
    let custodian =
        |world: &World, epoch: u32| world.path().join(format!("custodian/epoch-{epoch}.secret"));
    let rename = |world: &World, edit: &dyn Fn(String) -> String| {
        let text = fs::read_to_string(custodian(world, 2)).unwrap();
        fs::remove_file(custodian(world, 2)).unwrap();
        fs::write(custodian(world, 1), edit(text)).unwrap();
    };
    // What the old catalog calls the splitting of its secret.
    let catalog = before.catalog();
    let old_set: String = catalog
        .query_row("SELECT lower(hex(set_id)) FROM share_set WHERE epoch = 1", [], |row| row.get(0))
        .unwrap();
    drop(catalog);
    // As it is, and with the number and the splitting inside of it changed too.
    let attacked = scene.world.copy();
    attacked.put_back_catalog(&before);
    rename(&attacked, &|text| text);
    let edited = scene.world.copy();
    edited.put_back_catalog(&before);
    rename(&edited, &|text| {
        let changed = text.replace("epoch: 2", "epoch: 1").replace("epoch 2", "epoch 1");
        assert_ne!(changed, text, "{}", text.lines().next().unwrap());
        let set = text.lines().find_map(|line| line.strip_prefix("set ")).unwrap();
        changed.replace(set, &old_set)
    });
    // The old catalog with the new number.
    let renumbered = scene.world.copy();
    renumbered.put_back_catalog(&before);
    let new_share = fs::read_to_string(custodian(&renumbered, 2)).unwrap();
    let new_set = new_share.lines().find_map(|line| line.strip_prefix("set ")).unwrap();
    let renumber = format!(
        "PRAGMA foreign_keys = off;
         UPDATE vault SET epoch = 2;
         UPDATE share_set SET epoch = 2, set_id = x'{new_set}';
         UPDATE share SET epoch = 2, set_id = x'{new_set}';"
    );
    renumbered.catalog().execute_batch(&renumber).unwrap();
    for world in [&attacked, &edited, &renumbered] {
        for (command, ran) in every_command(world) {
            assert_eq!(ran.code, Some(3), "{command}: {}", ran.all());
        }
    }
}

#[tokio::test]
async fn rows_of_the_old_catalog_in_the_new_one_open_nothing_of_hers() {
    let (scene, before, reference) = Scene::erased().await;
    let old = before.path().join("catalog.sqlite").display().to_string();
    let splice = |statements: &str| {
        let attacked = scene.world.copy();
        let catalog = attacked.catalog();
        catalog.execute("ATTACH ?1 AS old", [&old]).unwrap();
        catalog.execute_batch(statements).unwrap();
        drop(catalog);
        attacked
    };
    let her_row = format!(
        "INSERT INTO main.subject SELECT * FROM old.subject WHERE reference = x'{reference}';"
    );
    let her_shard = format!(
        "UPDATE main.shard SET wrapped_key = (SELECT wrapped_key FROM old.shard o
            WHERE o.shard_id = main.shard.shard_id)
         WHERE shard_id = (SELECT shard_id FROM old.subject WHERE reference = x'{reference}');"
    );
    let another_shard = format!(
        "INSERT INTO main.shard SELECT 99, wrapped_key, capacity FROM old.shard WHERE shard_id =
            (SELECT shard_id FROM old.subject WHERE reference = x'{reference}');
         UPDATE main.subject SET shard_id = 99 WHERE reference = x'{reference}';"
    );
    let all_wrapped = "
        UPDATE main.shard SET wrapped_key = (SELECT wrapped_key FROM old.shard o
            WHERE o.shard_id = main.shard.shard_id);
        UPDATE main.backup SET wrapped_key = (SELECT wrapped_key FROM old.backup o
            WHERE o.backup_id = main.backup.backup_id);
        UPDATE main.vault_key SET wrapped_key = (SELECT wrapped_key FROM old.vault_key o
            WHERE o.kind = main.vault_key.kind)
        WHERE kind IN (SELECT kind FROM old.vault_key);";
    for statements in [
        her_row.clone(),
        [&her_row[..], &her_shard].concat(),
        [&her_row[..], &another_shard].concat(),
        [&her_row[..], all_wrapped].concat(),
        her_shard.clone(),
    ] {
        let attacked = splice(&statements);
        for command in [&["verify", "--all"][..], &["verify", "latest"]] {
            let ran = attacked.ends(3, command);
            let text = ran.all();
            assert!(text.contains("key") || text.contains("shard"), "it says what: {text}");
        }
        for flags in [&[][..], &["--salvage"]] {
            let target = uncreated_database();
            let ran = attacked.restore("latest", &target, &[&["--create"], flags].concat());
            assert_eq!(ran.code, Some(3), "{}", ran.all());
            assert_nothing_of_hers(&target).await;
        }
    }

    // Her row alone can be forgotten once more; then all is well again.
    let attacked = splice(&her_row);
    let again = attacked.run(&erase_arguments(None, HER_KEY));
    assert_ne!(again.code, Some(1), "{}", again.all());
    let remove = format!("DELETE FROM subject WHERE reference = x'{reference}'");
    attacked.catalog().execute(&remove, []).unwrap();
    scene.assert_only_she_is_gone(&attacked).await;

    // Her tombstone taken away: a new backup takes her for a new person, and what was sealed under
    // her old key is noise to the new one.
    let attacked = splice("DELETE FROM tombstone");
    attacked.ok(&["backup", "main"]);
    for backup in &attacked.backups()[1..] {
        let target = uncreated_database();
        let ran = attacked.restore(backup, &target, &["--create"]);
        assert_eq!(ran.code, Some(3), "{}", ran.all());
        assert!(ran.error_message().contains(&reference), "{}", ran.all());
        let target = uncreated_database();
        let ran = attacked.restore(backup, &target, &["--create", "--salvage"]);
        assert_eq!(ran.code, Some(3), "{}", ran.all());
        picture::of(&target).await.assert_is(&scene.without_her);
    }
}

/// The database is not there, or holds nothing of hers.
async fn assert_nothing_of_hers(database: &TestDatabase) {
    let settings = database.settings();
    let Ok(session) = strongroom::postgres::Session::connect(&settings).await else { return };
    for table in picture::relations(&session, "r").await {
        let rows = picture::rows(&session, &table).await;
        assert!(!rows.iter().any(|row| row.contains(HER_KEY)), "{table}");
    }
    let objects = "SELECT count(*) FROM pg_largeobject WHERE data = $1";
    let row = session.query_one(objects, &[&HER_SECRET.as_bytes()]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn no_file_of_the_vault_tells_of_her() {
    let (scene, before, _) = Scene::erased().await;
    let texts = [HER_KEY, HER_EMAIL, HER_NAME, HER_SECRET, "u7@example.org", "case 7"];
    let passwords = [support::PASSWORD.to_owned(), support::PASSWORD.replace(' ', "%20")];
    for world in [&before, &scene.world] {
        for text in texts.iter().copied().chain(passwords.iter().map(String::as_str)) {
            assert_eq!(files_with(world, text), Vec::<String>::new(), "{text}");
        }
    }
    assert!(!files_with(&scene.world, "public.users").is_empty(), "the search itself works");
}

#[tokio::test]
async fn an_edited_audit_log_is_found_out() {
    let (scene, _, _) = Scene::erased().await;
    let defenceless = "
        DROP TRIGGER audit_entry_follows; DROP TRIGGER audit_entry_is_fixed;
        DROP TRIGGER audit_entry_is_kept; DROP TRIGGER audit_head_is_kept;
        DROP TRIGGER audit_head_goes_forward;";
    let intact = scene.world.ok(&["audit", "verify"]);
    assert_eq!((&intact["intact"], &intact["head_authenticated"]), (&true.into(), &true.into()));
    let entries = intact["entries"].as_i64().unwrap();
    let last = entries + 1;
    let swap = "
        UPDATE audit_entry SET seq = 100000 WHERE seq = 4;
        UPDATE audit_entry SET seq = 4 WHERE seq = 5;
        UPDATE audit_entry SET seq = 5 WHERE seq = 100000;";
    let erase_action = "SELECT min(seq) FROM audit_entry WHERE action = 'erase'";
    let erasure: i64 = scene.world.catalog().query_row(erase_action, [], |row| row.get(0)).unwrap();
    for (statements, entry) in [
        ("UPDATE audit_entry SET actor = 'nobody' WHERE seq = 3".to_owned(), 3),
        ("UPDATE audit_entry SET outcome = 'refused' WHERE seq = 2".to_owned(), 2),
        (format!("UPDATE audit_entry SET object = 'x' WHERE seq = {erasure}"), erasure),
        (
            format!("UPDATE audit_entry SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = {last}"),
            last,
        ),
        ("DELETE FROM audit_entry WHERE seq = 1".to_owned(), 1),
        (format!("DELETE FROM audit_entry WHERE seq = {erasure}"), erasure),
        ("DELETE FROM audit_entry WHERE seq IN (5, 6, 7)".to_owned(), 5),
        (swap.to_owned(), 4),
        ("UPDATE audit_entry SET hash = zeroblob(32) WHERE seq = 6".to_owned(), 6),
    ] {
        let attacked = scene.world.copy();
        attacked.catalog().execute_batch(&[defenceless, &statements].concat()).unwrap();
        let ran = attacked.ends(3, &["audit", "verify"]);
        let document = ran.document.as_ref().unwrap();
        assert_eq!(document["intact"], false, "{statements}");
        assert_eq!(document["entry"], entry, "{statements}: {document:#}");
        let problem = document["problem"].as_str().unwrap();
        assert!(problem.contains(&format!("entry {entry} ")), "{statements}: {problem}");
    }

    // The end cut off, and the head with it, moved back, or left: it is signed, so that it can be
    // neither made nor moved without the vault's key; nor does a later command sign what is left.
    let cut = format!("DELETE FROM audit_entry WHERE seq > {entries} - 6;");
    let back = "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_entry
        ORDER BY seq DESC LIMIT 1);";
    for head in ["DELETE FROM audit_head", back, ""] {
        for between in [&[][..], &["show", "latest"], &["backup", "main"]] {
            let attacked = scene.world.copy();
            attacked.catalog().execute_batch(&[defenceless, &cut, head].concat()).unwrap();
            if !between.is_empty() {
                attacked.ok(between);
            }
            for time in ["first", "second"] {
                let ran = attacked.run(&["audit", "verify"]);
                assert_eq!(ran.code, Some(3), "{time} time, `{head}`: {}", ran.all());
                assert_eq!(ran.document.as_ref().unwrap()["intact"], false);
            }
        }
    }
}
