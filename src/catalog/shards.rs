//! Shard keys: the middle of the key tree.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Count;
use crate::base::ids::ShardId;

impl ToSql for ShardId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for ShardId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRow {
    /// The shard's number.
    pub shard_id: ShardId,
    /// Its key, wrapped under the root key of the vault's present epoch.
    pub wrapped_key: Vec<u8>,
    /// How many keys it may hold before another shard is begun.
    pub capacity: u64,
}

/// A shard that takes more keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenShard {
    /// The shard.
    pub shard: ShardRow,
    /// How many more keys fit, at least 1.
    pub free: u64,
}

/// All shards, by number.
pub fn all(connection: &Connection) -> Result<Vec<ShardRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached("SELECT shard_id, wrapped_key, capacity FROM shard ORDER BY shard_id")?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the shards")
}

/// One shard.
///
/// # Errors
/// [`CatalogError::Missing`] when there is none of that number.
pub fn get(connection: &Connection, shard_id: ShardId) -> Result<ShardRow, CatalogError> {
    connection
        .prepare_cached("SELECT shard_id, wrapped_key, capacity FROM shard WHERE shard_id = ?1")
        .and_then(|mut statement| statement.query_row([shard_id], from_row).optional())
        .doing("read a shard")?
        .ok_or_else(|| missing(shard_id))
}

/// The number for the next shard: one more than the greatest now.
///
/// # Errors
/// [`CatalogError::Conflict`] when the numbers are used up (after four thousand million shards).
pub fn next_id(connection: &Connection) -> Result<ShardId, CatalogError> {
    let greatest: u32 = connection
        .query_row("SELECT coalesce(max(shard_id), 0) FROM shard", [], |row| row.get(0))
        .doing("number a shard")?;
    greatest
        .checked_add(1)
        .map(ShardId)
        .ok_or_else(|| CatalogError::Conflict { object: "a shard of the last number".into() })
}

/// The newest shard, if it has room. Older ones are not filled up again: what an erasure freed in
/// them is little, and looking for it would mean counting every key.
pub fn open_shard(connection: &Connection) -> Result<Option<OpenShard>, CatalogError> {
    let newest = connection
        .query_row(
            "SELECT shard_id, wrapped_key, capacity FROM shard ORDER BY shard_id DESC LIMIT 1",
            [],
            from_row,
        )
        .optional()
        .doing("read the newest shard")?;
    let Some(shard) = newest else { return Ok(None) };
    let used: Count = connection
        .query_row(
            "SELECT (SELECT count(*) FROM subject WHERE shard_id = ?1)
                  + (SELECT count(*) FROM backup WHERE shard_id = ?1)
                  + (SELECT count(*) FROM vault_key WHERE shard_id = ?1)",
            [shard.shard_id],
            |row| row.get(0),
        )
        .doing("count the keys of a shard")?;
    let free = shard.capacity.saturating_sub(used.0);
    Ok((free > 0).then_some(OpenShard { shard, free }))
}

/// How many keys the subjects' shards together may hold: about as many as there are, for a shard is begun when
/// the one before is full.
pub fn capacity_for_subjects(connection: &Connection) -> Result<u64, CatalogError> {
    connection
        .query_row(
            "SELECT coalesce(sum(capacity), 0) FROM shard WHERE shard_id >= ?1",
            [ShardId::FIRST_OF_SUBJECTS],
            |row| row.get::<_, Count>(0),
        )
        .map(|count| count.0)
        .doing("sum up the shards")
}

/// Adds a shard.
pub fn insert(transaction: &Transaction<'_>, shard: &ShardRow) -> Result<(), CatalogError> {
    transaction
        .prepare_cached("INSERT INTO shard (shard_id, wrapped_key, capacity) VALUES (?1, ?2, ?3)")
        .and_then(|mut statement| {
            statement.execute((shard.shard_id, &shard.wrapped_key, Count(shard.capacity)))
        })
        .doing("add a shard")?;
    Ok(())
}

