//! What the tests of the audit log begin with.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;

use super::{Action, NewEntry, Outcome};

/// `second` seconds after a fixed moment.
pub fn at(second: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + i64::try_from(second).unwrap())
}

/// A database that holds the log and nothing else.
pub fn database() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("audit.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA recursive_triggers = ON",
        )
        .unwrap();
    connection.execute_batch(include_str!("../../catalog-schema/0004_audit.sql")).unwrap();
    (folder, connection)
}

/// An entry of a fixed kind at [`at`]`(second)`.
pub fn entry(second: u64) -> NewEntry<'static> {
    NewEntry {
        at: at(second),
        actor: "ada",
        host: "vault-1",
        action: Action::Restore,
        object: "20261122T020000Z-3fa9c1",
        outcome: Outcome::Begun,
        detail: Some("tables=3"),
    }
}
