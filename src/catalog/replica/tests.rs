//! Cells, marks and texts: whatever changes is marked, and what is read can be put back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::rebuild::Rebuild;
use super::*;
use crate::base::ids::ShardId;
use crate::catalog::fixture::{SOURCE, catalog, shard, subject};
use crate::catalog::vault_keys::VaultKeyRow;
use crate::catalog::{Catalog, migrations, shards, subjects, vault_keys};

fn strings(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Each cell that has rows, with its text.
fn texts(connection: &Connection) -> BTreeMap<String, Vec<u8>> {
    let mut names: BTreeSet<String> = [cells::VAULT.to_owned()].into();
    for statement in cells::names_of_all() {
        names.extend(strings(connection, &statement));
    }
    let text = |cell: String| {
        let text = rows::read(connection, &cell, 100).unwrap();
        (cell, text.pieces.concat())
    };
    names.into_iter().map(text).collect()
}

fn marked(connection: &Connection) -> BTreeSet<String> {
    strings(connection, "SELECT cell FROM replica_dirty").into_iter().collect()
}

/// Rows in every table, two of most.
fn filled() -> (tempfile::TempDir, Catalog) {
    let (folder, catalog) = catalog();
    catalog
        .transaction(|tx| {
            shards::insert(tx, &shard(2, 100))?;
            let mut other = subject(2);
            other.shard_id = ShardId(2);
            subjects::insert_many(tx, &[subject(1), other])?;
            let kinds = ["commons", "replica:0000000001"];
            kinds.iter().try_for_each(|kind| {
                let (kind, shard_id) = ((*kind).to_owned(), ShardId(1));
                vault_keys::insert(tx, &VaultKeyRow { kind, shard_id, wrapped_key: vec![1; 60] })
            })
        })
        .unwrap();
    let at = "'2023-11-14T22:13:20.000000Z'";
    let backup = |id: &str| {
        format!(
            "INSERT INTO backup (backup_id, source_id, class, kind, note, started_at, snapshot_at,
                 finished_at, server_version_num, map_digest, manifest_name, manifest_bytes,
                 manifest_sha256, row_count, subject_count, segment_count, bytes_stored, shard_id,
                 wrapped_key)
             VALUES ('{id}', x'{source}', 'daily', 'full', 'a \"note\" ü', {at},
                 {at}, {at}, 150018, NULL, 'm', 1, zeroblob(32), 1, 1, 1, 1, 2, zeroblob(60));
             INSERT INTO pack VALUES (x'{pack}', 10, zeroblob(32), '{id}');
             INSERT INTO backup_pack VALUES ('{id}', x'{pack}');
             INSERT INTO backup_layer VALUES ('{id}', '{id}');
             INSERT INTO backup_copy VALUES ('{id}', 'main', 'complete', {at});",
            source = SOURCE,
            pack = if id.ends_with('1') { "00".repeat(16) } else { "ff".repeat(16) },
        )
    };
    let script = format!(
        "{}{}
         INSERT INTO subject_map (source_id, digest, toml, created_at)
             VALUES (x'{SOURCE}', zeroblob(32), 'a' || char(10) || '\"', {at});
         INSERT INTO tombstone (mac, quarter, epoch, erased_at)
             VALUES (x'{:064}', '2026Q4', 2, {at}), (x'{}', '2026Q4', 2, {at});
         INSERT INTO erasure (requested_at, source_id, epoch_before, epoch_after, reason_sealed,
             backup_count, segment_count, row_count, subject_key_count)
             VALUES ({at}, x'{SOURCE}', 1, 2, zeroblob(40), 1, 1, 1, 1);
         INSERT INTO forgetting (only, kind, epoch_from, epoch_to, begun_at, step)
             VALUES (1, 'erasure', 1, 2, {at}, 'begun');
         INSERT INTO erasure_proof VALUES (1, {at}, 1, 1, 1, 0, 1);
         INSERT INTO erasure_met VALUES ('20231114T221320Z-000002', 1, 7);
         INSERT INTO share_set VALUES (zeroblob(16), 1, 1, 'present', {at}),
             (zeroblob(16), 256, 1, 'leaving', {at});
         INSERT INTO share VALUES (1, zeroblob(16), 'main', 1, 'held', {at}),
             (256, zeroblob(16), 'main', 1, 'asked', {at});
         INSERT INTO store VALUES ('main', '/mnt', '{{}}', {at});
         INSERT INTO audit_head VALUES (1, 1, zeroblob(32), zeroblob(32));",
        backup("20231114T221320Z-000001"),
        backup("20231114T221320Z-000002"),
        0,
        "ff".repeat(32),
    );
    catalog.connection().execute_batch(&script).unwrap();
    for seq in 1..=300 {
        let previous = seq - 1;
        let script = format!(
            "INSERT INTO audit_entry VALUES ({seq}, {at}, 'a', 'h', 'init', 'vault', 'done', NULL,
                 CASE {seq} WHEN 1 THEN zeroblob(32) ELSE
                     (SELECT hash FROM audit_entry WHERE seq = {previous}) END, randomblob(32))"
        );
        catalog.connection().execute(&script, []).unwrap();
    }
    (folder, catalog)
}