/// Gives shards new wrapped keys.
///
/// # Errors
/// [`CatalogError::Missing`] when one of them is not there.
pub fn update_wrapped_many(
    transaction: &Transaction<'_>,
    shards: &[(ShardId, Vec<u8>)],
) -> Result<(), CatalogError> {
    let mut statement = transaction
        .prepare_cached("UPDATE shard SET wrapped_key = ?2 WHERE shard_id = ?1")
        .doing("re-wrap shards")?;
    for (shard_id, wrapped_key) in shards {
        if statement.execute((shard_id, wrapped_key)).doing("re-wrap a shard")? != 1 {
            return Err(missing(*shard_id));
        }
    }
    Ok(())
}

/// Takes a shard away.
///
/// # Errors
/// [`CatalogError::Missing`] when it is not there; [`CatalogError::Database`] while a key still
/// hangs on it. The newest shard must stay if its number is not to be used again.
pub fn delete(transaction: &Transaction<'_>, shard_id: ShardId) -> Result<(), CatalogError> {
    let deleted = transaction
        .execute("DELETE FROM shard WHERE shard_id = ?1", [shard_id])
        .doing("delete a shard")?;
    if deleted == 1 { Ok(()) } else { Err(missing(shard_id)) }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<ShardRow> {
    Ok(ShardRow {
        shard_id: row.get(0)?,
        wrapped_key: row.get(1)?,
        capacity: row.get::<_, Count>(2)?.0,
    })
}

fn missing(shard_id: ShardId) -> CatalogError {
    CatalogError::Missing { object: format!("shard {shard_id}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{catalog, shard, subject};
    use crate::catalog::{subjects, vault_keys};

    #[test]
    fn a_shard_is_open_until_its_keys_reach_its_capacity() {
        let (_folder, catalog) = catalog();
        catalog
            .transaction(|tx| {
                insert(tx, &shard(2, 3))?;
                let mut row = subject(1);
                row.shard_id = ShardId(2);
                subjects::insert_many(tx, &[row])?;
                vault_keys::insert(
                    tx,
                    &vault_keys::VaultKeyRow {
                        kind: "commons".into(),
                        shard_id: ShardId(2),
                        wrapped_key: vec![1; 60],
                    },
                )
            })
            .unwrap();
        assert_eq!(open_shard(catalog.connection()).unwrap().unwrap().free, 1);
        catalog
            .transaction(|tx| {
                let mut row = subject(2);
                row.shard_id = ShardId(2);
                subjects::insert_many(tx, &[row])
            })
            .unwrap();
        assert_eq!(open_shard(catalog.connection()).unwrap(), None);
        assert_eq!(next_id(catalog.connection()).unwrap(), ShardId(3));
        assert_eq!(all(catalog.connection()).unwrap().len(), 2);
    }

    #[test]
    fn shards_of_the_vaults_own_keys_say_nothing_of_how_many_subjects_there_are() {
        let (_folder, catalog) = catalog();
        catalog
            .transaction(|tx| {
                insert(tx, &shard(2, u64::from(u32::MAX)))?;
                assert_eq!(capacity_for_subjects(tx)?, 0);
                insert(tx, &shard(3, 256))?;
                insert(tx, &shard(4, 300))
            })
            .unwrap();
        assert_eq!(capacity_for_subjects(catalog.connection()).unwrap(), 556);
    }

    #[test]
    fn a_shard_with_keys_cannot_be_deleted() {
        let (_folder, catalog) = catalog();
        catalog.transaction(|tx| subjects::insert_many(tx, &[subject(1)])).unwrap();
        catalog.transaction(|tx| delete(tx, ShardId(1))).unwrap_err();
        let unknown = catalog.transaction(|tx| delete(tx, ShardId(9))).unwrap_err();
        assert_eq!(unknown.to_string(), "the catalog has no shard 9");
    }

    #[test]
    fn rewrapping_is_all_or_nothing() {
        let (_folder, catalog) = catalog();
        let changes = [(ShardId(1), vec![9; 60]), (ShardId(7), vec![9; 60])];
        catalog.transaction(|tx| update_wrapped_many(tx, &changes)).unwrap_err();
        assert_eq!(get(catalog.connection(), ShardId(1)).unwrap(), shard(1, 100));
        catalog.transaction(|tx| update_wrapped_many(tx, &changes[..1])).unwrap();
        assert_eq!(get(catalog.connection(), ShardId(1)).unwrap().wrapped_key, vec![9; 60]);
    }
}
