//! Why a backup was not made while others needed its tables.

use super::OpsError;
use crate::base::schema::QualifiedName;

/// Why a backup was not made while others needed its tables.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A lock was not to be had in the time that was given for it.
    #[error("{} is locked by {by}", table_or_relation(.table.as_ref()))]
    NotHad {
        /// The table, where it is one.
        table: Option<QualifiedName>,
        /// Who holds it, or waits for it before the backup.
        by: String,
    },
    /// The backup released everything, for someone had waited long enough behind it.
    #[error("the backup gave way to {to}, which waited for {}", table_or_end(.table.as_ref()))]
    GaveWay {
        /// The table, where it was one.
        table: Option<QualifiedName>,
        /// Who waited.
        to: String,
    },
    /// It was tried often enough.
    #[error("no backup was made in {attempts} attempts; the last one: {source}")]
    GaveUp {
        /// How often it was tried.
        attempts: u32,
        /// Why the last one failed.
        source: Box<OpsError>,
    },
}

/// What is waited for.
#[must_use]
pub fn table_or_end(table: Option<&QualifiedName>) -> String {
    table.map_or_else(|| "its end".to_owned(), |table| format!("table {table}"))
}

/// What is locked.
fn table_or_relation(table: Option<&QualifiedName>) -> String {
    let something = || "something that the backup needs".to_owned();
    table.map_or_else(something, |table| format!("table {table}"))
}
