//! The whole program with a bucket as a store, against a real S3 server (SeaweedFS): vaults that live
//! there alone, copies, locked buckets, losses, and the disaster drill as `docs/disaster.md` has it.

#[path = "amazon.rs"]
mod at_amazon;
mod cases;
mod disaster;
mod locked;
mod plain;

use std::fs;
use std::sync::Arc;

use crate::support::{self, TestDatabase};
use crate::vault::World;
use strongroom::store::Store;

const PEOPLE: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.orders (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, what text);
    CREATE TABLE public.currencies (code text PRIMARY KEY);
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(1, 40) n;
    INSERT INTO public.orders SELECT n, 1 + n % 40, md5(n::text) FROM generate_series(1, 4000) n;
    INSERT INTO public.currencies VALUES ('EUR'), ('CHF');";

async fn people() -> TestDatabase {
    let database = support::database();
    database.session().await.batch("people", PEOPLE).await.unwrap();
    database
}

/// Adds the source and its map.
fn add_source(world: &World, database: &TestDatabase) {
    world.ok(&["source", "add", "main", "--url", &database.url]);
    world.map(&["--root", "public.users", "--shared", "currencies"]);
}

/// A vault in a bucket and nowhere else.
async fn only_bucket(url: &str) -> (TestDatabase, World) {
    let database = people().await;
    let world = World::empty();
    let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
    world.ok(&["init", "--store", url, "--recipient", &recipient]);
    add_source(&world, &database);
    (database, world)
}

/// A vault with a folder for everything and a bucket for weekly backups.
async fn folder_and_bucket(url: &str) -> (TestDatabase, World) {
    let database = people().await;
    let world = World::new();
    let file = world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("[store]").unwrap();
    let end = begin + text[begin..].find("\n\n").unwrap();
    let stores = format!(
        "[[store]]\nname = \"local\"\nurl = \"store\"\n\
         [[store]]\nname = \"offsite\"\nurl = \"{url}\"\nclasses = [\"weekly\"]\n"
    );
    fs::write(&file, format!("{}{stores}{}", &text[..begin], &text[end..])).unwrap();
    let checked = world.ok(&["store", "check", "offsite"]);
    assert_eq!(checked["stores"][0]["taken"], true, "{checked:#}");
    add_source(&world, &database);
    (database, world)
}

fn backup(world: &World, class: &str) -> String {
    let document = world.ok(&["backup", "main", "--class", class]);
    document["backup"].as_str().unwrap().to_owned()
}

/// The names of objects in a bucket.
async fn names(store: &Arc<dyn Store>, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).await.unwrap();
    listed.into_iter().map(|object| object.name.to_string()).collect()
}