#[test]
fn every_table_is_in_a_cell_and_what_is_not_in_the_vaults_own_has_triggers() {
    let (_folder, catalog) = filled();
    let connection = catalog.connection();
    let texts = texts(connection);
    for table in cells::tables(connection).unwrap() {
        let line = format!("{{\"table\":\"{table}\",");
        let cells: Vec<_> = texts
            .iter()
            .filter(|(_, text)| String::from_utf8_lossy(text).contains(&line))
            .map(|(cell, _)| cell.as_str())
            .collect();
        assert!(!cells.is_empty(), "{table} is in no cell");
        let triggers = strings(
            connection,
            &format!(
                "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{table}'
                 AND name GLOB 'replica_*' ORDER BY name"
            ),
        );
        let expected = ["delete", "insert", "update"].map(|end| format!("replica_{table}_{end}"));
        let expected: &[String] = if cells == [cells::VAULT] { &[] } else { &expected };
        assert_eq!(triggers, expected, "{table} in {cells:?}");
        let (columns, key) = cells::columns(connection, &table).unwrap();
        assert!(!key.is_empty(), "{table} has no primary key");
        for (column, kind) in columns {
            assert!(["INTEGER", "TEXT", "BLOB"].contains(&kind.as_str()), "{table}.{column}");
        }
    }
}

#[test]
fn every_change_marks_the_cells_that_it_changes_and_no_other() {
    let (_folder, catalog) = filled();
    let connection = catalog.connection();
    connection
        .execute_batch("DROP TRIGGER erasure_is_kept; DROP TRIGGER audit_entry_is_kept")
        .unwrap();
    connection
        .execute_batch("DROP TRIGGER audit_entry_is_fixed; DROP TRIGGER audit_head_is_kept")
        .unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    let mut compared = 0;
    for statement in [
        "UPDATE subject SET wrapped_key = zeroblob(60) WHERE shard_id = 1",
        "UPDATE subject SET shard_id = 1 WHERE shard_id = 2",
        "REPLACE INTO subject (reference, source_id, shard_id, wrapped_key, created_at)
             SELECT reference, source_id, 7, wrapped_key, created_at FROM subject LIMIT 1",
        "UPDATE OR REPLACE subject SET shard_id = 9",
        "DELETE FROM subject",
        "UPDATE shard SET capacity = 7",
        "UPDATE backup SET note = NULL WHERE backup_id = '20231114T221320Z-000001'",
        "UPDATE backup SET backup_id = '20231114T221320Z-000003' WHERE note IS NULL",
        "DELETE FROM backup_pack WHERE pack_id < x'01'",
        "UPDATE backup_pack SET backup_id = '20231114T221320Z-000003'",
        "UPDATE backup_layer SET backup_id = '20231114T221320Z-000003' WHERE written_by GLOB '*1'",
        "DELETE FROM backup_layer WHERE written_by GLOB '*2'",
        "UPDATE erasure_met SET row_count = 8",
        "UPDATE erasure_met SET backup_id = '20231114T221320Z-000003'",
        "DELETE FROM erasure_met",
        "DELETE FROM backup WHERE backup_id = '20231114T221320Z-000002'",
        "UPDATE pack SET bytes = 11 WHERE pack_id > x'01'",
        "UPDATE pack SET pack_id = x'abababababababababababababababab' WHERE pack_id > x'f0'",
        "DELETE FROM pack",
        "UPDATE subject_map SET map_number = 5",
        "DELETE FROM subject_map",
        "UPDATE tombstone SET epoch = 3 WHERE mac > x'01'",
        "DELETE FROM tombstone WHERE mac < x'01'",
        "UPDATE erasure SET erasure_id = 300",
        "INSERT INTO erasure SELECT 301, requested_at, confirmed_at, source_id, epoch_before,
             epoch_after, reason_sealed, backup_count, segment_count, row_count, subject_key_count
             FROM erasure",
        "DELETE FROM erasure WHERE erasure_id = 301",
        "UPDATE erasure_proof SET erasure_id = 300",
        "DELETE FROM erasure_proof",
        "UPDATE share SET state = 'destroyed' WHERE epoch = 1",
        "UPDATE share SET epoch = 700 WHERE epoch = 1",
        "INSERT INTO share_set VALUES (zeroblob(16), 300, 1, 'leaving', '2023-11-14T22:13:20.000000Z')",
        "UPDATE share_set SET epoch = 800 WHERE epoch = 256",
        "DELETE FROM share_set WHERE epoch = 1",
        "DELETE FROM share",
        "UPDATE audit_entry SET outcome = 'failed' WHERE seq = 255",
        "UPDATE audit_entry SET outcome = 'begun' WHERE seq IN (2, 256)",
        "DELETE FROM audit_entry WHERE seq = 300",
        "INSERT INTO audit_head VALUES (1, 1, zeroblob(32), zeroblob(32))
             ON CONFLICT (only) DO UPDATE SET seq = 2",
        "UPDATE OR ABORT audit_head SET seq = 4",
        "DELETE FROM audit_head",
        "DELETE FROM shard WHERE shard_id = 1",
    ] {
        let before = texts(connection);
        // What is marked already is in nobody's way, and marked once.
        connection.execute_batch("SAVEPOINT marked").unwrap();
        mark_everything(connection);
        connection.execute(statement, []).unwrap();
        connection.execute_batch("ROLLBACK TO marked; RELEASE marked").unwrap();
        connection.execute("DELETE FROM replica_dirty", []).unwrap();
        connection.execute(statement, []).unwrap();
        let after = texts(connection);
        let changed: BTreeSet<String> = before
            .keys()
            .chain(after.keys())
            .filter(|cell| before.get(*cell) != after.get(*cell))
            .cloned()
            .collect();
        assert!(!changed.is_empty(), "{statement}");
        assert_eq!(marked(connection), changed, "{statement}");
        compared += changed.len();
    }
    assert!(compared > 30);
}

