//! The subject maps that a source has had; the newest is in force.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::CatalogError;
use super::error::Doing;
use super::value::Moment;
use crate::base::ids::{Digest, SourceId};

/// One subject map that was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectMapRow {
    /// The source that it describes.
    pub source_id: SourceId,
    /// SHA-256 of `toml`.
    pub digest: Digest,
    /// The map's text.
    pub toml: String,
    /// When it was put in force.
    pub created_at: DateTime<Utc>,
}

/// The map in force, if the source has one.
pub fn latest(
    connection: &Connection,
    source_id: SourceId,
) -> Result<Option<SubjectMapRow>, CatalogError> {
    connection
        .query_row(
            "SELECT source_id, digest, toml, created_at FROM subject_map
             WHERE source_id = ?1 ORDER BY map_number DESC LIMIT 1",
            [source_id],
            from_row,
        )
        .optional()
        .doing("read a subject map")
}

/// The map of that digest, if the source ever had it: the one that a backup names.
pub fn by_digest(
    connection: &Connection,
    source_id: SourceId,
    digest: Digest,
) -> Result<Option<SubjectMapRow>, CatalogError> {
    connection
        .query_row(
            "SELECT source_id, digest, toml, created_at FROM subject_map
             WHERE source_id = ?1 AND digest = ?2 ORDER BY map_number LIMIT 1",
            (source_id, digest),
            from_row,
        )
        .optional()
        .doing("read a subject map")
}

/// All maps of a source, newest first.
pub fn history(
    connection: &Connection,
    source_id: SourceId,
) -> Result<Vec<SubjectMapRow>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<_>> {
        connection
            .prepare(
                "SELECT source_id, digest, toml, created_at FROM subject_map
                 WHERE source_id = ?1 ORDER BY map_number DESC",
            )?
            .query_map([source_id], from_row)?
            .collect()
    };
    query().doing("read the subject maps")
}

/// Puts a map in force. Says whether anything changed: the map already in force is not added again.
pub fn insert(transaction: &Transaction<'_>, map: &SubjectMapRow) -> Result<bool, CatalogError> {
    let SubjectMapRow { source_id, digest, toml, created_at } = map;
    if latest(transaction, *source_id)?.is_some_and(|in_force| in_force.digest == *digest) {
        return Ok(false);
    }
    transaction
        .execute(
            "INSERT INTO subject_map (source_id, digest, toml, created_at) VALUES (?1, ?2, ?3, ?4)",
            (source_id, digest, toml, Moment(*created_at)),
        )
        .doing("record a subject map")?;
    Ok(true)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<SubjectMapRow> {
    Ok(SubjectMapRow {
        source_id: row.get(0)?,
        digest: row.get(1)?,
        toml: row.get(2)?,
        created_at: row.get::<_, Moment>(3)?.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture::{SOURCE, catalog, moment};

    #[test]
    fn the_newest_map_is_in_force_and_the_older_ones_are_kept() {
        let (_folder, catalog) = catalog();
        let map = |byte: u8| SubjectMapRow {
            source_id: SOURCE,
            digest: Digest([byte; 32]),
            toml: format!("version = {byte}\n"),
            created_at: moment(byte.into()),
        };
        assert_eq!(latest(catalog.connection(), SOURCE).unwrap(), None);
        let added: Vec<bool> = [1, 1, 2, 1]
            .into_iter()
            .map(|byte| catalog.transaction(|tx| insert(tx, &map(byte))).unwrap())
            .collect();
        assert_eq!(added, [true, false, true, true]);
        assert_eq!(latest(catalog.connection(), SOURCE).unwrap(), Some(map(1)));
        assert_eq!(history(catalog.connection(), SOURCE).unwrap(), [map(1), map(2), map(1)]);
        assert_eq!(by_digest(catalog.connection(), SOURCE, Digest([2; 32])).unwrap(), Some(map(2)));
    }
}
