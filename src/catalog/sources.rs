//! The PostgreSQL databases that are backed up.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Moment;
use crate::base::ids::SourceId;

/// Where a source's connection URL comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// The URL itself, sealed: it may hold a password.
    Sealed(Vec<u8>),
    /// The name of the environment variable that holds it.
    Environment(String),
    /// It was removed: nothing more is backed up. Its backups stay.
    Removed,
}

/// What the column `url_env` holds of a source that was removed: no variable has this name.
const REMOVED: &str = "STRONGROOM_SOURCE_REMOVED";

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The source's identifier.
    pub source_id: SourceId,
    /// The name that people type.
    pub name: String,
    /// Where its URL comes from.
    pub url: SourceUrl,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// Whether `name` can name a source: 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a
/// letter or digit. Names stand in the audit log, where free text must not.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// All sources, by name.
pub fn all(connection: &Connection) -> Result<Vec<SourceRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare_cached(
                "SELECT source_id, name, url_sealed, url_env, created_at FROM source ORDER BY name",
            )?
            .query_map([], from_row)?
            .collect()
    };
    query().doing("read the sources")
}

/// The source of that name, if there is one.
pub fn by_name(connection: &Connection, name: &str) -> Result<Option<SourceRow>, CatalogError> {
    select_one(connection, "name = ?1", [name])
}

/// The source of that identifier, if there is one.
pub fn by_id(
    connection: &Connection,
    source_id: SourceId,
) -> Result<Option<SourceRow>, CatalogError> {
    select_one(connection, "source_id = ?1", [source_id])
}

/// Adds a source.
///
/// # Errors
/// [`CatalogError::InvalidSourceName`]; [`CatalogError::Conflict`] when the name is taken.
pub fn insert(transaction: &Transaction<'_>, source: &SourceRow) -> Result<(), CatalogError> {
    let SourceRow { source_id, name, url, created_at } = source;
    if !is_valid_name(name) {
        return Err(CatalogError::InvalidSourceName { name: name.clone() });
    }
    if by_name(transaction, name)?.is_some() {
        return Err(CatalogError::Conflict { object: format!("a source named `{name}`") });
    }
    let (sealed, environment) = url_columns(url);
    transaction
        .execute(
            "INSERT INTO source (source_id, name, url_sealed, url_env, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (source_id, name, sealed, environment, Moment(*created_at)),
        )
        .doing("add a source")?;
    Ok(())
}

/// Gives a source another URL, for example after a change of its password.
///
/// # Errors
/// [`CatalogError::Missing`] when there is no such source.
pub fn set_url(
    transaction: &Transaction<'_>,
    source_id: SourceId,
    url: &SourceUrl,
) -> Result<(), CatalogError> {
    let (sealed, environment) = url_columns(url);
    let changed = transaction
        .execute(
            "UPDATE source SET url_sealed = ?2, url_env = ?3 WHERE source_id = ?1",
            (source_id, sealed, environment),
        )
        .doing("change a source")?;
    if changed == 1 {
        Ok(())
    } else {
        Err(CatalogError::Missing { object: format!("source {source_id}") })
    }
}

/// Gives a source another name.
///
/// # Errors
/// [`CatalogError::InvalidSourceName`]; [`CatalogError::Conflict`] when the name is taken;
/// [`CatalogError::Missing`] when there is no such source.
pub fn rename(
    transaction: &Transaction<'_>,
    source_id: SourceId,
    name: &str,
) -> Result<(), CatalogError> {
    if !is_valid_name(name) {
        return Err(CatalogError::InvalidSourceName { name: name.to_owned() });
    }
    if by_name(transaction, name)?.is_some() {
        return Err(CatalogError::Conflict { object: format!("a source named `{name}`") });
    }
    let changed = transaction
        .execute("UPDATE source SET name = ?2 WHERE source_id = ?1", (source_id, name))
        .doing("rename a source")?;
    if changed == 1 {
        Ok(())
    } else {
        Err(CatalogError::Missing { object: format!("source {source_id}") })
    }
}

