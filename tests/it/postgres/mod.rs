//! The postgres layer against a real server: what it reads, what it writes, how it fails.

mod encryption;
mod failing;
mod leaving_nothing_behind;
mod values;
mod writing_at_once;

use crate::support;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use strongroom::base::schema::{
    DatabaseSchema, ForeignKey, Join, OnDelete, OnUpdate, OwnerPath, OwnerWays, QualifiedName,
    Reading, Table, TableKind,
};
use strongroom::postgres::rows::copy::{CopyFormat, TableRead, copy_in_statement, split_owner};
use strongroom::postgres::rows::large_objects;
use strongroom::postgres::rows::lines::Lines;
use strongroom::postgres::rows::owners::Verdict;
use strongroom::postgres::schema::{describe, foreign_keys, target};
use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions};
use strongroom::postgres::tools::{RestoreOptions, Section, Tools, dump_schema, restore_section};
use strongroom::postgres::{ConnectionSettings, PostgresError, Session};

fn named<'schema>(schema: &'schema DatabaseSchema, name: &str) -> &'schema Table {
    schema.table(&name.parse().unwrap()).unwrap_or_else(|| panic!("no table {name}"))
}

fn settings(url: &str) -> ConnectionSettings {
    ConnectionSettings::parse_with(url, &|_| None).unwrap()
}

/// All lines of a table, owner first where there is one.
async fn lines_of(session: &Session, table: &Table, owner: Option<&OwnerWays>) -> Vec<Bytes> {
    let mut rows = session.copy_table_out(&TableRead::lines(table, owner)).await.unwrap();
    let (mut lines, mut found) = (Lines::new(), Vec::new());
    while let Some(chunk) = rows.next_chunk().await {
        lines.push(chunk.unwrap());
        found.extend(std::iter::from_fn(|| lines.next_line()));
    }
    assert!(lines.is_complete());
    found
}

fn path(class: &str, joins: &[(&str, &str, &str)], key: &[&str]) -> OwnerWays {
    let owned = |list: &str| list.split(',').map(str::to_owned).collect();
    let way = OwnerPath {
        class: class.to_owned(),
        joins: joins
            .iter()
            .map(|(columns, table, referenced)| Join {
                columns: owned(columns),
                reading: Reading::default(),
                table: table.parse().unwrap(),
                only: false,
                referenced_columns: owned(referenced),
                proven: true,
                optional: false,
            })
            .collect(),
        key_columns: key.iter().map(|column| (*column).to_owned()).collect(),
        ..OwnerPath::default()
    };
    way.into()
}

/// How many rows each owner has; `None` is nobody.
async fn rows_by_owner(
    session: &Session,
    table: &Table,
    owner: &OwnerWays,
) -> BTreeMap<Option<String>, usize> {
    let mut counted = BTreeMap::new();
    for line in lines_of(session, table, Some(owner)).await {
        let key = split_owner(&line).0.map(|key| String::from_utf8(key.into_owned()).unwrap());
        *counted.entry(key).or_insert(0) += 1;
    }
    counted
}

