//! What every history begins with: a vault with two stores, the database that it backs up, and one
//! to restore into.

use std::collections::BTreeMap;
use std::fs;

use strongroom::postgres::Session;

use crate::support::{self, TestDatabase};
use crate::vault::World;

/// People in the database; person n has n notes at first.
pub const PEOPLE: i64 = 12;

const TABLES: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE public.notes (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, what text);";

const ROWS: &str = "
    TRUNCATE public.users, public.notes;
    INSERT INTO public.users SELECT n, 'name ' || n FROM generate_series(0, 11) n;
    INSERT INTO public.notes SELECT 100 * n + k, n, md5(k::text)
        FROM generate_series(0, 11) n, generate_series(1, n) k;";

/// Rows as text, by person.
pub type Rows = BTreeMap<i64, Vec<String>>;

/// What every history begins with.
pub struct Beginning {
    pub source: TestDatabase,
    pub target: TestDatabase,
    pub world: World,
}

impl Beginning {
    /// A vault with its map and its kit, whose stores `near` and `far` hold its catalog.
    pub async fn new() -> Self {
        let (source, target) = (support::database(), support::database());
        for database in [&source, &target] {
            database.session().await.batch("tables", TABLES).await.unwrap();
        }
        let world = World::empty();
        let near = world.path().join("near").display().to_string();
        let recipient = fs::read_to_string(world.path().join("recipient")).unwrap();
        world.ok(&["init", "--store", &near, "--recipient", &recipient]);
        let file = world.path().join("strongroom.toml");
        let text = fs::read_to_string(&file).unwrap();
        let begin = text.find("[store]").unwrap();
        let end = begin + text[begin..].find("\n\n").unwrap();
        let store = |name: &str| format!("[[store]]\nname = \"{name}\"\nurl = \"{name}\"\n");
        let stores = store("near") + &store("far");
        fs::write(&file, format!("{}{stores}{}", &text[..begin], &text[end..])).unwrap();
        world.ok(&["store", "check", "far"]);
        world.ok(&["source", "add", "main", "--url", &source.url]);
        world.map(&["--root", "public.users"]);
        world.ok(&["kit", "print", "--output", "kit.txt"]);
        fs::create_dir(world.path().join("machine-0")).unwrap();
        for part in ["catalog.sqlite", "master.age"] {
            fs::rename(world.path().join(part), world.path().join("machine-0").join(part)).unwrap();
        }
        Self { source, target, world }
    }

    /// The source as every history finds it.
    pub async fn reset(&self) {
        self.source.session().await.batch("rows", ROWS).await.unwrap();
    }

    /// The application writes: a person changes what she wrote, and writes some more.
    pub async fn write(&self, person: i64, moment: u32) {
        let statements = format!(
            "UPDATE public.notes SET what = 'changed at {moment}' WHERE user_id = {person};
             INSERT INTO public.notes VALUES ({}, {person}, 'new at {moment}')",
            10_000 * (person + 1) + i64::from(moment)
        );
        self.source.session().await.batch("the application", &statements).await.unwrap();
    }

    /// Makes room for the next restore.
    pub async fn empty_target(&self) {
        let truncate = "TRUNCATE public.users, public.notes";
        self.target.session().await.batch("the target", truncate).await.unwrap();
    }
}

/// Every row of a database, by the person whose it is.
pub async fn rows(session: &Session) -> Rows {
    let query = "SELECT id, 'user ' || id || ' ' || name FROM public.users
        UNION ALL SELECT user_id, 'note ' || id || ' ' || coalesce(what, '-') FROM public.notes
        ORDER BY 1, 2";
    let mut rows = Rows::new();
    for row in session.query(query, &[]).await.unwrap() {
        rows.entry(row.get(0)).or_default().push(row.get(1));
    }
    rows
}