fn mark_everything(connection: &Connection) {
    for statement in cells::names_of_all() {
        let mark = format!("INSERT OR IGNORE INTO replica_dirty {statement}");
        connection.execute(&mark, []).unwrap();
    }
}

#[test]
fn keys_of_the_replicas_own_objects_change_no_cell() {
    let (_folder, catalog) = filled();
    let connection = catalog.connection();
    let before = texts(connection);
    assert!(!String::from_utf8_lossy(&before[cells::VAULT]).contains("replica:"));
    connection.execute("DELETE FROM vault_key WHERE kind GLOB 'replica:*'", []).unwrap();
    assert_eq!(texts(connection), before);
    connection.execute("UPDATE vault SET epoch = 2", []).unwrap();
    assert_ne!(texts(connection)[cells::VAULT], before[cells::VAULT]);
}

#[test]
fn what_was_taken_comes_back_until_the_replica_is_durable() {
    let (_folder, catalog) = filled();
    let all = catalog.transaction(take).unwrap();
    let mut expected: Vec<String> = texts(catalog.connection()).into_keys().collect();
    expected.retain(|cell| cell != cells::VAULT);
    assert_eq!(all, expected);
    assert!(!cells::any_marked(catalog.connection()).unwrap());
    // A crash: the next sync takes them up again, with what changed since.
    replica(&catalog, 1, &all[..]);
    settled(&catalog);
    assert_eq!(catalog.transaction(take).unwrap(), Vec::<String>::new());
    catalog.connection().execute("UPDATE shard SET capacity = 3 WHERE shard_id = 1", []).unwrap();
    assert_eq!(catalog.transaction(take).unwrap(), ["shard"]);
    catalog.connection().execute("DELETE FROM subject WHERE shard_id = 2", []).unwrap();
    assert_eq!(catalog.transaction(take).unwrap(), ["shard", "subject:2"]);
}

