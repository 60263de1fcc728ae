//! What `pg_dump` and `pg_restore` would have kept is kept, and what cannot be restored is named while everything
//! else is there.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{self, TestDatabase};
use crate::vault::{World, uncreated_database};

async fn source(tables: &str, flags: &[&str]) -> (TestDatabase, World) {
    let database = support::database();
    let statements = format!("SET search_path = public; {tables}");
    database.session().await.batch("a database", &statements).await.unwrap();
    let world = World::with_source(&database);
    world.map(&[&["--root", "people"], flags].concat());
    world.ok(&["backup", "main"]);
    (database, world)
}

/// The first column of every row, as text, one a line.
async fn text(database: &TestDatabase, query: &str) -> String {
    let rows = database.session().await.query(query, &[]).await.unwrap();
    rows.iter().fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{}", row.get::<_, Option<String>>(0).unwrap_or_default());
        text
    })
}

/// Restores, which must end so; the report.
fn restored(world: &World, arguments: &[&str], code: i32) -> (TestDatabase, Value) {
    let copy = uncreated_database();
    let ran = world.restore("latest", &copy, &[&["--create"], arguments].concat());
    assert_eq!(ran.code, Some(code), "{}", ran.all());
    (copy, ran.document.unwrap())
}

fn failed(report: &Value) -> Vec<String> {
    let failures = report["failures"].as_array().unwrap();
    failures.iter().map(|one| one["statement"].as_str().unwrap().to_owned()).collect()
}

