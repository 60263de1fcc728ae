//! Several stores: copies, outages, losses, and what each command says of them. The stores are
//! directories here; `tests/s3` does the same with a bucket.

mod losses;
mod outages;

use crate::vault;
use std::fs;
use std::path::PathBuf;

use crate::support::{self, TestDatabase};
use crate::vault::World;

/// People with orders, and what is nobody's.
const PEOPLE: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES public.users, what text);
    CREATE TABLE public.currencies (code text PRIMARY KEY);
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(1, 40) n;
    INSERT INTO public.orders SELECT n, 1 + n % 40, md5(n::text) FROM generate_series(1, 4000) n;
    INSERT INTO public.currencies VALUES ('EUR'), ('CHF');";

/// A vault with the stores `main` (every class) and `far` (weekly ones), and its database.
pub(crate) async fn two_stores() -> (TestDatabase, World) {
    let database = support::database();
    database.session().await.batch("people", PEOPLE).await.unwrap();
    let world = World::with_source(&database);
    configure(&world, "");
    world.ok(&["store", "check", "far"]);
    world.map(&["--root", "public.users", "--shared", "currencies"]);
    (database, world)
}

/// Gives a world its second store, and whatever else belongs there.
pub(crate) fn configure(world: &World, more: &str) {
    let file = world.path().join("strongroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("[store]").unwrap();
    let end = begin + text[begin..].find("\n\n").unwrap();
    let stores = format!(
        "[[store]]\nname = \"main\"\nurl = \"store\"\n\
         [[store]]\nname = \"far\"\nurl = \"far\"\nclasses = [\"weekly\"]\n{more}"
    );
    fs::write(&file, format!("{}{stores}{}", &text[..begin], &text[end..])).unwrap();
}

/// A store's folder.
pub(crate) fn store(world: &World, name: &str) -> PathBuf {
    world.path().join(if name == "main" { "store" } else { name })
}

/// Takes a store away, as a failed mount does.
pub(crate) fn take_away(world: &World, name: &str) {
    fs::rename(store(world, name), world.path().join(format!("{name} is away"))).unwrap();
}

/// Puts it back.
pub(crate) fn put_back(world: &World, name: &str) {
    let folder = store(world, name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::rename(world.path().join(format!("{name} is away")), folder).unwrap();
}

/// The files of the packs and backups in a store, relative to it, with their bytes.
pub(crate) fn objects(world: &World, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = store(world, name);
    let mut files = Vec::new();
    for part in ["packs", "backups"] {
        if folder.join(part).exists() {
            files.extend(vault::files_below(&folder.join(part)));
        }
    }
    let relative = |file: PathBuf| {
        let bytes = fs::read(&file).unwrap();
        (file.strip_prefix(&folder).unwrap().to_path_buf(), bytes)
    };
    files.into_iter().map(relative).collect()
}

/// Makes a backup; its id.
pub(crate) fn backup(world: &World, class: &str) -> String {
    let document = world.ok(&["backup", "main", "--class", class, "--full"]);
    document["backup"].as_str().unwrap().to_owned()
}
