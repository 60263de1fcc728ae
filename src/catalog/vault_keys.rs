//! The vault's few other keys: the commons', the index key, canaries, tombstone keys.

use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use crate::base::ids::ShardId;

/// One key that belongs to the vault itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultKeyRow {
    /// What it is for: `commons`, `index`, `canary`, `tombstone:2026Q4`. 1 to 63 letters, digits
    /// and `:._-`.
    pub kind: String,
    /// The shard whose key wraps it.
    pub shard_id: ShardId,
    /// The key, wrapped under the shard key.
    pub wrapped_key: Vec<u8>,
}

/// The key of one kind, if there is one.
pub fn get(connection: &Connection, kind: &str) -> Result<Option<VaultKeyRow>, CatalogError> {
    connection
        .prepare_cached("SELECT kind, shard_id, wrapped_key FROM vault_key WHERE kind = ?1")
        .and_then(|mut statement| statement.query_row([kind], from_row).optional())
        .doing("read a key of the vault")
}

/// All keys, by kind.
pub fn all(connection: &Connection) -> Result<Vec<VaultKeyRow>, CatalogError> {
    select(connection, "ORDER BY kind", [])
}

/// The keys that hang on a shard, by kind.
pub fn by_shard(
    connection: &Connection,
    shard_id: ShardId,
) -> Result<Vec<VaultKeyRow>, CatalogError> {
    select(connection, "WHERE shard_id = ?1 ORDER BY kind", [shard_id])
}

/// Adds a key.
///
/// # Errors
/// [`CatalogError::Database`], also when there is one of that kind: a key is never replaced.
pub fn insert(transaction: &Transaction<'_>, key: &VaultKeyRow) -> Result<(), CatalogError> {
    let VaultKeyRow { kind, shard_id, wrapped_key } = key;
    transaction
        .execute(
            "INSERT INTO vault_key (kind, shard_id, wrapped_key) VALUES (?1, ?2, ?3)",
            (kind, shard_id, wrapped_key),
        )
        .doing("add a key of the vault")?;
    Ok(())
}

/// Gives keys new wrappings; their shards stay.
///
/// # Errors
/// [`CatalogError::Missing`] when one of them is not there.
pub fn update_wrapped(
    transaction: &Transaction<'_>,
    keys: &[(String, Vec<u8>)],
) -> Result<(), CatalogError> {
    for (kind, wrapped_key) in keys {
        let changed = transaction
            .execute("UPDATE vault_key SET wrapped_key = ?2 WHERE kind = ?1", (kind, wrapped_key))
            .doing("re-wrap a key of the vault")?;
        if changed != 1 {
            return Err(missing(kind));
        }
    }
    Ok(())
}

/// Takes a key away.
///
/// # Errors
/// [`CatalogError::Missing`] when it is not there.
pub fn delete(transaction: &Transaction<'_>, kind: &str) -> Result<(), CatalogError> {
    let deleted = transaction
        .execute("DELETE FROM vault_key WHERE kind = ?1", [kind])
        .doing("delete a key of the vault")?;
    if deleted == 1 { Ok(()) } else { Err(missing(kind)) }
}

fn select(
    connection: &Connection,
    clause: &str,
    parameters: impl Params,
) -> Result<Vec<VaultKeyRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(&format!("SELECT kind, shard_id, wrapped_key FROM vault_key {clause}"))?
            .query_map(parameters, from_row)?
            .collect()
    };
    query().doing("read the keys of the vault")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<VaultKeyRow> {
    Ok(VaultKeyRow { kind: row.get(0)?, shard_id: row.get(1)?, wrapped_key: row.get(2)? })
}

fn missing(kind: &str) -> CatalogError {
    CatalogError::Missing { object: format!("vault key `{kind}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::catalog;

    #[test]
    fn keys_of_the_vault_are_found_by_kind_and_by_shard() {
        let (_folder, catalog) = catalog();
        let key = |kind: &str, byte| VaultKeyRow {
            kind: kind.into(),
            shard_id: ShardId(1),
            wrapped_key: vec![byte; 60],
        };
        let keys = [key("commons", 1), key("index", 2), key("tombstone:2026Q4", 3)];
        catalog.transaction(|tx| keys.iter().try_for_each(|key| insert(tx, key))).unwrap();
        assert_eq!(all(catalog.connection()).unwrap(), keys);
        assert_eq!(by_shard(catalog.connection(), ShardId(1)).unwrap(), keys);
        catalog.transaction(|tx| insert(tx, &key("index", 9))).unwrap_err();
        catalog.transaction(|tx| insert(tx, &key("two words", 9))).unwrap_err();
        assert_eq!(get(catalog.connection(), "index").unwrap(), Some(keys[1].clone()));
        let changes = [("index".to_owned(), vec![8; 60])];
        catalog.transaction(|tx| update_wrapped(tx, &changes)).unwrap();
        assert_eq!(get(catalog.connection(), "index").unwrap(), Some(key("index", 8)));
        catalog.transaction(|tx| delete(tx, "index")).unwrap();
        let gone = catalog.transaction(|tx| update_wrapped(tx, &changes)).unwrap_err();
        assert_eq!(gone.to_string(), "the catalog has no vault key `index`");
    }
}
