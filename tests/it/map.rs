//! Maps of databases whose owners are hard to find. Each fixture of `tests/fixtures/map` says by a query,
//! written by hand, whose each row is. The first flag that `map` prints is taken until nothing is open; then
//! people are erased, and what a restore has is compared with the query.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use strongroom::postgres::Session;

use crate::support::{self, TestDatabase};
use crate::vault::World;

/// One fixture, cut at its lines `-- ROOTS`, `-- WHOSE` and `-- MASKS`.
struct Fixture {
    database: String,
    roots: Vec<String>,
    whose: String,
}

impl Fixture {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/map");
        let text = fs::read_to_string(folder.join(format!("{name}.sql"))).unwrap();
        let (database, rest) = text.split_once("-- ROOTS\n").unwrap();
        let (roots, rest) = rest.split_once("-- WHOSE\n").unwrap();
        let (whose, _) = rest.split_once("-- MASKS").unwrap();
        let roots = roots.lines().map(|line| line.trim_start_matches("-- ").to_owned());
        Self { database: database.to_owned(), roots: roots.collect(), whose: whose.to_owned() }
    }
}

/// A row: the owner as the query names her, and a second person.
type Whose = BTreeMap<(String, String), (Option<String>, Option<String>)>;

async fn whose(session: &Session, query: &str) -> Whose {
    let rows = session.query(query, &[]).await.unwrap();
    let pair = |row: &tokio_postgres::Row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)));
    rows.iter().map(pair).collect()
}

/// What the first flags do to a fixture's people: rows of hers that stay, rows of others that go.
async fn follow(name: &str, with_roots: bool) -> (usize, usize) {
    let fixture = Fixture::read(name);
    let database = support::database();
    let session = database.session().await;
    let statements = format!("SET search_path = public; {}", fixture.database);
    session.batch(name, &statements).await.unwrap();
    let query = format!("SELECT * FROM ({}) AS w", fixture.whose).replace("FROM (", "FROM (\n");
    session.batch("the path", "SET search_path = public").await.unwrap();
    let before = whose(&session, &query).await;
    let world = World::with_source(&database);
    let mut flags = Vec::new();
    if with_roots {
        flags.extend(fixture.roots.iter().flat_map(|root| ["--root", root.as_str()]));
    }
    let taken = world.map(&flags);
    println!("{name}: {} flags: {}", taken.len(), taken.join(" "));
    world.ok(&["backup", "main"]);
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for class in fixture.roots.iter().map(|root| root.trim_start_matches("public.")) {
        let of_class = format!("{class}:");
        let people = before.values().filter_map(|(owner, _)| owner.clone());
        let people: BTreeSet<String> =
            people.filter(|owner| owner.starts_with(&of_class)).collect();
        // One of the middle, and the first.
        let chosen = [people.iter().next(), people.iter().nth(people.len() / 2)];
        for person in chosen.into_iter().flatten().collect::<BTreeSet<_>>() {
            world.erase(Some(class), person.strip_prefix(&of_class).unwrap());
            gone.insert(person.clone());
        }
    }
    let (restored, _) = world.restored("latest", &[]);
    let session = restored.session().await;
    session.batch("the path", "SET search_path = public").await.unwrap();
    let after = whose(&session, &query).await;
    let is_gone = |person: &Option<String>| person.as_ref().is_some_and(|one| gone.contains(one));
    let stay: Vec<_> = before
        .iter()
        .filter(|(row, (owner, _))| is_gone(owner) && after.contains_key(*row))
        .collect();
    let lost: Vec<_> = before
        .iter()
        .filter(|(row, (owner, other))| {
            !is_gone(owner) && !is_gone(other) && !after.contains_key(*row)
        })
        .collect();
    println!("{name}: of {gone:?} stay {stay:?}; of others go {lost:?}");
    drop(restored);
    (stay.len(), lost.len())
}

macro_rules! fixtures {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            assert_eq!(follow(stringify!($name), true).await, (0, 0));
        }
    )*};
}

fixtures!(
    nullable_near_owner,
    text_keys,
    polymorphic,
    messages,
    text_for_uuid,
    login_and_customer,
    one_of_two_parents,
    names,
    widths,
    two_classes,
    the_other_way_round,
    spelled_alike,
);

async fn prepared(statements: &str) -> (TestDatabase, World) {
    let database = support::database();
    let session = database.session().await;
    session
        .batch("the database", &format!("SET search_path = public; {statements}"))
        .await
        .unwrap();
    let world = World::with_source(&database);
    (database, world)
}

async fn count(database: &TestDatabase, query: &str) -> i64 {
    database.session().await.query_one(query, &[]).await.unwrap().get(0)
}

