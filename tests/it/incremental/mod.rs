//! Backups that refer to what earlier ones hold: what they write, that each restores by itself, and
//! that whatever is forgotten or removed takes nothing with it that another backup needs.

mod chains;
mod forgetting;
mod old_vault;
mod sizes;
mod stores;

use std::collections::BTreeSet;

use crate::support::{self, TestDatabase};
use crate::vault::{World, files_below, picture};
use serde_json::Value;

/// Users with notes, an item below each note, and a table that is nobody's.
const SCHEMA: &str = "
    SET search_path = public;
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
    CREATE TABLE notes (
        id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, body text NOT NULL);
    CREATE TABLE items (
        id bigint PRIMARY KEY, note_id bigint NOT NULL REFERENCES notes, body text NOT NULL);
    CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);";

/// A database with so many people, and a vault with it as its source.
pub(crate) struct Case {
    pub(crate) database: TestDatabase,
    pub(crate) world: World,
}

impl Case {
    pub(crate) async fn new(people: u32) -> Self {
        let database = support::database();
        let rows = format!(
            "{SCHEMA}
             INSERT INTO users SELECT i, 'u' || i || '@example.org' FROM generate_series(1, {people}) i;
             INSERT INTO notes SELECT i, i, {} FROM generate_series(1, {people}) i;
             INSERT INTO items SELECT i, i, {} FROM generate_series(1, {people}) i;
             INSERT INTO countries SELECT 'c' || i, md5(i::text) FROM generate_series(1, 200) i;",
            text("i", 32),
            text("-i", 4),
        );
        database.session().await.batch("a small database", &rows).await.unwrap();
        let world = World::with_source(&database);
        world.map(&["--root", "users", "--shared", "countries"]);
        Self { database, world }
    }

    pub(crate) async fn sql(&self, statements: &str) {
        self.database
            .session()
            .await
            .batch("a change", &format!("SET search_path = public; {statements}"))
            .await
            .unwrap();
    }

    pub(crate) fn back_up(&self, arguments: &[&str]) -> Value {
        self.world.ok(&[&["backup", "main"], arguments].concat())
    }

    /// Restores a backup and compares everything with a picture.
    pub(crate) async fn expect(&self, backup: &Value, expected: &picture::Picture) {
        let (copy, report) = self.world.restored(id(backup), &[]);
        picture::of(&copy).await.assert_is(expected);
        assert_eq!(report["rows_forgotten"], 0);
    }

    pub(crate) async fn picture(&self) -> picture::Picture {
        picture::of(&self.database).await
    }

    pub(crate) fn verify(&self) {
        let report = self.world.ok(&["verify", "--all"]);
        assert_eq!(report["intact"], true, "{report:#}");
    }

    /// The names of the store's objects below a folder of it.
    pub(crate) fn objects(&self, folder: &str) -> BTreeSet<String> {
        let store = self.world.path().join("store");
        let below = store.join(folder);
        let files = if below.exists() { files_below(&below) } else { Vec::new() };
        let name =
            |file: &std::path::PathBuf| file.strip_prefix(&store).unwrap().display().to_string();
        files.iter().map(name).collect()
    }

    /// The bytes of everything in the store.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let files = files_below(&self.world.path().join("store"));
        files.iter().map(|file| file.metadata().unwrap().len()).sum()
    }
}

/// SQL for a text that hardly compresses below half, of so many times 32 letters.
pub(crate) fn text(seed: &str, times: u32) -> String {
    format!(
        "(SELECT string_agg(md5(({seed})::text || ':' || n), '') FROM generate_series(1, {times}) n)"
    )
}

pub(crate) fn id(backup: &Value) -> &str {
    backup["backup"].as_str().unwrap()
}

pub(crate) fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}
