//! What only some versions of PostgreSQL have, and what differs between them. Runs on whatever
//! server the tests have; `tests/matrix/run` gives them one of each major version.

mod locales;
mod temporal;

use crate::support::prepare::skipped;
use crate::support::{self, TestDatabase};
use crate::vault;
use crate::vault::World;
use crate::vault::picture;

/// The server's major version.
async fn server_major() -> u32 {
    let maintenance = strongroom::postgres::ConnectionSettings::parse_with(
        &support::cluster().url("postgres"),
        &|_| None,
    );
    strongroom::postgres::Session::connect(&maintenance.unwrap()).await.unwrap().server_major()
}

/// Whether the server is too old to have what a test is about; the test then says so.
async fn is_older_than(major: u32) -> bool {
    let is_older = server_major().await < major;
    if is_older {
        skipped(&format!("it needs PostgreSQL {major}; `tests/matrix/run` has it"));
    }
    is_older
}

/// A database with these tables, and a vault with it as its source, mapped and backed up.
async fn backed_up(statements: &str, flags: &[&str]) -> (TestDatabase, World) {
    let database = support::database();
    database.session().await.batch("the tables", statements).await.unwrap();
    let world = World::with_source(&database);
    world.map(flags);
    world.ok(&["backup", "main"]);
    (database, world)
}

#[tokio::test]
async fn the_server_is_the_one_that_was_asked_for() {
    let major = server_major().await;
    assert!((13..=18).contains(&major), "{major}");
    if let Ok(folder) = std::env::var(support::SERVER_VARIABLE) {
        let output = std::process::Command::new(format!("{folder}/postgres"))
            .arg("--version")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!(" {major}.")), "{said}");
    }
}

#[tokio::test]
async fn multiranges_come_back_and_go_with_their_owner() {
    if is_older_than(14).await {
        return;
    }
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY);
        CREATE TYPE public.span AS RANGE (subtype = numeric, multirange_type_name = public.spans);
        CREATE TABLE public.stays (person int REFERENCES public.people, days datemultirange,
            hours public.spans, EXCLUDE USING gist (days WITH &&));
        INSERT INTO public.people SELECT generate_series(1, 3);
        INSERT INTO public.stays VALUES
            (1, '{[2020-01-01,2020-02-01),[2021-01-01,2021-03-01)}', '{}'),
            (2, '{}', '{[1,2],(3.5,4)}'), (3, '{[2022-01-01,infinity]}', NULL)";
    let (database, world) = backed_up(statements, &["--root", "public.people"]).await;
    let before = picture::of(&database).await;
    let (copy, _) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&before);
    world.erase(None, "2");
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(report["rows_forgotten"], 2);
    let after = picture::of(&copy).await;
    assert_eq!(after.tables["public.stays"].len(), 2);
    assert_eq!(after.schema, before.schema);
}

#[tokio::test]
async fn references_released_to_null_meet_a_key_that_takes_one_null_only() {
    if is_older_than(15).await {
        return;
    }
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY);
        CREATE TABLE public.gifts (id int PRIMARY KEY, person int NOT NULL REFERENCES public.people,
            giver int REFERENCES public.people, word text UNIQUE NULLS NOT DISTINCT);
        INSERT INTO public.people SELECT generate_series(1, 4);
        INSERT INTO public.gifts VALUES (1, 1, 2, NULL), (2, 1, 3, 'b'), (3, 2, 1, 'c'), (4, 4, 2, 'd')";
    let flags = ["--root", "public.people", "--owner", "public.gifts=person"];
    let (database, world) = backed_up(statements, &flags).await;
    let before = picture::of(&database).await;
    assert!(before.schema.contains("NULLS NOT DISTINCT"), "{}", before.schema);
    world.erase(None, "2");
    let (copy, _) = world.restored("latest", &[]);
    let after = picture::of(&copy).await;
    assert_eq!(after.schema, before.schema);
    assert_eq!(after.tables["public.gifts"].len(), 3);
    let released = after.tables["public.gifts"].iter().filter(|row| row.starts_with("(1,1,,"));
    assert_eq!(released.count(), 1, "{:?}", after.tables["public.gifts"]);
}

#[tokio::test]
async fn virtual_columns_are_computed_again() {
    if is_older_than(18).await {
        return;
    }
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY, first text, last text,
            whole text GENERATED ALWAYS AS (first || ' ' || last) VIRTUAL,
            length int GENERATED ALWAYS AS (length(first)) STORED,
            CONSTRAINT not_alone CHECK (whole <> ' '));
        INSERT INTO public.people (id, first, last) VALUES (1, 'Ada', 'L'), (2, 'Zoë', 'M'), (3, NULL, 'N')";
    let (database, world) = backed_up(statements, &["--root", "public.people"]).await;
    let before = picture::of(&database).await;
    world.erase(None, "1");
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(report["rows"], 2);
    let after = picture::of(&copy).await;
    assert_eq!(after.schema, before.schema);
    let session = copy.session().await;
    let row = session.query_one("SELECT whole, length FROM public.people WHERE id = 2", &[]).await;
    let row = row.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("Zoë M", 3));
}

#[tokio::test]
async fn a_foreign_key_that_is_not_enforced_comes_back_as_it_was() {
    if is_older_than(18).await {
        return;
    }
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY);
        CREATE TABLE public.notes (person int REFERENCES public.people,
            about int REFERENCES public.people NOT ENFORCED);
        INSERT INTO public.people SELECT generate_series(1, 3);
        INSERT INTO public.notes VALUES (1, 2), (2, 99), (3, 3)";
    let flags = ["--root", "public.people", "--owner", "public.notes=person"];
    let (database, world) = backed_up(statements, &flags).await;
    let before = picture::of(&database).await;
    assert!(before.schema.contains("NOT ENFORCED"));
    world.erase(None, "2");
    let (copy, report) = world.restored("latest", &[]);
    let after = picture::of(&copy).await;
    assert_eq!(after.schema, before.schema);
    // What nobody enforces is not mended, and the report says so.
    assert_eq!(after.tables["public.notes"].len(), 2);
    assert!(report["notices"].to_string().contains("notes_about_fkey"), "{report:#}");
}
