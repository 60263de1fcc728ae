//! Changes of tables while a backup runs: neither waits for the other without end, and nobody waits unseen.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom::postgres::Session;
use strongroom::postgres::temporary::{TemporaryCluster, TemporaryOptions};

use crate::support::{self, PASSWORD, TestDatabase};
use crate::vault::{World, files_below, finished};

/// People, a table of theirs, and one that is read after it.
const TABLES: &str = "
    SET search_path = public;
    CREATE TABLE people (id int PRIMARY KEY, email text);
    CREATE TABLE orders (id bigint PRIMARY KEY, person int REFERENCES people, body text);
    CREATE TABLE small_last (id int PRIMARY KEY, person int REFERENCES people, v text);
    INSERT INTO people SELECT n, 'p' || n FROM generate_series(1, 200) n;
    INSERT INTO orders SELECT n, 1 + n % 200, md5(n::text) FROM generate_series(1, 5000) n;
    INSERT INTO small_last SELECT n, n, 'old' FROM generate_series(1, 100) n;
    ANALYZE;";

/// Nothing here may take longer.
const LONGEST: Duration = Duration::from_mins(1);

async fn case() -> (TestDatabase, World) {
    let database = support::database();
    database.session().await.batch("a small database", TABLES).await.unwrap();
    let world = World::with_source(&database);
    world.map(&["--root", "people"]);
    (database, world)
}