/// Records a pending replica that wrote these cells.
fn replica(catalog: &Catalog, sequence: u64, cells: &[String]) {
    let object = ObjectRow { sequence, name: format!("o{sequence}"), bytes: 1000 };
    let row = |(place, cell): (usize, &String)| CellRow {
        cell: cell.clone(),
        sequence,
        frame: 0,
        start: 32 + place as u64,
        bytes: 1,
        sha256: Digest([1; 32]),
        content: Some(Digest([2; 32])),
    };
    let rows: Vec<_> = cells.iter().enumerate().map(row).collect();
    catalog
        .transaction(|tx| {
            insert_object(tx, &object)?;
            insert_cells(tx, &rows)?;
            set_pending(tx, &Pending { sequence, epoch: Epoch(1), head: vec![1] })
        })
        .unwrap();
}

fn settled(catalog: &Catalog) -> Vec<u64> {
    let dead = catalog.transaction(|tx| settle(tx, Digest([9; 32]))).unwrap();
    dead.into_iter().map(|object| object.sequence).collect()
}

#[test]
fn an_object_without_a_living_cell_is_given_up() {
    let (_folder, catalog) = catalog();
    let name = |text: &str| text.to_owned();
    replica(&catalog, 1, &[name("a"), name("b")]);
    assert_eq!(state(catalog.connection()).unwrap().sequence, 0);
    assert_eq!(settled(&catalog), Vec::<u64>::new());
    replica(&catalog, 2, &[name("a")]);
    let newest = newest_cells(catalog.connection()).unwrap();
    let places: Vec<_> = newest.iter().map(|row| (row.cell.as_str(), row.sequence)).collect();
    assert_eq!(places, [("a", 2), ("b", 1)]);
    assert_eq!(settled(&catalog), Vec::<u64>::new());
    // The cell `b` has no rows any more.
    catalog
        .transaction(|tx| {
            let gone = CellRow { bytes: 0, sequence: 3, ..newest[1].clone() };
            insert_cells(tx, &[gone])?;
            set_pending(tx, &Pending { sequence: 3, epoch: Epoch(1), head: vec![1] })
        })
        .unwrap();
    assert_eq!(settled(&catalog), [1]);
    let newest = newest_cells(catalog.connection()).unwrap();
    assert_eq!(newest.len(), 1);
    let state = state(catalog.connection()).unwrap();
    assert_eq!((state.sequence, state.pending), (3, None));
    catalog.connection().execute("UPDATE replica_state SET sequence = 2", []).unwrap_err();
}

#[test]
fn too_many_objects_are_brought_together() {
    let (_folder, catalog) = catalog();
    for sequence in 1..=OBJECTS_MAX as u64 {
        replica(&catalog, sequence, &[format!("cell-{sequence}")]);
        settled(&catalog);
        catalog.connection().execute("DELETE FROM replica_dirty", []).unwrap();
    }
    replica(&catalog, OBJECTS_MAX as u64 + 1, &["one more".to_owned()]);
    settled(&catalog);
    let again = catalog.transaction(take).unwrap();
    assert_eq!(again.len(), OBJECTS_MAX + 1 - OBJECTS_KEPT);
    assert_eq!(content(catalog.connection(), &again[0]).unwrap(), None);
}

#[test]
fn a_rebuilt_catalog_has_the_same_rows() {
    let (folder, catalog) = filled();
    let version = migrations::VERSION;
    let path = folder.path().join("again.db");
    let mut rebuild = Rebuild::begin(&path, version).unwrap();
    let expected = texts(catalog.connection());
    // In no order, and in pieces.
    for cell in expected.keys().rev() {
        let text = rows::read(catalog.connection(), cell, 100).unwrap();
        rebuild.add_cell(text.pieces.iter().map(Vec::as_slice)).unwrap();
    }
    assert!(rebuild.rows() > 300);
    let rebuilt = rebuild.finish().unwrap();
    assert!(!path.exists());
    let again = rebuilt.publish().unwrap();
    assert_eq!(texts(again.connection()), expected);
    assert_eq!(marked(again.connection()), BTreeSet::new());
    again.connection().execute("DELETE FROM erasure", []).unwrap_err();
    let refused = Rebuild::begin(&path, version).err().unwrap();
    assert!(matches!(refused, CatalogError::AlreadyExists { .. }));
    let newer = Rebuild::begin(&folder.path().join("x"), version + 1).err().unwrap();
    assert!(matches!(newer, CatalogError::TooNew { .. }));
}

