//! Someone who kept copies of everything from before an erasure puts them back, whole and in parts;
//! someone edits the audit log. Nothing of hers opens, and nobody else is lost.

mod audit_log;
mod expired;
mod shares;
mod sizes;
mod two_machines;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{self, TestDatabase};
use crate::vault::picture::{self, Picture};
use crate::vault::reader::{self, Reading, said};
use crate::vault::{self, Ran, World, erase_arguments, files_below, uncreated_database};

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
    async fn set(custodians: u8, threshold: u8) -> Self {
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
        world.print_kit();
        world.share_among(custodians, threshold);
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
        Self::erased_with(1, 1).await
    }

    /// With so many custodians, any `threshold` of which make the epoch secret.
    async fn erased_with(custodians: u8, threshold: u8) -> (Self, World, String) {
        let scene = Self::set(custodians, threshold).await;
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
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    let commands: [&[&str]; 17] = [
        &["verify", "--all"],
        &["verify", "latest"],
        &["show", "latest"],
        &nowhere,
        &salvage,
        &dry_run,
        &erase_arguments(None, HER_KEY),
        &erase_arguments(None, "k3"),
        &["backup", "main"],
        &["subject", "readmit", "--source", "main", "--subject", HER_KEY],
        &["expire", "latest", "--yes"],
        &["keys", "rotate"],
        &["keys", "rotate-master", "--recipient", &recipient],
        &["custody", "check"],
        &["custody", "reconcile"],
        &["custody", "add", "thief", "--folder", "thief", "--threshold", "1"],
        &["custody", "remove", "custodian-2", "--threshold", "1"],
    ];
    commands.iter().map(|command| (command.join(" "), world.run(command))).collect()
}

/// Every command that needs no epoch secret: whatever it says, it says nothing of her.
fn commands_without_keys(world: &World) {
    let _ = fs::remove_file(world.path().join("kit-2.txt"));
    for command in [
        &["list"][..],
        &["source", "list"],
        &["custody", "list"],
        &["doctor"],
        &["audit", "list"],
        &["audit", "verify"],
        &["map", "main", "--check"],
        &["prune", "--dry-run"],
        &["kit", "print", "--output", "kit-2.txt"],
    ] {
        let ran = world.run(command);
        assert_ne!(ran.code, Some(1), "{command:?}: {}", ran.all());
        assert_tells_nothing(&ran.all());
    }
}

const HERS: [&str; 4] = [HER_KEY, HER_EMAIL, HER_NAME, HER_SECRET];