fn person(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

#[tokio::test]
async fn the_catalogs_are_read_as_they_are() {
    let database = support::everything().await;
    let session = database.session().await;
    session.begin_locked().await.unwrap();
    let schema = describe(&session).await.unwrap();

    let transactions = named(&schema, "app.transactions");
    assert_eq!(transactions.kind, TableKind::Partitioned);
    assert_eq!(transactions.primary_key, ["id", "booked", "region"]);
    assert_eq!(transactions.partitions.len(), 5);
    assert!(transactions.column("amount_cents").unwrap().generated);
    assert!(!schema.tables.iter().any(|table| table.name.name == "transactions_2024_eu"));
    assert_eq!(named(&schema, "app.transactions_2024_eu").name, transactions.name);

    let accounts = named(&schema, "app.accounts");
    assert!(accounts.column("currency").unwrap().not_null, "its domain refuses NULL");
    assert!(accounts.column("id").unwrap().has_default, "it is an identity column");
    assert!(!accounts.column("half_balance").unwrap().has_default);
    assert!(accounts.copied_columns().all(|column| column.name != "half_balance"));

    let contracts = named(&schema, "app.contracts");
    assert_eq!(contracts.inherits, [QualifiedName::new("app", "documents")]);
    assert!(named(&schema, "app.cache").unlogged);
    assert!(named(&schema, "app.no_columns").columns.is_empty());
    assert_eq!(named(&schema, "app.dropped_column").columns.len(), 3);
    assert_eq!(named(&schema, "\"Büro & Co\".\"Straße \"\"Q\"\" 表\"").columns.len(), 4);

    let of = |table: &str| -> Vec<&ForeignKey> {
        let table: QualifiedName = table.parse().unwrap();
        schema.foreign_keys.iter().filter(|key| key.table == table).collect()
    };
    assert_eq!(of("app.transactions").len(), 2, "partitions do not repeat them");
    assert!(of("app.transactions_2023").is_empty());
    assert!(of("app.receipts")[0].match_full);
    assert_eq!(of("app.receipts")[0].columns, ["transaction_id", "booked", "region"]);
    assert!(of("app.legacy_links").iter().any(|key| !key.validated));
    assert_eq!(of("hr.badges")[0].columns, ["company", "number"], "in the key's order");

    let views: Vec<_> = schema.materialized_views.iter().map(ToString::to_string).collect();
    assert_eq!(views, ["app.z_totals", "app.a_report"]);
    assert_eq!(schema.large_objects, 14);
    for role in ["postgres", "strongroom_fixture_reader"] {
        assert!(schema.roles.iter().any(|known| known == role), "{role}");
    }
    let called = |name: &str| {
        let name: QualifiedName = name.parse().unwrap();
        let found = schema.sequences.iter().find(|sequence| sequence.name == name).unwrap();
        (found.last_value, found.is_called)
    };
    assert_eq!(called("app.invoice_number"), (497, true));
    assert_eq!(called("app.set_but_not_called"), (77, false));
    assert_eq!(called("app.\"Unused Sequence\""), (1, false));
    assert_eq!(schema.database.encoding, "UTF8");
}

#[tokio::test]
async fn every_row_comes_with_its_owner() {
    let database = support::everything().await;
    let session = database.session().await;
    let schema = describe(&session).await.unwrap();

    let through_two = path(
        "users",
        &[("item_id", "app.ingestion_items", "id"), ("batch_id", "app.ingestion_batches", "id")],
        &["user_id"],
    );
    let counted =
        rows_by_owner(&session, named(&schema, "app.ingestion_errors"), &through_two).await;
    assert_eq!(counted[&None], 10);
    // Item n is of batch 1 + n % 60, which is of person 1 + (1 + n % 60) % 40.
    assert_eq!(counted[&Some(person(3))], 1);
    assert_eq!(counted.values().sum::<usize>(), 40);

    let direct = path("users", &[], &["user_id"]);
    let counted = rows_by_owner(&session, named(&schema, "app.rules"), &direct).await;
    assert_eq!(counted[&None], 10);
    let counted = rows_by_owner(&session, named(&schema, "app.transactions"), &direct).await;
    assert_eq!(counted.values().sum::<usize>(), 300);
    let documents = named(&schema, "app.documents");
    let counted = rows_by_owner(&session, documents, &direct).await;
    assert_eq!(counted.values().sum::<usize>(), 10, "without the rows of its children");

    let employee = path("employees", &[], &["company", "number"]);
    let counted = rows_by_owner(&session, named(&schema, "hr.badges"), &employee).await;
    assert_eq!(counted[&None], 6, "a part of the key is NULL");
    assert_eq!(counted[&Some("2,1".to_owned())], 1);

    let to_herself = path("users", &[("invited_by", "app.users", "id")], &["invited_by"]);
    let counted = rows_by_owner(&session, named(&schema, "app.users"), &to_herself).await;
    assert_eq!(counted.values().sum::<usize>(), 41, "no row is lost on the way");
}

#[tokio::test]
async fn an_owner_is_found_by_the_equality_of_the_foreign_key() {
    let database = support::everything().await;
    let session = database.session().await;
    let schema = describe(&session).await.unwrap();
    let Some(uses) = schema.table(&"app.alias_uses".parse().unwrap()) else {
        return; // The server has no citext.
    };
    let owner = path("users", &[("alias", "app.aliases", "alias")], &["user_id"]);
    let counted = rows_by_owner(&session, uses, &owner).await;
    assert!(!counted.contains_key(&None), "`ALIAS1` refers to `Alias1` in citext");
    let key = schema.foreign_keys.iter().find(|key| key.table == uses.name).unwrap();
    assert_eq!(foreign_keys::count_dangling(&session, key).await.unwrap(), 0);
}

/// What must be alike after a round trip: everything but oids and the planner's estimates.
fn comparable(mut schema: DatabaseSchema) -> DatabaseSchema {
    schema.database.name.clear();
    for table in &mut schema.tables {
        (table.oid, table.rows_estimated, table.bytes_estimated) = (0, 0, 0);
        table.columns.iter_mut().for_each(|column| column.type_oid = 0);
    }
    schema.foreign_keys.iter_mut().for_each(|key| key.oid = 0);
    schema
}

#[tokio::test]
async fn a_whole_database_makes_the_round_trip() {
    let database = support::everything().await;
    let source = database.session().await;
    let snapshot = source.begin_snapshot().await.unwrap();
    let schema = describe(&source).await.unwrap();
    let tools = Tools::find(source.server_major()).unwrap();
    let archive = dump_schema(&tools, &database.settings(), &snapshot).await.unwrap().archive;

    let copy = settings(&support::cluster().url("round trip of \"everything\""));
    let maintenance = copy.with_database("postgres");
    target::create_database(&maintenance, copy.database(), &schema.database).await.unwrap();
    let target_session = Session::connect(&copy).await.unwrap();
    target::ensure_empty(&target_session).await.unwrap();
    assert!(target::missing_roles(&target_session, &schema.roles).await.unwrap().is_empty());

    let options = RestoreOptions::default();
    restore_section(&tools, &copy, &archive, Section::PreData, &options).await.unwrap();
    for table in &schema.tables {
        let mut rows = target_session.copy_table_in(table, CopyFormat::Text).await.unwrap();
        let lines = lines_of(&source, table, None).await;
        for line in &lines {
            rows.send(line.clone()).await.unwrap();
        }
        assert_eq!(rows.finish().await.unwrap(), lines.len() as u64, "{}", table.name);
    }
    let objects = large_objects::list(&source).await.unwrap();
    for object in &objects {
        large_objects::create(&target_session, object.oid).await.unwrap();
        let mut offset = 0;
        loop {
            let chunk = large_objects::read_chunk(&source, object.oid, offset).await.unwrap();
            if chunk.is_empty() {
                break;
            }
            large_objects::write_chunk(&target_session, object.oid, offset, &chunk).await.unwrap();
            offset += chunk.len() as u64;
        }
        assert_eq!(large_objects::size_bytes(&source, object.oid).await.unwrap(), offset);
        large_objects::set_properties(&target_session, object, true, true).await.unwrap();
    }
    for sequence in &schema.sequences {
        target::set_sequence(&target_session, sequence).await.unwrap();
    }
    let options = RestoreOptions { jobs: 2, ..options };
    restore_section(&tools, &copy, &archive, Section::PostData, &options).await.unwrap();
    for view in &schema.materialized_views {
        target::refresh_materialized_view(&target_session, view).await.unwrap();
    }
    target::analyze(&target_session).await.unwrap();

    target_session.begin_snapshot().await.unwrap();
    assert_eq!(comparable(describe(&target_session).await.unwrap()), comparable(schema.clone()));
    for table in &schema.tables {
        let mut before = lines_of(&source, table, None).await;
        let mut after = lines_of(&target_session, table, None).await;
        before.sort();
        after.sort();
        assert_eq!(before, after, "{}", table.name);
    }
    assert_eq!(large_objects::list(&target_session).await.unwrap(), objects);
    let report = "SELECT people, balance::text FROM app.a_report";
    let report = target_session.query_one(report, &[]).await.unwrap();
    assert_eq!(report.get::<_, i64>(0), 40);
    let refused = target::ensure_empty(&target_session).await.unwrap_err();
    assert!(matches!(refused, PostgresError::NotEmpty { .. }), "{refused}");
    drop(target_session);
    support::cluster().drop_database(copy.database()).unwrap();
}

#[tokio::test]
async fn a_left_out_entry_is_not_restored_and_what_is_there_already_fails() {
    let database = support::database();
    let session = database.session().await;
    let statements = "CREATE TABLE public.a (i int PRIMARY KEY);
        CREATE TABLE public.b (i int REFERENCES public.a)";
    session.batch("tables", statements).await.unwrap();
    let snapshot = session.begin_snapshot().await.unwrap();
    let schema = describe(&session).await.unwrap();
    let tools = Tools::find(session.server_major()).unwrap();
    let archive = dump_schema(&tools, &database.settings(), &snapshot).await.unwrap().archive;

    let other = support::database();
    let skip = vec![(2606, schema.foreign_keys[0].oid)];
    let options = RestoreOptions { skip, ..RestoreOptions::default() };
    for section in [Section::PreData, Section::PostData] {
        restore_section(&tools, &other.settings(), &archive, section, &options).await.unwrap();
    }
    let restored = describe(&other.session().await).await.unwrap();
    assert_eq!(restored.tables.len(), 2);
    assert!(restored.foreign_keys.is_empty());

    let settings = other.settings();
    let failed = restore_section(&tools, &settings, &archive, Section::PreData, &options);
    let failed: Vec<_> = failed.await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    let error = &failed[0];
    assert!(error.contains("CREATE TABLE public.a") && error.contains("already exists"), "{error}");
    let broken = &archive[..archive.len() / 2];
    restore_section(&tools, &other.settings(), broken, Section::PreData, &options)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn large_objects_are_found_through_the_column_that_names_them() {
    let database = support::everything().await;
    let session = database.session().await;
    let schema = describe(&session).await.unwrap();
    let receipts = named(&schema, "app.receipts");
    let scan = receipts.column("scan").unwrap();
    let owner = path(
        "users",
        &[("transaction_id,booked,region", "app.transactions", "id,booked,region")],
        &["user_id"],
    );
    let owners = large_objects::owners(&session, receipts, scan, Some(&owner)).await.unwrap();
    assert_eq!(owners.len(), 13);
    assert!(owners.contains(&(900_100, None, Verdict::Nobody)));
    assert_eq!(owners.iter().filter(|(_, owner, _)| owner.is_some()).count(), 12);
    let unowned = large_objects::owners(&session, receipts, scan, None).await.unwrap();
    assert!(unowned.iter().all(|(_, owner, _)| owner.is_none()));
}

#[tokio::test]
async fn dangling_references_are_counted_and_mended() {
    let database = support::database();
    let session = database.session().await;
    let statements = "
        CREATE TABLE public.users (id int, tenant int);
        INSERT INTO public.users VALUES (1, 1), (2, 1);
        CREATE TABLE public.r (id int, u int, t int NOT NULL) PARTITION BY RANGE (id);
        CREATE TABLE public.r1 PARTITION OF public.r DEFAULT;
        INSERT INTO public.r VALUES (1, 1, 1), (2, 9, 1), (3, NULL, 1), (4, 2, 7);";
    session.batch("tables", statements).await.unwrap();
    let key = ForeignKey {
        oid: 0,
        name: "r_u".to_owned(),
        table: "r".parse().unwrap(),
        columns: vec!["u".to_owned(), "t".to_owned()],
        referenced_table: "users".parse().unwrap(),
        referenced_columns: vec!["id".to_owned(), "tenant".to_owned()],
        validated: true,
        match_full: false,
        temporal: false,
        on_delete: OnDelete::default(),
        on_update: OnUpdate::default(),
    };
    assert_eq!(foreign_keys::count_dangling(&session, &key).await.unwrap(), 2);
    let full = ForeignKey { match_full: true, ..key.clone() };
    let refused = foreign_keys::null_dangling(&session, &full, &key.columns[..1]).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, PostgresError::NotNullable { .. }), "{refused}");
    let values = ["2".to_owned(), "1".to_owned()];
    assert!(foreign_keys::redirect_dangling(&session, &key, &values[..1]).await.is_err());

    session.batch("begin", "BEGIN").await.unwrap();
    assert_eq!(foreign_keys::redirect_dangling(&session, &key, &values).await.unwrap(), 2);
    assert_eq!(foreign_keys::count_dangling(&session, &key).await.unwrap(), 0);
    session.batch("rollback", "ROLLBACK; BEGIN").await.unwrap();
    assert_eq!(foreign_keys::delete_dangling(&session, &key).await.unwrap(), 2);
    session.batch("rollback", "ROLLBACK").await.unwrap();
    assert_eq!(foreign_keys::null_dangling(&session, &key, &key.columns[..1]).await.unwrap(), 2);
    assert_eq!(foreign_keys::count_dangling(&session, &key).await.unwrap(), 0);
}

