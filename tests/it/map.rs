//! Maps of databases whose owners are hard to find. Each fixture of `tests/fixtures/map` says by a query,
//! written by hand, whose each row is. The first flag that `map` prints is taken until nothing is open; then
//! people are erased, and what a restore has is compared with the query.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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
