//! A catalog made from the rows of a replica. It lies under a temporary name until it is whole and
//! was checked, so that nothing is ever half a catalog.

use std::path::Path;

use rusqlite::config::DbConfig;

use super::super::error::Doing;
use super::super::file::Unpublished;
use super::super::{Catalog, CatalogError, migrations, vault};
use super::mark_all;
use super::rows::CellWriter;

/// A catalog that is being made.
pub struct Rebuild {
    unpublished: Unpublished,
    version: i64,
    rows: u64,
}

/// A catalog that is whole and was checked, but has not its name yet.
pub struct Rebuilt(Unpublished);

impl Rebuild {
    /// Begins a catalog at `path` whose schema has the version that the replica's rows have.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`]; [`CatalogError::TooNew`] when this program does not know that
    /// version.
    pub fn begin(path: &Path, version: i64) -> Result<Self, CatalogError> {
        if version > migrations::VERSION {
            let path = path.to_owned();
            return Err(CatalogError::TooNew { path, version, known: migrations::VERSION });
        }
        let unpublished = Unpublished::begin(path, version)?;
        let connection = unpublished.catalog().connection();
        let begin = || -> rusqlite::Result<()> {
            // Rows come as they were, in any order: neither rules for new rows nor marks apply.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            connection.pragma_update(None, "foreign_keys", false)?;
            connection.execute_batch("BEGIN IMMEDIATE")
        };
        begin().doing("begin to take its replica's rows")?;
        Ok(Self { unpublished, version, rows: 0 })
    }

    /// Adds the rows of one cell, given all its pieces.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`]; [`CatalogError::Database`].
    pub fn add_cell<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), CatalogError> {
        let mut writer = CellWriter::new(self.unpublished.catalog().connection())?;
        for piece in pieces {
            self.rows += writer.add(piece)?;
        }
        Ok(())
    }

    /// How many rows were added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All rows are there: brings the schema up to date and checks everything that can be checked
    /// without keys.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] with the first finding.
    pub fn finish(mut self) -> Result<Rebuilt, CatalogError> {
        let connection = self.unpublished.catalog().connection();
        let end = || -> rusqlite::Result<()> {
            connection.execute_batch("COMMIT")?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)?;
            connection.pragma_update(None, "foreign_keys", true)
        };
        end().doing("keep its replica's rows")?;
        self.unpublished.bring_up_to_date()?;
        let catalog = self.unpublished.catalog();
        catalog.check()?;
        vault::read(catalog.connection())?;
        if self.version != migrations::VERSION {
            // Rows of an older version may have been changed on the way.
            catalog.transaction(mark_all)?;
        }
        Ok(Rebuilt(self.unpublished))
    }
}

impl Rebuilt {
    /// The catalog, for what is still to be checked or added.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.0.catalog()
    }

    /// Gives the catalog its name, in one durable step.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the name was taken meanwhile.
    pub fn publish(self) -> Result<Catalog, CatalogError> {
        self.0.publish("recover.catalog")
    }
}