#[tokio::test]
async fn the_unix_socket_works_and_is_never_encrypted() {
    let cluster = support::cluster();
    let url = format!(
        "postgres://postgres@/postgres?host={}&port={}&password=only%20for%20tests&sslmode=require",
        cluster.folder().display(),
        cluster.port()
    );
    Session::connect(&settings(&url)).await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_only_read_is_enough_and_what_it_cannot_read_is_named() {
    let database = support::everything().await;
    let administrator = database.session().await;
    let statements = format!(
        "CREATE ROLE reader_{0} LOGIN PASSWORD 'p';
        GRANT USAGE ON SCHEMA app, hr, \"Büro & Co\" TO reader_{0};
        GRANT SELECT ON ALL TABLES IN SCHEMA app, hr, \"Büro & Co\" TO reader_{0}",
        database.name
    );
    administrator.batch("a role", &statements).await.unwrap();
    let login = format!("reader_{}:p", database.name);
    let reader = settings(&database.url.replace("postgres:only%20for%20tests", &login));
    let session = Session::connect(&reader).await.unwrap();
    let error = describe(&session).await.unwrap_err();
    assert!(matches!(error, PostgresError::SequenceUnreadable(_)), "{error}");
    let grant = format!("GRANT SELECT ON ALL SEQUENCES IN SCHEMA app TO reader_{}", database.name);
    administrator.batch("a right", &grant).await.unwrap();
    let schema = describe(&session).await.unwrap();
    // A policy applies to this table: it must fail, not give fewer rows.
    let error =
        session.copy_table_out(&TableRead::lines(named(&schema, "app.accounts"), None)).await;
    let error = match error {
        Err(error) => error,
        Ok(mut rows) => rows.next_chunk().await.unwrap().unwrap_err(),
    };
    assert!(error.to_string().contains("row-level security"), "{error}");
    let error = target::disable_triggers_for_session(&session).await.unwrap_err();
    assert!(matches!(error, PostgresError::TriggersNotHeld { .. }), "{error}");
    drop(session);
    let statements = format!("DROP OWNED BY reader_{0}; DROP ROLE reader_{0}", database.name);
    administrator.batch("the role's end", &statements).await.unwrap();
}

#[tokio::test]
async fn triggers_can_be_kept_from_firing() {
    let database = support::everything().await;
    let session = database.session().await;
    target::disable_triggers_for_session(&session).await.unwrap();
    let schema = describe(&session).await.unwrap();
    let referrals = named(&schema, "app.referrals");
    let mut rows = session.copy_in(&copy_in_statement(referrals, CopyFormat::Text)).await.unwrap();
    let (one, two) = (person(1), person(9));
    rows.send(Bytes::from(format!("{one}\t{two}\t\\N\n"))).await.unwrap();
    assert_eq!(rows.finish().await.unwrap(), 1);
}

#[tokio::test]
async fn another_session_sees_the_snapshots_moment() {
    let database = support::database();
    let first = database.session().await;
    first.batch("a table", "CREATE TABLE public.t AS SELECT 1 AS i").await.unwrap();
    let snapshot = first.begin_snapshot().await.unwrap();
    let writer = database.session().await;
    writer.batch("a row", "INSERT INTO public.t VALUES (2)").await.unwrap();
    let second = database.session().await;
    second.join_snapshot(&snapshot).await.unwrap();
    for session in [&first, &second] {
        let count = session.query_one("SELECT count(*) FROM public.t", &[]).await.unwrap();
        assert_eq!(count.get::<_, i64>(0), 1);
        session.commit().await.unwrap();
    }
}
