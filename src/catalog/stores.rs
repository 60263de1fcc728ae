//! What is known of the vault's stores: which backup is complete where, what each store was seen to
//! do, and how far the catalog's replica in each goes. A store is named as the configuration has it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::{Count, Moment, parsed};
use crate::base::ids::BackupId;

crate::words!(
    /// Whether a backup is whole in a store.
    CopyState, "state of a copy",
    /// Every object is there; the digests were checked on the way.
    Complete = "complete",
    /// It should be there, and is not, or not whole.
    Behind = "behind",
);

impl ToSql for CopyState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for CopyState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        parsed(value)
    }
}

/// A backup in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRow {
    /// The backup.
    pub backup_id: BackupId,
    /// The store's name.
    pub store: String,
    /// Whether it is whole there.
    pub state: CopyState,
    /// When it came into its state.
    pub noted_at: DateTime<Utc>,
}

/// What a store was seen to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRow {
    /// The store's name.
    pub store: String,
    /// Where it was.
    pub location: String,
    /// What was found, as JSON.
    pub capabilities: String,
    /// When it was looked at.
    pub checked_at: DateTime<Utc>,
}

/// Notes how a backup stands in a store. The moment changes with the state only.
///
/// # Errors
/// [`CatalogError::Database`] when there is no such backup.
pub fn put_copy(transaction: &Transaction<'_>, row: &CopyRow) -> Result<(), CatalogError> {
    transaction
        .prepare_cached(
            "INSERT INTO backup_copy (backup_id, store, state, noted_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET state = excluded.state, noted_at = excluded.noted_at
             WHERE state <> excluded.state",
        )
        .and_then(|mut statement| {
            statement.execute((&row.backup_id, &row.store, row.state, Moment(row.noted_at)))
        })
        .doing("note where a backup lies")?;
    Ok(())
}

/// Where a backup lies, by the stores' names.
pub fn copies_of(
    connection: &Connection,
    backup_id: &BackupId,
) -> Result<Vec<CopyRow>, CatalogError> {
    select(connection, "WHERE backup_id = ?1 ORDER BY store", [backup_id])
}

/// Where every backup lies, by backup and store.
pub fn all_copies(connection: &Connection) -> Result<Vec<CopyRow>, CatalogError> {
    select(connection, "ORDER BY backup_id, store", [])
}

/// Keeps what a store was seen to do.
pub fn put_store(transaction: &Transaction<'_>, row: &StoreRow) -> Result<(), CatalogError> {
    transaction
        .execute(
            "INSERT INTO store (store, location, capabilities, checked_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET location = excluded.location,
                 capabilities = excluded.capabilities, checked_at = excluded.checked_at",
            (&row.store, &row.location, &row.capabilities, Moment(row.checked_at)),
        )
        .doing("keep what a store can do")?;
    Ok(())
}

/// What a store was seen to do, if anybody looked.
pub fn store(connection: &Connection, name: &str) -> Result<Option<StoreRow>, CatalogError> {
    connection
        .query_row(
            "SELECT store, location, capabilities, checked_at FROM store WHERE store = ?1",
            [name],
            |row| {
                Ok(StoreRow {
                    store: row.get(0)?,
                    location: row.get(1)?,
                    capabilities: row.get(2)?,
                    checked_at: row.get::<_, Moment>(3)?.0,
                })
            },
        )
        .optional()
        .doing("read what a store can do")
}

/// The newest replica that each store is known to hold whole.
pub fn replicas(connection: &Connection) -> Result<BTreeMap<String, u64>, CatalogError> {
    let query = || -> rusqlite::Result<BTreeMap<String, u64>> {
        connection
            .prepare_cached("SELECT store, sequence FROM replica_store")?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, Count>(1)?.0)))?
            .collect()
    };
    query().doing("read how far its replicas go")
}

/// Notes the newest replica that a store holds whole.
pub fn put_replica(
    transaction: &Transaction<'_>,
    store: &str,
    sequence: u64,
) -> Result<(), CatalogError> {
    transaction
        .prepare_cached(
            "INSERT INTO replica_store (store, sequence) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET sequence = excluded.sequence",
        )
        .and_then(|mut statement| statement.execute((store, Count(sequence))))
        .doing("note how far a replica goes")?;
    Ok(())
}

fn select(
    connection: &Connection,
    clause: &str,
    parameters: impl Params,
) -> Result<Vec<CopyRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(&format!(
                "SELECT backup_id, store, state, noted_at FROM backup_copy {clause}"
            ))?
            .query_map(parameters, from_row)?
            .collect()
    };
    query().doing("read where backups lie")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<CopyRow> {
    Ok(CopyRow {
        backup_id: row.get(0)?,
        store: row.get(1)?,
        state: row.get(2)?,
        noted_at: row.get::<_, Moment>(3)?.0,
    })
}
