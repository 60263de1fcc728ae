//! Databases of every locale provider, made again by `restore --create`.

use super::*;
use strongroom::postgres::{Session, describe};

/// A database that this statement makes is restored into one that is made like it.
async fn comes_back_alike(options: &str) {
    let source = vault::uncreated_database();
    let maintenance = source.settings().with_database("postgres");
    let session = Session::connect(&maintenance).await.unwrap();
    let statement = format!("CREATE DATABASE {} TEMPLATE template0 {options}", source.name);
    session.batch("a database with a locale", &statement).await.unwrap();
    let statements = "
        CREATE TABLE public.people (id int PRIMARY KEY, name text UNIQUE);
        INSERT INTO public.people VALUES (1, 'Ärger'), (2, 'Zebra'), (3, 'apfel'), (4, 'ÿ')";
    source.session().await.batch("people", statements).await.unwrap();
    let world = World::with_source(&source);
    world.map(&["--root", "public.people"]);
    world.ok(&["backup", "main"]);
    let (copy, _) = world.restored("latest", &[]);
    picture::of(&copy).await.assert_is(&picture::of(&source).await);
    let settings = async |database: &TestDatabase| {
        let mut like = describe(&database.session().await).await.unwrap().database;
        like.name.clear();
        like
    };
    assert_eq!(settings(&copy).await, settings(&source).await, "{options}");
    let order = "SELECT string_agg(name, ',' ORDER BY name) FROM public.people";
    let order = async |database: &TestDatabase| {
        let row = database.session().await.query_one(order, &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!(order(&copy).await, order(&source).await, "{options}");
}

#[tokio::test]
async fn a_database_of_the_operating_systems_locale_comes_back_alike() {
    comes_back_alike("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'").await;
    comes_back_alike("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'").await;
}

#[tokio::test]
async fn a_database_of_an_icu_locale_comes_back_alike() {
    if is_older_than(15).await {
        return;
    }
    comes_back_alike(
        "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'de'",
    )
    .await;
    if server_major().await >= 16 {
        comes_back_alike(
            "LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '& a < z' ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await;
    }
}

#[tokio::test]
async fn a_database_of_a_builtin_locale_comes_back_alike() {
    if is_older_than(17).await {
        return;
    }
    comes_back_alike("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
        .await;
    if server_major().await >= 18 {
        comes_back_alike("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'")
            .await;
    }
}