fn url_columns(url: &SourceUrl) -> (Option<&[u8]>, Option<&str>) {
    match url {
        SourceUrl::Sealed(bytes) => (Some(bytes), None),
        SourceUrl::Environment(variable) => (None, Some(variable)),
        SourceUrl::Removed => (None, Some(REMOVED)),
    }
}

fn select_one(
    connection: &Connection,
    condition: &str,
    parameters: impl Params,
) -> Result<Option<SourceRow>, CatalogError> {
    connection
        .query_row(
            &format!(
                "SELECT source_id, name, url_sealed, url_env, created_at FROM source WHERE {condition}"
            ),
            parameters,
            from_row,
        )
        .optional()
        .doing("read a source")
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<SourceRow> {
    let url = match row.get(2)? {
        Some(sealed) => SourceUrl::Sealed(sealed),
        None => match row.get::<_, String>(3)? {
            variable if variable == REMOVED => SourceUrl::Removed,
            variable => SourceUrl::Environment(variable),
        },
    };
    Ok(SourceRow {
        source_id: row.get(0)?,
        name: row.get(1)?,
        url,
        created_at: row.get::<_, Moment>(4)?.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{SOURCE, catalog, moment};

    fn source(name: &str, url: SourceUrl) -> SourceRow {
        let byte = u8::try_from(name.len()).unwrap_or(u8::MAX);
        SourceRow { source_id: SourceId([byte; 16]), name: name.into(), url, created_at: moment(3) }
    }

    #[test]
    fn a_source_is_found_by_name_and_by_identifier() {
        let (_folder, catalog) = catalog();
        let sealed = source("accounts", SourceUrl::Sealed(vec![5; 80]));
        catalog.transaction(|tx| insert(tx, &sealed)).unwrap();
        assert_eq!(by_name(catalog.connection(), "accounts").unwrap().as_ref(), Some(&sealed));
        assert_eq!(by_id(catalog.connection(), sealed.source_id).unwrap(), Some(sealed));
        assert_eq!(by_name(catalog.connection(), "nobody").unwrap(), None);
        for url in [SourceUrl::Environment("OTHER_URL".into()), SourceUrl::Removed] {
            catalog.transaction(|tx| set_url(tx, SOURCE, &url)).unwrap();
            assert_eq!(by_id(catalog.connection(), SOURCE).unwrap().unwrap().url, url);
        }
        catalog.transaction(|tx| rename(tx, SOURCE, "other")).unwrap();
        assert_eq!(by_name(catalog.connection(), "other").unwrap().unwrap().source_id, SOURCE);
        let taken = catalog.transaction(|tx| rename(tx, SOURCE, "accounts")).unwrap_err();
        assert!(matches!(taken, CatalogError::Conflict { .. }));
        assert_eq!(all(catalog.connection()).unwrap().len(), 2);
    }

    #[test]
    fn a_name_that_is_taken_or_invalid_is_refused() {
        let (_folder, catalog) = catalog();
        let try_name = |name: &str| {
            let row = source(name, SourceUrl::Environment("A".into()));
            catalog.transaction(|tx| insert(tx, &row)).unwrap_err().to_string()
        };
        assert_eq!(try_name("shop"), "the catalog already has a source named `shop`");
        for name in ["", "-x", "a b", "a@b", "../x", "é", &"x".repeat(64)] {
            assert!(try_name(name).contains("cannot name a source"), "{name}");
        }
    }

    #[test]
    fn the_schema_refuses_the_same_names() {
        let (_folder, catalog) = catalog();
        for name in ["", "-x", "a b", "a@b", "../x", "é", &"x".repeat(64), "ok.A_9-"] {
            let added = catalog.connection().execute(
                "INSERT INTO source (source_id, name, url_env, created_at)
                 VALUES (randomblob(16), ?1, 'A', ?2)",
                (name, Moment(moment(0))),
            );
            assert_eq!(added.is_ok(), is_valid_name(name), "{name}");
        }
    }
}
