//! The catalog's file: made, opened, checked, and cleared of what was deleted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tempfile::NamedTempFile;

use super::error::{Doing, OnFile};
use super::vault::{self, NewVault};
use super::{CatalogError, migrations};
use crate::base::durable;

/// Marks the file as ours: the letters `STRG`, in SQLite's `application_id`.
const APPLICATION_ID: i32 = 0x5354_5247;

/// How long a transaction waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it waits where SQLite itself does not, before it tries again.
const BUSY_RETRY: Duration = Duration::from_millis(20);

/// An open catalog. It can move between threads but not be used by two at once.
#[derive(Debug)]
pub struct Catalog {
    connection: Connection,
    path: PathBuf,
}

impl Catalog {
    /// Makes a catalog that holds the vault's row and nothing else.
    ///
    /// # Errors
    /// See [`Catalog::create_with`].
    pub fn create(path: &Path, new_vault: &NewVault) -> Result<Self, CatalogError> {
        Self::create_with(path, new_vault, |_| Ok::<(), CatalogError>(()))
    }

    /// Makes a catalog with the vault's row and whatever `fill` adds: all of it appears under
    /// `path` in one durable step, or nothing does.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the name is taken; whatever `fill` returns.
    pub fn create_with<E: From<CatalogError>>(
        path: &Path,
        new_vault: &NewVault,
        fill: impl FnOnce(&Transaction<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let unfinished = Unpublished::begin(path, migrations::VERSION)?;
        unfinished.catalog().transaction(|transaction| {
            vault::insert(transaction, new_vault)?;
            fill(transaction)
        })?;
        Ok(unfinished.publish("catalog-create")?)
    }

    /// Opens a catalog and brings its schema up to date.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::NotACatalog`], [`CatalogError::TooNew`], or what
    /// SQLite and the file system report. Nothing is changed by an attempt that fails.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        if !path.try_exists().on_file("look for", path)? {
            return Err(CatalogError::NotFound { path: path.to_owned() });
        }
        let mut connection = connect(path)?;
        let application_id: i32 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(|reason| match reason.sqlite_error_code() {
                Some(rusqlite::ErrorCode::NotADatabase) => {
                    CatalogError::NotACatalog { path: path.to_owned() }
                }
                _ => CatalogError::Database { doing: "read its own file", reason },
            })?;
        if application_id != APPLICATION_ID {
            return Err(CatalogError::NotACatalog { path: path.to_owned() });
        }
        let version = schema_version(&connection)?;
        if version > migrations::VERSION {
            return Err(CatalogError::TooNew {
                path: path.to_owned(),
                version,
                known: migrations::VERSION,
            });
        }
        configure(&connection)?;
        if version < migrations::VERSION {
            migrate(&mut connection, path, migrations::VERSION)?;
        }
        let catalog = Self { connection, path: path.to_owned() };
        vault::read(&catalog.connection)?;
        Ok(catalog)
    }

    /// The version of the schema that this program writes.
    #[must_use]
    pub fn version() -> i64 {
        migrations::VERSION
    }

    /// The connection, for reading (and for the audit log, which brings its own transactions).
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in one transaction that takes SQLite's write lock at its beginning. What `work`
    /// did is durable when this returns `Ok`, and undone in every other case.
    ///
    /// # Errors
    /// Whatever `work` returns; [`CatalogError::Database`] when the transaction cannot begin or be
    /// committed, or when it is asked for within another.
    pub fn transaction<T, E: From<CatalogError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
                .doing("begin to write")?;
        // An early return drops the transaction, which rolls it back.
        let outcome = work(&transaction)?;
        durable::step("catalog-commit", || transaction.commit().doing("write"))?;
        Ok(outcome)
    }

    /// As [`Catalog::transaction`], and no page of it is written before it is committed. Where the cache
    /// is full, SQLite would write pages of an uncommitted transaction into its write-ahead file, and
    /// leave them there when it is rolled back. Takes memory for all pages that are changed.
    ///
    /// # Errors
    /// As [`Catalog::transaction`].
    pub fn transaction_in_memory<T, E: From<CatalogError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let spill = |may: bool| {
            let set = self.connection.pragma_update(None, "cache_spill", may);
            set.doing("set up its connection")
        };
        spill(false)?;
        let outcome = self.transaction(work);
        // Where it stays off, the next transactions take more memory, and that is all.
        let _ = spill(true);
        outcome
    }

    /// A view of the catalog at one moment, for reads that belong together.
    ///
    /// # Errors
    /// [`CatalogError::Database`].
    pub fn snapshot(&self) -> Result<Transaction<'_>, CatalogError> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)
            .doing("begin to read")
    }

    /// Moves everything from the write-ahead file into the database file and empties the former:
    /// with `secure_delete` alone, a deleted key stays in the write-ahead file.
    ///
    /// # Errors
    /// [`CatalogError::CheckpointIncomplete`] when it is not empty afterwards, because another
    /// process is reading.
    pub fn checkpoint_truncate(&self) -> Result<(), CatalogError> {
        durable::step("catalog-checkpoint", || {
            let refused: bool = self
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
                .doing("empty its write-ahead file")?;
            let wal_path = with_suffix(&self.path, "-wal");
            let wal_bytes = match fs::metadata(&wal_path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error).on_file("look at", &wal_path),
            };
            if refused || wal_bytes != 0 {
                return Err(CatalogError::CheckpointIncomplete { wal_bytes });
            }
            Ok(())
        })
    }

    /// Writes the whole database anew and empties the write-ahead file.
    ///
    /// For who wants no trace of a deleted row in *this* file, whatever version of SQLite wrote it:
    /// when rows are distributed over pages, a stale copy can stay in a page's unused middle, out of
    /// reach of `secure_delete`. Measured: SQLite 3.40 leaves one for some hundred thousand rows; the
    /// bundled 3.53 left none for 800,000, and a test watches that. Erasure does not depend on it:
    /// such a copy is wrapped under a key that the forgetting destroyed. Takes as long as writing the
    /// file, and as much free space again.
    ///
    /// # Errors
    /// [`CatalogError::Database`], for example when the disk is full (the catalog is then as it
    /// was); see also [`Catalog::checkpoint_truncate`].
    pub fn vacuum(&self) -> Result<(), CatalogError> {
        durable::step("catalog-vacuum", || {
            self.connection.execute_batch("VACUUM").doing("write its file anew")
        })?;
        self.checkpoint_truncate()
    }

    /// Writes a copy of the catalog, as it stands in this moment and without free pages, to a file
    /// that must not exist yet. The copy is durable when this returns. Mode 0600.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`]; [`CatalogError::File`]; [`CatalogError::Database`]. A failed
    /// attempt leaves no file.
    pub fn copy_to(&self, path: &Path) -> Result<(), CatalogError> {
        // SQLite would make the file readable for everyone; into an empty one it just writes.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(CatalogError::AlreadyExists { path: path.to_owned() });
            }
            Err(error) => return Err(error).on_file("make", path),
        }
        let copied = self.vacuum_into(path);
        if copied.is_err() {
            let _ = fs::remove_file(path);
        }
        copied
    }

    fn vacuum_into(&self, path: &Path) -> Result<(), CatalogError> {
        let Some(name) = path.to_str() else {
            let reason = io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8");
            return Err(reason).on_file("write", path);
        };
        self.connection.execute("VACUUM INTO ?1", [name]).doing("copy itself")?;
        let folder = durable::folder_of(path);
        File::open(path).and_then(|file| file.sync_all()).on_file("write", path)?;
        durable::sync_folder(folder).on_file("write the folder", folder)
    }

    /// Reads the whole file and compares everything in it that can be compared: pages, indexes,
    /// CHECKs, foreign keys. Takes time in proportion to the file.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] with the first finding.
    pub fn check(&self) -> Result<(), CatalogError> {
        let finding: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .doing("check itself")?;
        if finding != "ok" {
            return Err(CatalogError::Damaged { finding });
        }
        let mut statement =
            self.connection.prepare("PRAGMA foreign_key_check").doing("check itself")?;
        let mut rows = statement.query([]).doing("check itself")?;
        if let Some(row) = rows.next().doing("check itself")? {
            let (table, parent): (String, String) =
                row.get(0).and_then(|table| Ok((table, row.get(2)?))).doing("check itself")?;
            let finding =
                format!("a row of table {table} refers to a row of {parent} that is not there");
            return Err(CatalogError::Damaged { finding });
        }
        Ok(())
    }
}