/// What is set on a database, its name left out.
const PROPERTIES: &str = "
    SELECT format('%s|%s|%s|%s|%s', d.datconnlimit, pg_get_userbyid(d.datdba),
        (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a),
        shobj_description(d.oid, 'pg_database'),
        (SELECT array_agg(format('%s %s', s.setrole::regrole, s.setconfig) ORDER BY 1)
            FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
    FROM pg_database d WHERE d.datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_on_the_database_comes_with_create() {
    let tables = "
        CREATE TABLE people (id int PRIMARY KEY, name text);
        CREATE FUNCTION local_day(at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS 'SELECT at::date';
        CREATE TABLE visits (id int PRIMARY KEY, person int REFERENCES people, at timestamptz,
            day date GENERATED ALWAYS AS (public.local_day(at)) STORED);
        CREATE TABLE stays (id int, person int REFERENCES people, at timestamptz)
            PARTITION BY RANGE (public.local_day(at));
        CREATE TABLE stays_may PARTITION OF stays FOR VALUES FROM ('2024-05-01') TO ('2024-06-01');
        CREATE TABLE stays_june PARTITION OF stays FOR VALUES FROM ('2024-06-01') TO ('2024-07-01');
        INSERT INTO people SELECT n, 'N' || n FROM generate_series(1, 9) n;
        CREATE ROLE kept_app; CREATE ROLE kept_owner;
        DO $$ DECLARE d text := current_database(); BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = public', d);
            EXECUTE format('ALTER DATABASE %I SET shop.tenant = ''t;1''', d);
            EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', d);
            EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', d);
            EXECUTE format('ALTER ROLE kept_app IN DATABASE %I SET statement_timeout = ''5s''', d);
            EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', d);
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO kept_app', d);
            EXECUTE format('COMMENT ON DATABASE %I IS ''the shop''', d);
            EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 50', d);
            EXECUTE format('ALTER DATABASE %I OWNER TO kept_owner', d);
        END $$;";
    let (database, world) = source(tables, &[]).await;
    // As an application does: with the settings that the database has by now.
    let rows = "
        SET timezone = 'Asia/Tokyo'; SET search_path = public;
        INSERT INTO visits SELECT n, 1 + n % 9, timestamptz '2024-06-01 22:30:00+09' + n * interval '3 hours'
            FROM generate_series(1, 100) n;
        INSERT INTO stays SELECT n, 1 + n % 9, timestamptz '2024-05-31 23:30:00+09' + n * interval '3 minutes'
            FROM generate_series(1, 60) n";
    database.session().await.batch("rows", rows).await.unwrap();
    world.ok(&["backup", "main"]);
    let (copy, report) = restored(&world, &[], 0);
    assert_eq!(text(&copy, PROPERTIES).await, text(&database, PROPERTIES).await, "{report:#}");
    let rows = "SELECT format('%s %s', id, day) FROM public.visits
        UNION ALL SELECT format('%s in %s', id, tableoid::regclass) FROM public.stays ORDER BY 1";
    assert_eq!(text(&copy, rows).await, text(&database, rows).await);
    assert_eq!((&report["closed"], failed(&report)), (&Value::Bool(false), vec![]));
    drop((database, copy));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_reads_another_table_is_restored() {
    let tables = "
        CREATE TABLE people (id int PRIMARY KEY, name text);
        CREATE TABLE kinds (kind text PRIMARY KEY);
        CREATE FUNCTION known(k text) RETURNS boolean LANGUAGE sql STABLE
            AS 'SELECT EXISTS (SELECT FROM public.kinds WHERE kind = k)';
        CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people,
            kind text CHECK (public.known(kind)), body text);
        INSERT INTO people SELECT n, 'N' || n FROM generate_series(1, 20) n;
        INSERT INTO kinds VALUES ('a'), ('b');
        INSERT INTO notes SELECT n, 1 + n % 20, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END, repeat('n', 50)
            FROM generate_series(1, 400) n";
    let (_database, world) = source(tables, &["--shared", "kinds"]).await;
    let (copy, report) = restored(&world, &[], 0);
    assert_eq!(report["rows"], 422);
    assert_eq!(text(&copy, "SELECT count(*)::text FROM public.notes").await, "400\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_listed_and_everything_else_is_there() {
    // A function that needs a search_path, a reference that leads nowhere, and two rows under a unique index.
    let tables = "
        CREATE TABLE people (id int PRIMARY KEY, email text, name text);
        CREATE UNIQUE INDEX people_email ON people (email);
        CREATE FUNCTION plain(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
        CREATE FUNCTION plainer(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE
            AS $$ BEGIN RETURN plain(t); END $$;
        CREATE INDEX people_plain ON people (plainer(name));
        CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people, body text);
        INSERT INTO people SELECT n, 'p' || n || '@invalid.example', 'N' || n FROM generate_series(1, 20) n;
        INSERT INTO notes SELECT n, 1 + n % 20, 'n' FROM generate_series(1, 40) n;
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON notes USING (false);
        CREATE FUNCTION no_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION no_delete();
        SET session_replication_role = replica;
        INSERT INTO notes VALUES (1000, 777, 'nobody');
        RESET session_replication_role;
        UPDATE pg_index SET indisready = false WHERE indexrelid = 'people_email'::regclass;
        INSERT INTO people VALUES (100, 'p7@invalid.example', 'N');
        UPDATE pg_index SET indisready = true WHERE indexrelid = 'people_email'::regclass;";
    let (_database, world) = source(tables, &[]).await;
    for jobs in ["1", "4"] {
        let (copy, report) = restored(&world, &["--jobs", jobs], 14);
        let failures = failed(&report);
        assert_eq!(failures.len(), 3, "{report:#}");
        for part in ["people_email", "people_plain", "FOREIGN KEY"] {
            assert!(failures.iter().any(|one| one.contains(part)), "{part}: {report:#}");
        }
        assert!(!format!("{report}").contains("p7@invalid"), "no value is shown");
        assert_eq!(report["closed"], false, "nothing that protects rows is missing");
        let there = "
            SELECT (SELECT count(*) FROM pg_policy) || ' ' || (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)
                || ' ' || (SELECT relrowsecurity FROM pg_class WHERE oid = 'public.notes'::regclass)
                || ' ' || (SELECT count(*) FROM public.notes) || ' ' || (SELECT count(*) FROM public.people)";
        assert_eq!(text(&copy, there).await, "1 1 true 41 21\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_its_policies_is_closed_until_it_is_opened() {
    let tables = "
        CREATE ROLE kept_policy;
        CREATE TABLE people (id int PRIMARY KEY, name text);
        CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON notes AS RESTRICTIVE TO kept_policy USING (false);
        INSERT INTO people VALUES (1, 'N');
        GRANT SELECT ON notes TO PUBLIC";
    let (database, world) = source(tables, &[]).await;
    let session = database.session().await;
    session
        .batch("a role that goes", "DROP OWNED BY kept_policy; DROP ROLE kept_policy")
        .await
        .unwrap();
    let (copy, report) = restored(&world, &["--no-owner", "--no-privileges"], 14);
    assert_eq!(report["closed"], true, "{report:#}");
    assert!(failed(&report)[0].starts_with("CREATE POLICY own"), "{report:#}");
    let may_connect = "
        SELECT bool_or(a.grantee = 0)::text FROM pg_database d,
            LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT'";
    assert_eq!(text(&copy, may_connect).await, "false\n");
    let ran = world.restore("latest", &copy, &["--open"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(text(&copy, may_connect).await, "true\n");

    // In a database that was there before, the table has no grants.
    let there = support::database();
    let grant = "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_read_all_stats";
    there.session().await.batch("defaults", grant).await.unwrap();
    let ran = world.restore("latest", &there, &["--no-owner", "--no-privileges"]);
    assert_eq!(ran.code, Some(14), "{}", ran.all());
    let grants = "
        SELECT c.relname::text FROM pg_class c, LATERAL aclexplode(c.relacl) a
        WHERE c.relname IN ('notes', 'people') AND a.grantee <> c.relowner";
    assert_eq!(text(&there, grants).await, "people\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_restoring_role_change_no_value() {
    let tables = "
        CREATE TABLE people (id int PRIMARY KEY, name text, tags text[], page xml);
        INSERT INTO people VALUES (1, 'N', ARRAY['a', NULL, 'NULL'], 'just <b>content</b>')";
    let (database, world) = source(tables, &[]).await;
    let role = format!("{}_strange", database.name);
    let statements = format!(
        "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'sparrow';
         ALTER ROLE {role} SET array_nulls = off; ALTER ROLE {role} SET xmloption = document;
         ALTER ROLE {role} SET default_transaction_read_only = on"
    );
    database.session().await.batch("a role", &statements).await.unwrap();
    let copy = support::database();
    let url = copy.url.replacen("postgres:only%20for%20tests", &format!("{role}:sparrow"), 1);
    let target = TestDatabase { name: copy.name.clone(), url };
    let ran = world.restore("latest", &target, &["--data-only"]);
    assert_ne!(ran.code, Some(0), "there are no tables yet");
    copy.session()
        .await
        .batch(
            "tables",
            "CREATE TABLE public.people (id int PRIMARY KEY, name text, tags text[], page xml)",
        )
        .await
        .unwrap();
    let ran = world.restore("latest", &target, &["--data-only"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    let rows = "SELECT p::text FROM public.people p";
    assert_eq!(text(&copy, rows).await, text(&database, rows).await);
    std::mem::forget(target);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_cannot_see_is_named() {
    let tables = "
        CREATE TABLE people (id int PRIMARY KEY, name text);
        INSERT INTO people VALUES (1, 'N');
        CREATE FOREIGN DATA WRAPPER elsewhere;
        CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
        CREATE USER MAPPING FOR postgres SERVER far OPTIONS (secret 'sparrow');
        CREATE USER MAPPING FOR public SERVER far OPTIONS (secret 'sparrow');
        CREATE PUBLICATION published FOR TABLE people;
        CREATE SUBSCRIPTION subscribed CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION published
            WITH (connect = false, slot_name = NONE);";
    let database = support::database();
    for statement in format!("SET search_path = public; {tables}").split(';') {
        database
            .session()
            .await
            .batch("a part", &format!("SET search_path = public; {statement}"))
            .await
            .unwrap();
    }
    let role = format!("{}_reader", database.name);
    let statements = format!(
        "CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD 'sparrow';
         GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    );
    database.session().await.batch("a role", &statements).await.unwrap();
    let url = database.url.replacen("postgres:only%20for%20tests", &format!("{role}:sparrow"), 1);
    let world = World::new();
    world.ok(&["source", "add", "main", "--url", &url]);
    world.map(&["--root", "people"]);
    let report = world.ok(&["backup", "main"]);
    let notices = report["notices"].to_string();
    for part in [
        "subscriptions are not in the backup, for only a superuser may read them: subscribed",
        "without their options, for the role may not read them: postgres on far, public on far",
        "pg_dump says: subscriptions not dumped",
    ] {
        assert!(notices.contains(part), "{part}: {notices}");
    }
    assert!(!report.to_string().contains("sparrow"));
    // A superuser sees all of it.
    let world = World::with_source(&database);
    world.map(&["--root", "people"]);
    let report = world.ok(&["backup", "main"]);
    assert_eq!(report["notices"].as_array().unwrap().len(), 0, "{report:#}");
    database.session().await.batch("the end", "DROP SUBSCRIPTION subscribed").await.unwrap();
}