/// A backup that stops when it meets the first people, with every table locked and none but theirs read,
/// until its standard input ends.
fn stopped_backup(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.command(&[&["backup", "main"], arguments].concat());
    command
        .env("STRONGROOM_WAIT_AT", "subjects.insert:before")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn until(session: &Session, what: &str, query: &str) {
    let begun = Instant::now();
    while !session.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < LONGEST, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The backup's own sessions but for the one that looks at locks.
const SESSIONS: &str = "
    FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'strongroom %'
        AND query NOT LIKE '%pg_blocking_pids%'";

/// Waits until the schema is read and the rows of people are: two sessions are left, in a transaction each.
async fn until_it_stops(session: &Session) {
    let query = format!("SELECT count(*) = 2 AND bool_and(xact_start IS NOT NULL) {SESSIONS}");
    let mut settled = 0;
    let begun = Instant::now();
    while settled < 40 {
        let is_settled: bool = session.query_one(&query, &[]).await.unwrap().get(0);
        settled = if is_settled { settled + 1 } else { 0 };
        assert!(begun.elapsed() < LONGEST, "the backup does not come to people");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A change that needs the table for itself, begun in a session of its own; how long it took.
async fn change(database: &TestDatabase) -> tokio::task::JoinHandle<Duration> {
    let (session, watcher) = (database.session().await, database.session().await);
    let change = tokio::spawn(async move {
        let begun = Instant::now();
        let statement = "ALTER TABLE public.small_last ADD COLUMN secret text DEFAULT 'sparrow'";
        session.batch("a change", statement).await.unwrap();
        begun.elapsed()
    });
    let query = "
        SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE NOT l.granted AND l.mode = 'AccessExclusiveLock' AND d.datname = current_database())";
    until(&watcher, "the change does not wait", query).await;
    change
}

fn ended(child: Child) -> (Option<i32>, Value, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, said)
}

/// Ends a process that takes too long, so that a test fails instead of hanging.
fn bounded(child: &Child) -> std::thread::JoinHandle<()> {
    let id = rustix::process::Pid::from_child(child);
    std::thread::spawn(move || {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_millis(50));
            if rustix::process::test_kill_process(id).is_err() {
                return;
            }
        }
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_arrives_meanwhile_hangs_nobody_and_is_reported() {
    let (database, world) = case().await;
    let session = database.session().await;
    let mut child = stopped_backup(&world, &[]);
    bounded(&child);
    until_it_stops(&session).await;
    let change = change(&database).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    drop(child.stdin.take());
    let (code, document, said) = ended(child);
    assert_eq!(code, Some(0), "{document:#}\n{said}");
    change.await.unwrap();
    let waited = &document["waited"][0];
    assert_eq!(waited["table"], "public.small_last", "{document:#}");
    assert_eq!(waited["gave_way"], false);
    assert!(waited["seconds"].as_f64().unwrap() >= 0.5, "{waited}");
    let statement = waited["statement"].as_str().unwrap();
    assert!(statement.contains("ALTER TABLE public.small_last"), "{statement}");
    assert_eq!(document["attempts"], 1);
    assert!(said.contains("waits behind this backup for table public.small_last"), "{said}");
    assert!(!format!("{document}{said}").contains("sparrow"), "no value of a statement is shown");

    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(report["rows"], 5300, "{report:#}");
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.small_last'::regclass AND attnum > 0";
    let columns: i64 = copy.session().await.query_one(columns, &[]).await.unwrap().get(0);
    assert_eq!(columns, 3, "the copy is of the moment before the change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_gives_way_releases_everything_and_is_made_later() {
    let (database, world) = case().await;
    let session = database.session().await;
    let mut child = stopped_backup(&world, &["--yield-after", "2s"]);
    bounded(&child);
    until_it_stops(&session).await;
    let took = change(&database).await.await.unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop(child.stdin.take());
    let (code, document, said) = ended(child);
    assert_eq!(code, Some(0), "{document:#}\n{said}");
    assert_eq!(document["attempts"], 2);
    assert_eq!(document["waited"][0]["gave_way"], true, "{document:#}");
    assert!(said.contains("it is tried again in 5 seconds"), "{said}");
    let objects = files_below(&world.path().join("store/backups"));
    assert_eq!(objects.len(), 3, "nothing is left of the first attempt: {objects:?}");
    let pruned = world.ok(&["prune"]);
    assert_eq!(pruned["objects"].as_array().map_or(0, Vec::len), 0, "{pruned:#}");
    world.ok(&["verify", "--all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_being_reloaded_is_waited_for_and_read_as_it_is_afterwards() {
    let (database, world) = case().await;
    let (loader, session) = (database.session().await, database.session().await);
    loader
        .batch(
            "a reload",
            "BEGIN; TRUNCATE public.small_last;
             INSERT INTO public.small_last SELECT n, 1, 'new' FROM generate_series(1, 150) n",
        )
        .await
        .unwrap();
    let child = world
        .command(&["backup", "main"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bounded(&child);
    let query = "
        SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE NOT l.granted AND d.datname = current_database())";
    until(&session, "the backup does not wait for the lock", query).await;
    loader.batch("the end", "COMMIT").await.unwrap();
    let (code, document, said) = ended(child);
    assert_eq!(code, Some(0), "{document:#}\n{said}");
    let (copy, _) = world.restored("latest", &[]);
    let query = "SELECT count(*) FROM public.small_last WHERE v = 'new'";
    let rows: i64 = copy.session().await.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(rows, 150, "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_not_to_be_had_ends_the_backup_and_names_who_has_it() {
    let (database, world) = case().await;
    let holder = database.session().await;
    let lock = "BEGIN; LOCK TABLE public.small_last; SELECT 'sparrow'";
    holder.batch("a lock", lock).await.unwrap();
    let begun = Instant::now();
    let ran = world.ends(6, &["backup", "main", "--lock-wait", "500ms", "--retries", "0"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let message = ran.error_message();
    assert!(message.contains("table public.small_last is locked by session"), "{message}");
    assert!(!ran.all().contains("sparrow"));
    assert!(!world.path().join("store/backups").exists() || world.backups().is_empty());
    holder.batch("the end", "ROLLBACK").await.unwrap();
    world.ok(&["backup", "main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_that_holds_a_lock_is_named() {
    let mut options = support::server(PASSWORD);
    options.settings.push(("max_prepared_transactions".to_owned(), "5".to_owned()));
    let cluster = TemporaryCluster::start(&TemporaryOptions { ..options }).unwrap();
    cluster.create_database("shop").unwrap();
    let url = cluster.url("shop");
    let settings = strongroom::postgres::ConnectionSettings::parse_with(&url, &|_| None).unwrap();
    let session = Session::connect(&settings).await.unwrap();
    session.batch("a small database", TABLES).await.unwrap();
    let world = World::new();
    world.ok(&["source", "add", "main", "--url", &url]);
    world.map(&["--root", "people"]);
    let prepare = "BEGIN; LOCK TABLE public.orders; PREPARE TRANSACTION 'left behind'";
    session.batch("a prepared transaction", prepare).await.unwrap();
    let mut command = world.command(&["backup", "main", "--lock-wait", "2s"]);
    command.stdin(Stdio::null());
    let waiting = std::thread::spawn(move || finished(command));
    tokio::time::sleep(Duration::from_secs(4)).await;
    session.batch("its end", "ROLLBACK PREPARED 'left behind'").await.unwrap();
    let ran = waiting.join().unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let named =
        "table public.orders is locked by the prepared transaction `left behind` of postgres";
    assert!(ran.said.contains(named), "{}", ran.all());
}