/// A catalog that is being made: a temporary file beside the place that it will have, gone if it is
/// dropped.
pub(super) struct Unpublished {
    catalog: Catalog,
    temporary: NamedTempFile,
    path: PathBuf,
}

impl Unpublished {
    /// Begins a catalog whose schema has this version, without any row.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the name is taken.
    pub(super) fn begin(path: &Path, version: i64) -> Result<Self, CatalogError> {
        if path.try_exists().on_file("look for", path)? {
            return Err(CatalogError::AlreadyExists { path: path.to_owned() });
        }
        let folder = durable::folder_of(path);
        let temporary = tempfile::Builder::new()
            .prefix(durable::TEMPORARY_PREFIX)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .on_file("make a file in", folder)?;
        let mut connection = connect(temporary.path())?;
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .doing("mark its new file")?;
        configure(&connection)?;
        migrate(&mut connection, path, version)?;
        let catalog = Catalog { connection, path: temporary.path().to_owned() };
        Ok(Self { catalog, temporary, path: path.to_owned() })
    }

    /// The catalog as it stands.
    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Brings the schema up to date.
    pub(super) fn bring_up_to_date(&mut self) -> Result<(), CatalogError> {
        migrate(&mut self.catalog.connection, &self.path, migrations::VERSION)
    }

