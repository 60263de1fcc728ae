//! What patterns of texts tell in a manifest: what many people share, and never what one has, or a few.

use std::fs;

use crate::support::{self, python};
use crate::vault::World;
use crate::vault::reader::{self, Reading, said};
use serde_json::Value;

/// 200 people. `notes` say themselves whose they are, `items` only by a join. Person 1 has a text
/// thousands of times; 2 to 50 share another, 51 to 100 a third; what is nobody's is not counted.
const ROWS: &str = "
    SET search_path = public;
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
    CREATE TABLE notes (id bigserial PRIMARY KEY, user_id bigint REFERENCES users, body text NOT NULL);
    CREATE TABLE items (
        id bigserial PRIMARY KEY, note_id bigint NOT NULL REFERENCES notes, body text NOT NULL);
    CREATE TABLE countries (id bigserial PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT i, 'canary' || i || '@example.org' FROM generate_series(1, 199) i;
    INSERT INTO users VALUES (200, 'canary of a root');
    INSERT INTO notes (user_id, body) SELECT 1, 'canary of one, ' || n FROM generate_series(1, 5000) n;
    INSERT INTO notes (user_id, body) SELECT 1, 'canary of one' FROM generate_series(1, 5000);
    INSERT INTO notes (user_id, body) SELECT i, 'canary of forty-nine' FROM generate_series(2, 50) i,
        generate_series(1, 40);
    INSERT INTO notes (user_id, body) SELECT i, 'told of fifty' FROM generate_series(51, 100) i;
    INSERT INTO notes (user_id, body) SELECT i, 'REWE 31' || 40 + n || ' by ' || i + 100
        FROM generate_series(1, 200) i, generate_series(1, 3) n;
    INSERT INTO notes (user_id, body) SELECT NULL, 'canary of nobody' FROM generate_series(1, 2000);
    INSERT INTO items (note_id, body) SELECT id, body FROM notes WHERE user_id IS NOT NULL;
    INSERT INTO countries (name) SELECT 'canary of all' FROM generate_series(1, 2000);";

fn manifest(world: &World, to: &str) -> (Value, String) {
    let catalog = world.path().join("catalog.sqlite");
    let shares = world.epoch_secrets();
    let reading = Reading { catalog: Some(&catalog), shares: &shares, backup: "latest" };
    let (output, out) = reader::read(world, &reading, to);
    assert!(output.status.success(), "{}", said(&output));
    let text = fs::read_to_string(out.join("manifest.json")).unwrap();
    (serde_json::from_str(&text).unwrap(), text)
}

/// The patterns of the column `body` of a table.
fn patterns(manifest: &Value, table: &str) -> Vec<String> {
    let relations = manifest["relations"].as_array().unwrap();
    let relation = relations.iter().find(|one| one["relation"]["table"] == table).unwrap();
    assert_eq!(relation["format"], "copy-binary");
    let columns = relation["layout"].as_array().unwrap();
    let listed = columns.iter().filter_map(|column| column["patterns"].as_array()).flatten();
    listed.map(|pattern| pattern.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_no_text_of_one_person_or_of_a_few() {
    python::interpreter();
    let database = support::database();
    database.session().await.batch("people with texts", ROWS).await.unwrap();
    let world = World::with_source(&database);
    world.map(&["--root", "users", "--shared", "countries"]);
    world.ok(&["backup", "main"]);
    let (first, text) = manifest(&world, "first");
    for table in ["public.notes", "public.items"] {
        let found = patterns(&first, table);
        assert_eq!(found, ["REWE \u{4} by \u{3}", "told of fifty"], "{table}");
    }
    // 100 and 90 people have an address of that form: the digits are not in it.
    let users = patterns(&first, "public.users");
    assert_eq!(users, ["canary\u{3}@example.org", "canary\u{2}@example.org"]);
    assert!(patterns(&first, "public.countries").is_empty());
    for canary in ["canary of", "forty-nine", "REWE 3", "canary2"] {
        assert!(!text.contains(canary), "{canary}");
    }

    // The next backup takes the layouts over, so that nothing is sealed anew.
    world.ok(&["backup", "main"]);
    let (second, _) = manifest(&world, "second");
    for table in ["public.notes", "public.items", "public.users"] {
        assert_eq!(patterns(&second, table), patterns(&first, table));
    }
    assert_eq!(second["packs"], first["packs"]);
}
