//! The file itself: how it is made, opened, refused, and rid of deleted keys.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::ids::{Epoch, VaultId};
use crate::catalog::fixture::{catalog, moment, subject};
use crate::catalog::{sources, subjects};

fn new_vault() -> NewVault {
    NewVault {
        vault_id: VaultId([1; 16]),
        format_version: 1,
        created_at: moment(0),
        epoch: Epoch(1),
    }
}

/// How often `needle` stands in the catalog's files: database, write-ahead file, shared memory.
fn occurrences(catalog: &Catalog, needle: &[u8]) -> usize {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::read(with_suffix(catalog.path(), suffix)).ok())
        .map(|bytes| bytes.windows(needle.len()).filter(|window| *window == needle).count())
        .sum()
}

#[test]
fn a_new_catalog_is_private_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    let catalog = Catalog::create(&path, &new_vault()).unwrap();
    assert_eq!(vault::read(catalog.connection()).unwrap(), new_vault());
    catalog.transaction(|tx| vault::advance_epoch(tx, Epoch(1))).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(name.starts_with("vault.db"), "{name} was left behind");
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    drop(catalog);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(vault::read(catalog.connection()).unwrap().epoch, Epoch(2));
    catalog.check().unwrap();
}

#[test]
fn a_file_is_never_overwritten_and_a_failed_creation_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    let refused = Catalog::create_with(&path, &new_vault(), |_| {
        Err(CatalogError::Missing { object: "anything".into() })
    });
    assert!(matches!(refused, Err(CatalogError::Missing { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&path, "mine").unwrap();
    let refused = Catalog::create(&path, &new_vault()).unwrap_err();
    assert!(matches!(refused, CatalogError::AlreadyExists { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn what_is_not_a_catalog_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    assert!(matches!(Catalog::open(&path), Err(CatalogError::NotFound { .. })));
    assert!(!path.exists());

    fs::write(
        &path,
        "not a database at all, but longer than SQLite's header of 100 bytes".repeat(9),
    )
    .unwrap();
    assert!(matches!(Catalog::open(&path), Err(CatalogError::NotACatalog { .. })));

    fs::write(&path, "").unwrap();
    assert!(matches!(Catalog::open(&path), Err(CatalogError::NotACatalog { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"");

    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 4").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Catalog::open(&path), Err(CatalogError::NotACatalog { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_catalog_is_refused() {
    let (_folder, catalog) = catalog();
    let path = catalog.path().to_owned();
    catalog.connection().pragma_update(None, "user_version", 99).unwrap();
    drop(catalog);
    let refused = Catalog::open(&path).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the catalog {} has version 99, but this strongroom knows versions up to {} only",
            path.display(),
            migrations::VERSION
        )
    );
}

#[test]
fn an_older_catalog_is_brought_up_to_date_by_several_processes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    let mut old = Connection::open(&path).unwrap();
    old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    migrations::all().to_version(&mut old, 1).unwrap();
    let transaction = old.transaction().unwrap();
    vault::insert(&transaction, &new_vault()).unwrap();
    transaction.commit().unwrap();
    drop(old);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Catalog::open(&path).unwrap().check().unwrap());
        }
    });
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(schema_version(catalog.connection()).unwrap(), migrations::VERSION);
}

/// SQLite says at once that the database is locked, and calls no busy handler, where one connection
/// changes the journal mode while another one writes: what two commands do that start together.
#[test]
fn a_change_of_the_journal_mode_waits_for_another_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    drop(Catalog::create(&path, &new_vault()).unwrap());
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Catalog::open(&path).map(drop));
        std::thread::sleep(Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
        opening.join().unwrap().unwrap();
    });
}

#[test]
fn the_connection_is_set_up_as_the_document_says() {
    let (_folder, catalog) = catalog();
    let pragma = |name: &str| -> String {
        let read = |row: &rusqlite::Row<'_>| {
            row.get_ref(0).map(|value| match value {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap().to_owned(),
            })
        };
        catalog.connection().pragma_query_value(None, name, read).unwrap()
    };
    for (name, expected) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("secure_delete", "1"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("recursive_triggers", "1"),
        ("cell_size_check", "1"),
        ("temp_store", "2"),
        ("busy_timeout", "10000"),
    ] {
        assert_eq!(pragma(name), expected, "{name}");
    }
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (_folder, catalog) = catalog();
    let failed: Result<(), CatalogError> = catalog.transaction(|tx| {
        subjects::insert_many(tx, &[subject(1)])?;
        Err(CatalogError::Missing { object: "anything".into() })
    });
    failed.unwrap_err();
    assert_eq!(subjects::count(catalog.connection()).unwrap(), 0);
    let nested: Result<(), CatalogError> = catalog.transaction(|_| catalog.transaction(|_| Ok(())));
    nested.unwrap_err();
    assert_eq!(sources::all(catalog.connection()).unwrap().len(), 1);
}