    /// Gives the catalog its name, in one durable step, and opens it.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] when the name was taken meanwhile.
    pub(super) fn publish(self, step: &str) -> Result<Catalog, CatalogError> {
        let Self { catalog, temporary, path } = self;
        catalog.checkpoint_truncate()?;
        // Closing removes the write-ahead files, which bear the temporary name.
        catalog.connection.close().map_err(|(_, reason)| reason).doing("close its new file")?;
        let folder = durable::folder_of(&path);
        durable::step(step, || {
            temporary.as_file().sync_all().on_file("write", &path)?;
            temporary.persist_noclobber(&path).map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => CatalogError::AlreadyExists { path: path.clone() },
                _ => {
                    CatalogError::File { doing: "make", path: path.clone(), reason: refused.error }
                }
            })?;
            durable::sync_folder(folder).on_file("write the folder", folder)
        })?;
        Catalog::open(&path)
    }
}

/// Opens the file without making it, so that a wrong path never becomes an empty catalog.
fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).doing("open its file")?;
    connection.busy_timeout(BUSY_TIMEOUT).doing("open its file")?;
    Ok(connection)
}

/// Settings of the connection. Nothing here is taken on trust from the file.
fn configure(connection: &Connection) -> Result<(), CatalogError> {
    let set = || -> rusqlite::Result<String> {
        // A damaged or forged file must not be able to run functions from its schema, nor a
        // statement of ours to write the schema's own tables.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // A REPLACE would otherwise pass by the triggers that forbid deleting.
        connection.pragma_update(None, "recursive_triggers", true)?;
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        // Sorting and statement journals stay in memory: they hold wrapped keys.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
    };
    let journal_mode = patiently(set).doing("set up its connection")?;
    if journal_mode == "wal" {
        Ok(())
    } else {
        let finding = format!("SQLite keeps the journal mode `{journal_mode}` instead of `wal`");
        Err(CatalogError::Damaged { finding })
    }
}

/// Tries again while another connection is in the way. SQLite waits by itself ([`BUSY_TIMEOUT`]), but
/// not where two connections change the journal mode at once: there it says at once that the
/// database is locked.
fn patiently<T>(work: impl Fn() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match work() {
            Err(error) if super::error::is_locked(&error) && Instant::now() < deadline => {
                std::thread::sleep(BUSY_RETRY);
            }
            ended => return ended,
        }
    }
}

fn migrate(connection: &mut Connection, path: &Path, to: i64) -> Result<(), CatalogError> {
    // Two processes may open an old catalog at once: the second must wait, then find it done.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    let migrations = migrations::all();
    let version = usize::try_from(to).unwrap_or(usize::MAX);
    let mut outcome = migrations.to_version(connection, version);
    if outcome.is_err() && schema_version(connection)? == to {
        outcome = Ok(());
    }
    outcome.map_err(|reason| CatalogError::Migration { path: path.to_owned(), reason })
}

fn schema_version(connection: &Connection) -> Result<i64, CatalogError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .doing("read the version of its schema")
}

/// The name of one of SQLite's files beside the database.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