const PURGED: &str = "
    CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE);
    CREATE TABLE sittings (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
    CREATE TABLE clicks (id bigint PRIMARY KEY, sitting_id bigint NOT NULL, page text);
    INSERT INTO users SELECT n, 'v' || n || '@click.example' FROM generate_series(1, 5) n;
    INSERT INTO sittings SELECT n, n FROM generate_series(1, 5) n;
    INSERT INTO clicks SELECT n, (n - 1) % 5 + 1, 'page' FROM generate_series(1, 20) n;";

#[tokio::test]
async fn a_link_that_leads_nowhere_is_not_null() {
    let (database, world) = prepared(PURGED).await;
    let session = database.session().await;
    world.map(&["--root", "users", "--owner", "clicks=sitting_id@sittings/id"]);
    world.ok(&["backup", "main"]);
    session.batch("a purge", "DELETE FROM public.sittings WHERE id = 3").await.unwrap();
    let ran = world.ends(4, &["backup", "main"]);
    assert!(ran.error_message().contains("public.clicks has 4 rows"), "{}", ran.all());
    // A map from before it could be said warns, with a count.
    let path = world.path().join("maps/main.toml");
    let second = fs::read_to_string(&path).unwrap();
    fs::write(&path, second.replace("version = 2", "version = 1")).unwrap();
    let ran = world.ends(15, &["backup", "main"]);
    assert!(ran.said.contains("4 lead to nothing that is there"), "{}", ran.all());
    let owners = &ran.document.as_ref().unwrap()["owners"];
    assert_eq!(owners[0]["rows_that_lead_nowhere"], 4, "{owners}");
    fs::write(&path, &second).unwrap();
    // What is said holds.
    for (word, rows) in [("commons", 20), ("drop", 16)] {
        world.ok(&["map", "main", "--unknown", &format!("clicks={word}"), "--write"]);
        world.ok(&["backup", "main"]);
        let (restored, _) = world.restored("latest", &[]);
        assert_eq!(count(&restored, "SELECT count(*) FROM public.clicks").await, rows, "{word}");
    }
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_no_person() {
    let (database, world) = prepared(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text);
        CREATE TABLE logs (id bigint PRIMARY KEY, user_id bigint, line text);
        INSERT INTO users SELECT n, 'x' FROM generate_series(1, 4) n;
        INSERT INTO logs SELECT n, (n - 1) % 4 + 1, 'line' FROM generate_series(1, 12) n;",
    )
    .await;
    let session = database.session().await;
    world.map(&["--root", "users"]);
    assert!(
        world
            .map_text()
            .contains("\"public.logs\" = { owner = \"users\", columns = [\"user_id\"] }")
    );
    world.ok(&["backup", "main"]);
    // Her root row is deleted; her rows in a table without a foreign key stay hers.
    session.batch("a deletion", "DELETE FROM public.users WHERE id = 2").await.unwrap();
    let second = world.ok(&["backup", "main"]);
    assert_eq!(second["owners"][0]["rows_gone_from_root"], 3, "{second}");
    world.erase(Some("users"), "2");
    for backup in world.backups() {
        let (restored, _) = world.restored(&backup, &[]);
        assert_eq!(count(&restored, "SELECT count(*) FROM public.logs WHERE user_id = 2").await, 0);
        assert_eq!(count(&restored, "SELECT count(*) FROM public.logs").await, 9);
    }
    let third = world.ok(&["backup", "main"]);
    assert_eq!(third["rows_of_erased"], 3, "{third}");
    let (restored, _) = world.restored("latest", &[]);
    assert_eq!(count(&restored, "SELECT count(*) FROM public.logs").await, 9);
    // A key that nobody ever had.
    session.batch("a ghost", "INSERT INTO public.logs VALUES (99, 77, 'line')").await.unwrap();
    let ran = world.ends(4, &["backup", "main"]);
    assert!(ran.error_message().contains("public.logs has 1 row"), "{}", ran.all());
    let keys: i64 = {
        let catalog = world.catalog();
        catalog.query_row("SELECT count(*) FROM subject", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(keys, 3, "no key is made for a ghost");
}

#[tokio::test]
async fn rows_of_nobody_in_tables_of_people_are_counted() {
    let (_database, world) = prepared(
        "CREATE TABLE users (id bigint PRIMARY KEY);
        CREATE TABLE rules (id bigint PRIMARY KEY, user_id bigint REFERENCES users);
        INSERT INTO users VALUES (1);
        INSERT INTO rules VALUES (1, 1), (2, NULL), (3, NULL);",
    )
    .await;
    world.map(&["--root", "users"]);
    let report = world.ok(&["backup", "main"]);
    assert_eq!(report["owners"][0]["table"], "public.rules");
    assert_eq!(report["owners"][0]["nobodys_rows"], 2);
}

/// One table of a random database: how its rows find their owner.
#[derive(Debug, Clone)]
struct Table {
    /// By a key, by a row of an earlier table, by the first of both that is not NULL, or not at all.
    way: u8,
    /// Whether the links are foreign keys.
    declared: bool,
    nullable: bool,
    /// The type of the column that holds the key: the root's own, text, or numeric.
    kind: u8,
    parent: prop::sample::Index,
    rows: u64,
    seed: u64,
}

const NAMES: [&str; 6] = ["letter", "parcel", "stamp", "route", "depot", "signal"];
const PEOPLE: u64 = 6;

/// The statements that make the tables, and the query that says whose each row is.
fn made(tables: &[Table]) -> (String, String) {
    let mut statements = format!(
        "CREATE TABLE users (id bigint PRIMARY KEY, email text);
        INSERT INTO users SELECT n, 'u' || n || '@any.example' FROM generate_series(1, {PEOPLE}) n;"
    );
    let mut queries: Vec<String> = Vec::new();
    let mut all =
        vec!["SELECT 'users', id::text, 'users:' || id, NULL::text FROM users".to_owned()];
    for (number, table) in tables.iter().enumerate() {
        let name = NAMES[number];
        let parent = (number > 0).then(|| table.parent.index(number));
        let by_key = matches!(table.way, 0 | 2);
        let by_parent = matches!(table.way, 1 | 2) && parent.is_some();
        let nullable = table.nullable || (by_key && by_parent);
        let not_null = if nullable { "" } else { " NOT NULL" };
        let mut columns = vec!["id bigint PRIMARY KEY".to_owned(), "body text".to_owned()];
        let mut values = vec!["n".to_owned(), "'text'".to_owned()];
        let spread = |salt: u64, count: u64| {
            let pick = format!("(abs(hashint8(n * {salt} + {})) % {count} + 1)", table.seed % 1000);
            if nullable {
                format!("CASE WHEN abs(hashint8(n + {salt})) % 4 > 0 THEN {pick} END")
            } else {
                pick
            }
        };
        let mut owners = Vec::new();
        if by_key {
            let kind = match (table.declared, table.kind) {
                (false, 1) => "text",
                (false, 2) => "numeric(9, 2)",
                _ => "bigint",
            };
            let refers = if table.declared { " REFERENCES users" } else { "" };
            columns.push(format!("user_id {kind}{not_null}{refers}"));
            values.push(format!("({})::{kind}", spread(7, PEOPLE)));
            owners.push("'users:' || t.user_id::numeric::bigint".to_owned());
        }
        let mut from = format!("{name}s t");
        if let Some(parent) = parent.filter(|_| by_parent) {
            let above = NAMES[parent];
            let refers =
                if table.declared { format!(" REFERENCES {above}s") } else { String::new() };
            columns.push(format!("{above}_id bigint{not_null}{refers}"));
            values.push(spread(13, tables[parent].rows));
            from = format!("{from} LEFT JOIN ({}) p ON p.id = t.{above}_id", queries[parent]);
            owners.push("p.owner".to_owned());
        }
        statements.push_str(&format!(
            "CREATE TABLE {name}s ({}); INSERT INTO {name}s SELECT {} FROM generate_series(1, {}) n;",
            columns.join(", "),
            values.join(", "),
            table.rows
        ));
        owners.push("NULL".to_owned());
        let owner = format!("coalesce({})", owners.join(", "));
        queries.push(format!("SELECT t.id, {owner} AS owner FROM {from}"));
        all.push(format!(
            "SELECT '{name}s', q.id::text, q.owner, NULL FROM ({}) q",
            queries[number]
        ));
    }
    (statements, all.join(" UNION ALL "))
}

fn tables() -> impl Strategy<Value = Vec<Table>> {
    let table = (0_u8..4, any::<bool>(), any::<bool>(), 0_u8..3, any::<prop::sample::Index>());
    let table = (table, 4_u64..30, any::<u64>()).prop_map(|(links, rows, seed)| {
        let (way, declared, nullable, kind, parent) = links;
        Table { way, declared, nullable, kind, parent, rows, seed }
    });
    prop::collection::vec(table, 2..=NAMES.len())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5),
        max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn the_first_flags_find_every_row_of_a_random_database(tables in tables(), gone in 1..=PEOPLE) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (statements, query) = made(&tables);
        runtime.block_on(async {
            let (database, world) = prepared(&statements).await;
            let session = database.session().await;
            session.batch("the path", "SET search_path = public").await.unwrap();
            let before = whose(&session, &query).await;
            let taken = world.map(&["--root", "users"]);
            world.ok(&["backup", "main"]);
            world.erase(Some("users"), &gone.to_string());
            let (restored, _) = world.restored("latest", &[]);
            let session = restored.session().await;
            session.batch("the path", "SET search_path = public").await.unwrap();
            let after = whose(&session, &query).await;
            let person = Some(format!("users:{gone}"));
            for (row, (owner, _)) in &before {
                let is_there = after.contains_key(row);
                assert_eq!(is_there, *owner != person, "{row:?} of {owner:?}: {taken:?}\n{statements}");
            }
        });
    }
}