#[test]
fn the_bytes_of_a_deleted_key_are_gone_from_every_file() {
    let (_folder, catalog) = catalog();
    let rows: Vec<_> = (0..50).map(subject).collect();
    let (gone, rewrapped, kept) = (&rows[7], &rows[8], &rows[9]);
    catalog.transaction(|tx| subjects::insert_many(tx, &rows)).unwrap();
    catalog.checkpoint_truncate().unwrap();
    assert!(occurrences(&catalog, &gone.wrapped_key) > 0, "the search finds what is there");
    catalog
        .transaction(|tx| {
            subjects::delete(tx, &[gone.reference])?;
            subjects::update_wrapped(tx, &[(rewrapped.reference, vec![1; 64])])
        })
        .unwrap();
    catalog.checkpoint_truncate().unwrap();
    assert_eq!(occurrences(&catalog, &gone.wrapped_key), 0);
    assert_eq!(occurrences(&catalog, &rewrapped.wrapped_key), 0);
    assert!(occurrences(&catalog, &kept.wrapped_key) > 0);
}

/// Where the cache is full, SQLite writes pages of a transaction that is rolled back in the end: a key
/// that was wrapped for an epoch which never began would stay in the write-ahead file.
#[test]
fn a_transaction_in_memory_leaves_nothing_when_it_is_rolled_back() {
    let (_folder, catalog) = catalog();
    let mark = b"wrapped-key-of-a-subject";
    let rows: Vec<_> = (0..40_000).map(subject).collect();
    let break_off = |tx: &Transaction<'_>| -> Result<(), CatalogError> {
        subjects::insert_many(tx, &rows)?;
        Err(CatalogError::Missing { object: "anything".into() })
    };
    catalog.transaction_in_memory(break_off).unwrap_err();
    assert_eq!(occurrences(&catalog, mark), 0);
    catalog.transaction(break_off).unwrap_err();
    assert!(occurrences(&catalog, mark) > 0, "the premise");
}

/// SQLite 3.40 leaves a stale copy of some rows when it distributes them over pages, out of reach of
/// `secure_delete`. This holds the bundled version to leaving none, before and after deletions.
#[test]
fn each_key_stands_in_the_file_once() {
    let (_folder, catalog) = catalog();
    let mark = b"wrapped-key-of-a-subject";
    let rows: Vec<_> = (0..40_000).map(subject).collect();
    for part in rows.chunks(8000) {
        catalog.transaction(|tx| subjects::insert_many(tx, part)).unwrap();
    }
    catalog.checkpoint_truncate().unwrap();
    assert_eq!(occurrences(&catalog, mark), rows.len());

    let gone: Vec<_> = rows.iter().step_by(3).map(|row| row.reference).collect();
    catalog.transaction(|tx| subjects::delete(tx, &gone)).unwrap();
    catalog.checkpoint_truncate().unwrap();
    assert_eq!(occurrences(&catalog, mark), rows.len() - gone.len());

    catalog.vacuum().unwrap();
    assert_eq!(occurrences(&catalog, mark), rows.len() - gone.len());
    catalog.check().unwrap();
}

#[test]
fn a_checkpoint_that_a_reader_holds_up_is_an_error() {
    let (_folder, catalog) = catalog();
    let reader = Catalog::open(catalog.path()).unwrap();
    reader.connection().execute_batch("BEGIN; SELECT count(*) FROM subject").unwrap();
    catalog.transaction(|tx| subjects::insert_many(tx, &[subject(1)])).unwrap();
    catalog.connection().busy_timeout(Duration::from_millis(50)).unwrap();
    let refused = catalog.checkpoint_truncate().unwrap_err();
    assert!(matches!(refused, CatalogError::CheckpointIncomplete { wal_bytes: 1.. }), "{refused}");
    reader.connection().execute_batch("COMMIT").unwrap();
    catalog.checkpoint_truncate().unwrap();
}

#[test]
fn a_copy_is_complete_private_and_never_overwrites() {
    let (folder, catalog) = catalog();
    catalog.transaction(|tx| subjects::insert_many(tx, &[subject(1)])).unwrap();
    let path = folder.path().join("copy.db");
    catalog.copy_to(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Catalog::open(&path).unwrap();
    assert_eq!(subjects::count(copy.connection()).unwrap(), 1);
    assert!(matches!(catalog.copy_to(&path), Err(CatalogError::AlreadyExists { .. })));
}

#[test]
fn damage_is_found_by_the_check() {
    let (_folder, catalog) = catalog();
    let rows: Vec<_> = (0..2000).map(subject).collect();
    catalog.transaction(|tx| subjects::insert_many(tx, &rows)).unwrap();
    catalog.checkpoint_truncate().unwrap();
    catalog.check().unwrap();
    let path = catalog.path().to_owned();
    drop(catalog);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let found = Catalog::open(&path).and_then(|catalog| catalog.check()).unwrap_err();
    assert!(found.is_damage(), "{found}");
}

#[test]
fn a_dangling_reference_is_found_by_the_check() {
    let (_folder, catalog) = catalog();
    catalog.transaction(|tx| subjects::insert_many(tx, &[subject(1)])).unwrap();
    catalog.connection().pragma_update(None, "foreign_keys", false).unwrap();
    catalog.connection().execute("DELETE FROM source", []).unwrap();
    assert_eq!(
        catalog.check().unwrap_err().to_string(),
        "the catalog is damaged: a row of table subject refers to a row of source that is not there"
    );
}