#[test]
fn a_catalog_that_lacks_a_cell_is_refused() {
    let (folder, catalog) = filled();
    let version = migrations::VERSION;
    for (lacks, finding) in [("shard", "refers to a row of shard"), (cells::VAULT, "not there")] {
        let path = folder.path().join(lacks);
        let mut rebuild = Rebuild::begin(&path, version).unwrap();
        for (cell, text) in texts(catalog.connection()) {
            if cell != lacks {
                rebuild.add_cell([&text[..]]).unwrap();
            }
        }
        let refused = rebuild.finish().err().unwrap();
        assert!(refused.to_string().contains(finding), "{refused}");
        assert!(!path.exists());
    }
}

const SHARDS: &str = concat!(
    r#"{"table":"shard","columns":[["shard_id","INTEGER"],"#,
    r#"["wrapped_key","BLOB"],["capacity","INTEGER"]]}"#
);

fn added(text: &str) -> Result<u64, CatalogError> {
    let folder = tempfile::tempdir().unwrap();
    let mut rebuild = Rebuild::begin(&folder.path().join("x"), 6).unwrap();
    rebuild.add_cell([text.as_bytes()])?;
    Ok(rebuild.rows())
}

#[test]
fn texts_of_another_form_are_refused() {
    let key = "00".repeat(60);
    let row = format!("[7,\"{key}\",1]");
    assert_eq!(added(&format!("{SHARDS}\n{row}\n")).unwrap(), 1);
    for wrong in [
        String::new(),
        format!("{SHARDS}\n{row}"),
        format!("{row}\n"),
        format!("{SHARDS}\n\n"),
        format!("{SHARDS}\n[7,\"{key}\"]\n"),
        format!("{SHARDS}\n[7,\"{key}\",1,1]\n"),
        format!("{SHARDS}\n[\"7\",\"{key}\",1]\n"),
        format!("{SHARDS}\n[7.5,\"{key}\",1]\n"),
        format!("{SHARDS}\n[7,\"{key}0\",1]\n"),
        format!("{SHARDS}\n[7,\"{}\",1]\n", "00".repeat(39)),
        format!("{SHARDS}\n{row}\n{row}\n"),
        format!("{}\n{row}\n", SHARDS.replace("\"shard\"", "\"replica_state\"")),
        format!("{}\n{row}\n", SHARDS.replace("\"shard\"", "\"sqlite_schema\"")),
        format!("{}\n{row}\n", SHARDS.replace("\"shard\"", "\"shard; --\"")),
        format!("{}\n{row}\n", SHARDS.replace("capacity", "room")),
        format!("{}\n{row}\n", SHARDS.replace("\"BLOB\"", "\"TEXT\"")),
        format!("{}\n{row}\n", SHARDS.replace('{', "{\"more\":1,")),
    ] {
        let refused = added(&wrong).unwrap_err();
        assert!(
            matches!(refused, CatalogError::Damaged { .. } | CatalogError::Database { .. }),
            "{wrong}: {refused}"
        );
    }
}

#[test]
fn a_cell_that_cannot_be_is_refused() {
    let (_folder, catalog) = catalog();
    for cell in ["", "subject", "subject:", "subject:x", "pack:0", "pack:g0", "vault:1", "audit:-"]
    {
        assert!(rows::read(catalog.connection(), cell, 1).is_err(), "{cell}");
    }
    assert!(rows::read(catalog.connection(), "audit:9223372036854775807", 1).is_err());
    assert_eq!(rows::read(catalog.connection(), "subject:99", 1).unwrap().pieces.len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_text_is_taken_or_refused(text in "[\\[\\]{}\",:a-z0-9\n]{0,80}") {
        let _ = added(&text);
        let _ = added(&format!("{SHARDS}\n{text}\n"));
    }

    #[test]
    fn any_text_and_number_is_read_back(
        note in proptest::option::of(any::<String>()),
        capacity in 1..i64::MAX,
    ) {
        prop_assume!(note.as_ref().is_none_or(|note| (1..500).contains(&note.chars().count())));
        prop_assume!(note.as_ref().is_none_or(|note| !note.contains('\0')));
        let (folder, catalog) = filled();
        let connection = catalog.connection();
        connection.execute("UPDATE backup SET note = ?1", [&note]).unwrap();
        connection.execute("UPDATE shard SET capacity = ?1", [capacity]).unwrap();
        let mut rebuild = Rebuild::begin(&folder.path().join("x"), migrations::VERSION).unwrap();
        let expected = texts(connection);
        for text in expected.values() {
            rebuild.add_cell([&text[..]]).unwrap();
        }
        let rebuilt = rebuild.finish().unwrap();
        prop_assert_eq!(texts(rebuilt.catalog().connection()), expected);
    }
}