fn assert_tells_nothing(text: &str) {
    for one in HERS {
        assert!(!text.contains(one), "{one} is in: {text}");
    }
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

/// Someone has the whole world from before the erasure: configuration, catalog with its write-ahead
/// files, store, master secret, kit; and of the custodians everything but what was destroyed: their
/// present shares, and one share too few of the old ones.
#[tokio::test]
async fn the_whole_world_from_before_opens_nothing_of_hers_and_everything_of_the_others() {
    for (custodians, threshold) in [(1, 1), (3, 2)] {
        let (scene, before, _) = Scene::erased_with(custodians, threshold).await;
        let heads = files_below(&scene.world.path().join("store/catalog/head"));
        assert_eq!(heads.len(), 1, "the replica of the old epoch is deleted, too: {heads:?}");
        let thief = Thief::of(&scene.world, before, usize::from(threshold) - 1);
        thief.tries_every_command();
        thief.tries_the_reader(&scene);
        thief.tries_to_recover();
        for text in HERS {
            assert_eq!(files_with(&thief.world, text), Vec::<String>::new(), "{text}");
        }
        // With the present catalog, and all the rest from before, everything of the others is there.
        thief.world.put_back_catalog(&scene.world);
        thief.world.put_back("strongroom.toml", &scene.world);
        if thief.kept > 0 {
            // A share that was destroyed is there again: told, and destroyed once more.
            thief.world.ends(15, &["custody", "reconcile"]);
            assert_eq!(thief.old_shares(), Vec::<PathBuf>::new());
        }
        scene.assert_only_she_is_gone(&thief.world).await;
        let backup = thief.world.ok(&["backup", "main"]);
        assert_eq!(backup["rows_of_erased"], 304, "{backup:#}");
    }
}

/// Whoever has everything but what the custodians destroyed.
struct Thief {
    world: World,
    before: World,
    /// The old epoch, the present one.
    epochs: (u64, u64),
    /// Old shares that she kept, as many as do not suffice.
    kept: usize,
}

impl Thief {
    fn of(present: &World, before: World, kept: usize) -> Self {
        let world = present.copy();
        world.put_back_catalog(&before);
        for part in ["store", "master.age", "maps", "strongroom.toml", "identity", "kit.txt"] {
            world.put_back(part, &before);
        }
        let epoch = |world: &World| {
            let epoch: i64 =
                world.catalog().query_row("SELECT epoch FROM vault", [], |row| row.get(0)).unwrap();
            u64::try_from(epoch).unwrap()
        };
        let thief = Self { epochs: (epoch(&before), epoch(present)), world, before, kept };
        assert_eq!(thief.epochs.0 + 1, thief.epochs.1);
        for (old, here) in thief.before.custodians().iter().zip(thief.world.custodians()) {
            let name = format!("epoch-{}.secret", thief.epochs.0);
            assert!(!here.join(&name).exists(), "it was destroyed");
            if thief.old_shares().len() < kept {
                fs::copy(old.join(&name), here.join(&name)).unwrap();
            }
        }
        assert_eq!(thief.old_shares().len(), kept);
        thief
    }

    fn shares_of(&self, epoch: u64) -> Vec<PathBuf> {
        let name = format!("epoch-{epoch}.secret");
        let secrets = self.world.epoch_secrets().into_iter();
        secrets.filter(|file| file.ends_with(&name)).collect()
    }

    fn old_shares(&self) -> Vec<PathBuf> {
        self.shares_of(self.epochs.0)
    }

    /// Her copies of the present shares that say they are the old ones.
    fn pretended(&self, to: &Path) -> Vec<PathBuf> {
        let (old, present) = self.epochs;
        let set = "SELECT lower(hex(set_id)) FROM share_set WHERE epoch = ?1";
        let set: String = self
            .before
            .catalog()
            .query_row(set, [i64::try_from(old).unwrap()], |row| row.get(0))
            .unwrap();
        let _ = fs::create_dir_all(to);
        let mut pretended = Vec::new();
        for (number, file) in self.shares_of(present).iter().enumerate() {
            let text = fs::read_to_string(file).unwrap();
            let is_set = text.lines().find_map(|line| line.strip_prefix("set ")).unwrap();
            let text = text
                .replace(is_set, &set)
                .replace(&format!("\nepoch {present}\n"), &format!("\nepoch {old}\n"));
            let file = to.join(format!("pretended-{number}"));
            fs::write(&file, text).unwrap();
            pretended.push(file);
        }
        pretended
    }

    /// A twin of her world to try things in.
    fn twin(&self) -> Self {
        let before = self.before.copy();
        Self { world: self.world.copy(), before, epochs: self.epochs, kept: self.kept }
    }

    fn tries_every_command(&self) {
        let twin = self.twin();
        for (command, ran) in every_command(&twin.world) {
            assert_eq!(ran.code, Some(8), "{command}: {}", ran.all());
            assert!(ran.error_message().contains("an old copy"), "{command}: {}", ran.all());
            assert_tells_nothing(&ran.all().replace(&command, ""));
        }
        commands_without_keys(&twin.world);
        // Without the present shares nothing says that the catalog is old.
        let twin = self.twin();
        for share in twin.shares_of(self.epochs.1) {
            fs::remove_file(share).unwrap();
        }
        for (command, ran) in every_command(&twin.world) {
            assert_eq!(ran.code, Some(8), "{command}: {}", ran.all());
            assert_tells_nothing(&ran.all().replace(&command, ""));
        }
        // The present shares in the place of the old ones.
        let twin = self.twin();
        let pretended = twin.pretended(&twin.world.path().join("pretended"));
        for (folder, share) in twin.world.custodians().iter().zip(pretended) {
            let place = folder.join(format!("epoch-{}.secret", self.epochs.0));
            if !place.exists() {
                fs::rename(share, place).unwrap();
            }
        }
        for (command, ran) in every_command(&twin.world) {
            assert_eq!(ran.code, Some(3), "{command}: {}", ran.all());
            assert_tells_nothing(&ran.all().replace(&command, ""));
        }
        commands_without_keys(&twin.world);
    }

    fn tries_the_reader(&self, scene: &Scene) {
        let twin = self.twin();
        let catalog = twin.before.path().join("catalog.sqlite");
        let (old, present) = (twin.old_shares(), twin.shares_of(self.epochs.1));
        let pretended = twin.pretended(&twin.world.path().join("pretended"));
        let mut tried = 0;
        for catalog in [Some(&*catalog), None] {
            let mixed = [&old[..], &present].concat();
            let both = [&old[..], &pretended[old.len()..]].concat();
            for shares in [&old, &present, &mixed, &pretended, &both] {
                if shares.is_empty() {
                    continue;
                }
                tried += 1;
                let reading = Reading { catalog, shares, backup: "latest" };
                let (output, out) = reader::read(&twin.world, &reading, &format!("out-{tried}"));
                assert_eq!(output.status.code(), Some(2), "{}", said(&output));
                assert_tells_nothing(&said(&output));
                assert!(!out.exists());
            }
        }
        assert!(tried >= 6);
        // With all the old shares, both give her: it was the destroyed ones that were missing.
        let old = self.before.epoch_secrets();
        for (number, catalog) in [Some(&*catalog), None].into_iter().enumerate() {
            let reading = Reading { catalog, shares: &old, backup: "latest" };
            let (output, out) = reader::read(&twin.world, &reading, &format!("all-{number}"));
            assert!(output.status.success(), "{}", said(&output));
            let users = fs::read(out.join("public.users.copy")).unwrap();
            assert!(String::from_utf8_lossy(&users).contains(HER_NAME));
        }
        // With the present catalog it gives everybody else, from the old store.
        let catalog = scene.world.path().join("catalog.sqlite");
        let reading = Reading { catalog: Some(&catalog), shares: &present, backup: "latest" };
        let (output, out) = reader::read(&twin.world, &reading, "others");
        assert!(output.status.success(), "{}", said(&output));
        for (table, rows) in &scene.without_her.tables {
            let read = fs::read(out.join(format!("{table}.copy"))).unwrap();
            assert_eq!(reader::count_rows(&read), rows.len(), "{table}");
            assert_tells_nothing(&String::from_utf8_lossy(&read));
        }
        let objects = fs::read_dir(out.join("large-objects")).unwrap();
        let objects = objects.filter(|entry| entry.as_ref().unwrap().path().extension().is_none());
        assert_eq!(objects.count(), scene.without_her.large_objects.len());
        let forgotten = fs::read_to_string(out.join("forgotten.txt")).unwrap();
        assert_eq!(forgotten.lines().count(), 1);
    }

    fn tries_to_recover(&self) {
        let (old, present) = self.epochs;
        let old_epoch = old.to_string();
        let folders = |world: &World| -> Vec<String> {
            let folders = world.custodians().into_iter().map(|folder| folder.display().to_string());
            folders.flat_map(|folder| ["--custodian".to_owned(), folder]).collect()
        };
        let refused = |world: &World, arguments: &[&str], code: i32, sentence: &str| {
            let ran = world.run_recover(&folders(world), arguments);
            assert_eq!(ran.code, Some(code), "{}", ran.all());
            assert!(ran.error_message().contains(sentence), "{}", ran.all());
            assert_tells_nothing(&ran.all());
            for part in ["catalog.sqlite", "master.age", "strongroom.toml"] {
                assert!(!world.path().join(part).exists(), "{part}");
            }
        };
        let empty = self.world.emptied();
        let rolled_back = format!("the custodians hold the secret of epoch {present}");
        refused(&empty, &[], 4, &rolled_back);
        let too_few = if self.kept == 0 { "do not hold" } else { "only 1 could be had" };
        refused(&empty, &["--epoch", &old_epoch], 8, too_few);
        // The present shares gone, or in the place of the old ones.
        let empty = self.world.emptied();
        let name = format!("epoch-{present}.secret");
        for folder in empty.custodians() {
            fs::remove_file(folder.join(&name)).unwrap();
        }
        refused(&empty, &[], 8, too_few);
        let pretended = self.pretended(&empty.path().join("pretended"));
        for (folder, share) in empty.custodians().iter().zip(pretended) {
            let place = folder.join(format!("epoch-{old}.secret"));
            if !place.exists() {
                fs::rename(share, place).unwrap();
            }
        }
        if self.kept == 0 {
            refused(&empty, &[], 3, "does not open with this kit");
        } else {
            refused(&empty, &[], 8, "one of them does not fit the others");
        }
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
