//! Backups are recorded whole, and found by what people type.

use super::*;
use crate::base::ids::PackId;
use crate::catalog::Catalog;
use crate::catalog::fixture::{SOURCE, catalog, moment};

fn backup(id: &str, second: i64) -> BackupRow {
    BackupRow {
        backup_id: id.parse().unwrap(),
        source_id: SOURCE,
        class: BackupClass::Daily,
        kind: BackupKind::Full,
        note: Some("before the move".into()),
        started_at: moment(second),
        snapshot_at: moment(second),
        finished_at: moment(second + 5),
        server_version_num: 150_018,
        map_digest: Some(Digest([4; 32])),
        manifest_name: format!("manifests/{id}"),
        manifest_bytes: 900,
        manifest_sha256: Digest([5; 32]),
        row_count: 1_000_000,
        subject_count: 10_000,
        segment_count: 40_000,
        bytes_stored: 77_000_000,
        bytes_referenced: 5_000_000,
        shard_id: ShardId(1),
        wrapped_key: vec![6; 102],
        epoch: Epoch(1),
        commons_kind: "commons".to_owned(),
    }
}

fn pack(byte: u8, created_by: &BackupRow) -> PackRow {
    PackRow {
        pack_id: PackId([byte; 16]),
        bytes: 100,
        sha256: Digest([byte; 32]),
        created_by: created_by.backup_id.clone(),
    }
}

fn add(catalog: &Catalog, backup: &BackupRow, packs: &[PackRow]) -> Result<(), CatalogError> {
    catalog.transaction(|tx| insert(tx, backup, packs, std::slice::from_ref(&backup.backup_id)))
}

#[test]
fn backups_are_listed_newest_first_by_source_and_class() {
    let (_folder, catalog) = catalog();
    let old = backup("20261122T020000Z-00000a", 10);
    let mut new = backup("20261123T020000Z-00000b", 20);
    (new.class, new.kind, new.note, new.map_digest) =
        (BackupClass::PreMigration, BackupKind::SchemaOnly, None, None);
    add(&catalog, &old, &[]).unwrap();
    add(&catalog, &new, &[]).unwrap();
    let listed = |filter: BackupFilter| list(catalog.connection(), &filter).unwrap();
    assert_eq!(listed(BackupFilter::default()), [new.clone(), old.clone()]);
    let daily = BackupFilter { class: Some(BackupClass::Daily), source_id: Some(SOURCE) };
    assert_eq!(listed(daily), std::slice::from_ref(&old));
    let other = BackupFilter { source_id: Some(SourceId([9; 16])), class: None };
    assert_eq!(listed(other), []);
    assert_eq!(latest(catalog.connection(), Some(SOURCE)).unwrap(), Some(new.clone()));
    assert_eq!(by_shard(catalog.connection(), ShardId(1)).unwrap(), [old, new]);
}

#[test]
fn a_backup_is_found_by_its_beginning() {
    let (_folder, catalog) = catalog();
    assert_eq!(find(catalog.connection(), "latest").unwrap(), Selected::NotFound);
    let rows = [
        backup("20261122T020000Z-00000a", 10),
        backup("20261122T020000Z-0000ab", 11),
        backup("20261123T020000Z-00000a", 20),
    ];
    for row in &rows {
        add(&catalog, row, &[]).unwrap();
    }
    let found = |index: usize| Selected::Found(Box::new(rows[index].clone()));
    let find = |selector: &str| find(catalog.connection(), selector).unwrap();
    assert_eq!(find("latest"), Selected::NotFound, "the newest is of a source, and not asked here");
    assert_eq!(find("20261123"), found(2));
    assert_eq!(find("20261122t020000z-0000ab"), found(1));
    assert_eq!(find("20261122T020000Z-00000a"), found(0));
    assert_eq!(
        find("20261122"),
        Selected::Ambiguous(vec![rows[1].backup_id.clone(), rows[0].backup_id.clone()])
    );
    for nothing in ["", "%", "_", "2026112_", "20261123%", "\\", "2027", "20261123T020000Z-00000a "]
    {
        assert_eq!(find(nothing), Selected::NotFound, "{nothing}");
    }
}

#[test]
fn a_pack_stays_as_long_as_one_backup_needs_it() {
    let (_folder, catalog) = catalog();
    let first = backup("20261122T020000Z-00000a", 10);
    let second = backup("20261123T020000Z-00000b", 20);
    let (own, shared, third) = (pack(1, &first), pack(2, &first), pack(3, &second));
    add(&catalog, &first, &[own.clone(), shared.clone()]).unwrap();
    add(&catalog, &second, &[shared.clone(), third.clone()]).unwrap();
    let connection = catalog.connection();
    let needed = packs::of_backup(connection, &second.backup_id).unwrap();
    assert_eq!(needed, [shared.clone(), third.clone()]);
    assert_eq!(packs::unreferenced(connection).unwrap(), []);

    assert!(catalog.transaction(|tx| delete(tx, &first.backup_id)).unwrap());
    assert!(!catalog.transaction(|tx| delete(tx, &first.backup_id)).unwrap());
    assert_eq!(packs::unreferenced(connection).unwrap(), std::slice::from_ref(&own));
    catalog.transaction(|tx| packs::delete(tx, shared.pack_id)).unwrap_err();
    catalog.transaction(|tx| packs::delete(tx, own.pack_id)).unwrap();
    assert_eq!(packs::all(connection).unwrap(), [shared, third]);
}

#[test]
fn a_backup_is_recorded_with_all_its_packs_or_not_at_all() {
    let (_folder, catalog) = catalog();
    let first = backup("20261122T020000Z-00000a", 10);
    let second = backup("20261123T020000Z-00000b", 20);
    add(&catalog, &first, &[pack(1, &first)]).unwrap();
    let mut other = pack(1, &first);
    other.bytes += 1;
    let refused = add(&catalog, &second, &[pack(2, &second), other]).unwrap_err();
    assert!(matches!(refused, CatalogError::Conflict { .. }), "{refused}");
    assert_eq!(list(catalog.connection(), &BackupFilter::default()).unwrap(), [first]);
    assert_eq!(packs::all(catalog.connection()).unwrap().len(), 1);
}

#[test]
fn a_backup_key_is_rewrapped_in_place() {
    let (_folder, catalog) = catalog();
    let row = backup("20261122T020000Z-00000a", 10);
    add(&catalog, &row, &[]).unwrap();
    let change = [(row.backup_id.clone(), vec![8; 102])];
    catalog.transaction(|tx| update_wrapped(tx, &change)).unwrap();
    let read = get(catalog.connection(), &row.backup_id).unwrap().unwrap();
    assert_eq!(read.wrapped_key, vec![8; 102]);
    catalog.transaction(|tx| delete(tx, &row.backup_id)).unwrap();
    catalog.transaction(|tx| update_wrapped(tx, &change)).unwrap_err();
}

#[test]
fn the_schema_refuses_what_the_types_would_not() {
    let (_folder, catalog) = catalog();
    let mut wrong = vec![backup("20261122T020000Z-00000a", 10); 4];
    wrong[0].note = Some(String::new());
    wrong[1].wrapped_key = vec![1; 39];
    wrong[2].manifest_bytes = 0;
    wrong[3].row_count = u64::MAX;
    for row in wrong {
        add(&catalog, &row, &[]).unwrap_err();
    }
    assert_eq!(list(catalog.connection(), &BackupFilter::default()).unwrap(), []);
}
