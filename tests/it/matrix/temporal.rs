//! Keys over periods of time (PostgreSQL 18): a reference may be to several rows together, so that
//! it dangles as soon as one of them is gone.

use super::*;
use strongroom::postgres::schema::{describe, foreign_keys};

/// Jobs of companies; each assignment to one must lie within the company's contracts. Company 10's
/// contracts are person 1's and then person 2's; company 20's are nobody's.
const TABLES: &str = "
    CREATE EXTENSION btree_gist SCHEMA public;
    CREATE TABLE public.people (id int PRIMARY KEY);
    CREATE TABLE public.contracts (company int, valid daterange, person_id int REFERENCES public.people,
        PRIMARY KEY (company, valid WITHOUT OVERLAPS));
    CREATE TABLE public.assignments (id int PRIMARY KEY, person_id int NOT NULL REFERENCES public.people,
        company int, during daterange,
        CONSTRAINT within FOREIGN KEY (company, PERIOD during)
            REFERENCES public.contracts (company, PERIOD valid));
    CREATE TABLE public.badges (person_id int NOT NULL REFERENCES public.people, company int NOT NULL,
        during daterange NOT NULL,
        CONSTRAINT badge_within FOREIGN KEY (company, PERIOD during)
            REFERENCES public.contracts (company, PERIOD valid));
    INSERT INTO public.people SELECT generate_series(1, 4);
    INSERT INTO public.contracts VALUES (10, '[2020-01-01,2021-01-01)', 1),
        (10, '[2021-01-01,2023-01-01)', 2), (10, '[2024-01-01,)', 3), (20, '[2020-01-01,)', NULL);
    INSERT INTO public.assignments VALUES
        (1, 3, 10, '[2020-03-01,2020-09-01)'), (2, 3, 10, '[2020-06-01,2022-06-01)'),
        (3, 4, 10, '[2021-06-01,2022-06-01)'), (4, 4, 20, '[2020-06-01,2022-06-01)'),
        (5, 1, 10, '[2024-06-01,)'), (6, 4, NULL, '[1999-01-01,2000-01-01)'), (7, 4, 10, NULL);
    INSERT INTO public.badges SELECT person_id, company, during FROM public.assignments
        WHERE company IS NOT NULL AND during IS NOT NULL";

const FLAGS: &[&str] = &[
    "--root",
    "public.people",
    "--owner",
    "public.assignments=person_id",
    "--owner",
    "public.badges=person_id",
];

#[tokio::test]
async fn references_to_periods_that_are_no_longer_covered_are_mended() {
    if is_older_than(18).await {
        return;
    }
    let (database, world) = backed_up(TABLES, FLAGS).await;
    let before = picture::of(&database).await;
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(report["mended"], serde_json::json!([]));
    picture::of(&copy).await.assert_is(&before);
    drop(copy);

    world.erase(None, "1");
    let (copy, report) = world.restored("latest", &[]);
    let after = picture::of(&copy).await;
    assert_eq!(after.schema, before.schema, "all constraints hold");
    assert_eq!(after.tables["public.contracts"].len(), 3);
    // Her own is gone. The first is not covered any more, the second not as a whole: their periods
    // stay, their companies are released. The others refer to what is still there.
    assert_eq!(
        after.tables["public.assignments"],
        [
            "(1,3,,\"[2020-03-01,2020-09-01)\")",
            "(2,3,,\"[2020-06-01,2022-06-01)\")",
            "(3,4,10,\"[2021-06-01,2022-06-01)\")",
            "(4,4,20,\"[2020-06-01,2022-06-01)\")",
            "(6,4,,\"[1999-01-01,2000-01-01)\")",
            "(7,4,10,)",
        ],
        "{report:#}"
    );
    // Where nothing can be released, the row is dropped.
    assert_eq!(after.tables["public.badges"].len(), 2, "{report:#}");
}

#[tokio::test]
async fn a_key_over_periods_is_described_as_one_and_leads_to_no_owner() {
    if is_older_than(18).await {
        return;
    }
    let statements = "
        CREATE EXTENSION btree_gist SCHEMA public;
        CREATE TABLE public.people (id int PRIMARY KEY);
        CREATE TABLE public.versions (person int REFERENCES public.people, valid datemultirange,
            PRIMARY KEY (person, valid WITHOUT OVERLAPS));
        CREATE TABLE public.salaries (person int, valid datemultirange, amount money,
            FOREIGN KEY (person, PERIOD valid) REFERENCES public.versions (person, PERIOD valid));
        INSERT INTO public.people VALUES (1), (2);
        INSERT INTO public.versions VALUES (1, '{[2020-01-01,2021-01-01)}'),
            (1, '{[2021-01-01,)}'), (2, '{[2020-01-01,)}');
        INSERT INTO public.salaries VALUES (1, '{[2020-06-01,2022-01-01)}', 1)";
    let database = support::database();
    let session = database.session().await;
    session.batch("the tables", statements).await.unwrap();
    let schema = describe(&session).await.unwrap();
    let key = schema.foreign_keys.iter().find(|key| key.table.name == "salaries").unwrap();
    assert!(key.temporal);
    assert_eq!(key.columns, ["person", "valid"]);
    assert!(schema.foreign_keys.iter().filter(|key| key.temporal).count() == 1);
    assert!(schema.table(&key.referenced_table).unwrap().primary_key.is_empty());
    assert_eq!(foreign_keys::count_dangling(&session, key).await.unwrap(), 0);
    drop(session);

    // Equal periods would be no way to the owner: who has the salary must be said.
    let world = World::with_source(&database);
    let ran = world.run(&["map", "main", "--root", "public.people"]);
    let undecided = ran.document.as_ref().unwrap()["undecided"].to_string();
    assert!(undecided.contains("public.salaries"), "{}", ran.all());
    world.map(&["--root", "public.people", "--owner", "public.salaries=person"]);
    world.ok(&["backup", "main"]);
    world.erase(None, "1");
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!(report["rows_forgotten"], 4);
    let after = picture::of(&copy).await;
    assert!(after.tables["public.salaries"].is_empty());
    assert_eq!(after.tables["public.versions"].len(), 1);
}
