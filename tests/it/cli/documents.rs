//! `--json`: every command prints one document, and `docs/json-output.md` names every field of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use strongroom::postgres::Session;

use crate::support::TestDatabase;
use crate::support::sandbox::{DECIDED, Sandbox, existing, finance, sql};

/// The sections of the document below "Documents by command": fields and their types.
fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json-output.md");
    let text = fs::read_to_string(path).unwrap();
    let commands = text.split("## Documents by command").nth(1).unwrap();
    commands
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let name = section.lines().next().unwrap().to_owned();
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            let fields = rows
                .map(|row| {
                    let (field, rest) = row.split_once("` | ").unwrap();
                    (field.to_owned(), rest.split(" | ").next().unwrap().to_owned())
                })
                .collect();
            (name, fields)
        })
        .collect()
}

/// Every field of a document with its place: `backups[].rows`. What is documented as a map from
/// names is one field.
fn fields(
    value: &Value,
    place: &str,
    known: &BTreeMap<String, String>,
    found: &mut BTreeSet<String>,
) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                found.insert(place.clone());
                if !known.get(&place).is_some_and(|kind| kind.starts_with("map")) {
                    fields(member, &place, known, found);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{place}[]"), known, found);
            }
        }
        _ => {}
    }
}

/// Whether a value is of the documented type.
fn of_type(value: &Value, kind: &str) -> bool {
    kind.split(" or ").any(|kind| match kind {
        "text" | "moment" => value.is_string(),
        "number" => value.is_number(),
        "true" | "false" | "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        other => {
            (other.starts_with("list") && value.is_array())
                || (other.starts_with("map") && value.is_object())
        }
    })
}

fn check_types(value: &Value, known: &BTreeMap<String, String>, command: &str) {
    for (field, kind) in known {
        let mut values = vec![value];
        for part in field.split('.') {
            let name = part.trim_end_matches("[]");
            values = values.into_iter().filter_map(|value| value.get(name)).collect();
            if part.ends_with("[]") {
                values = values.into_iter().filter_map(Value::as_array).flatten().collect();
            }
        }
        for value in values {
            assert!(of_type(value, kind), "{command}: `{field}` is {value}, documented as {kind}");
        }
    }
}

/// Runs every command and gathers each one's documents.
struct Gathered {
    sandbox: Sandbox,
    documents: Vec<(&'static str, Value)>,
}

impl Gathered {
    fn run(&mut self, command: &'static str, arguments: &str, exit: i32) {
        let line = format!("strongroom {command} {arguments} --json");
        let ended = self.sandbox.quietly(&line).ended(exit);
        self.documents.push((command, ended.json()));
    }
}

impl Gathered {
    /// Custodians that join, are away, come back and leave.
    fn custody(&mut self) {
        self.run("custody add", "usb --folder usb --threshold 1", 0);
        let (here, away) = (self.sandbox.path("usb"), self.sandbox.path("usb-away"));
        fs::rename(&here, &away).unwrap();
        self.run("erase", "--source finance --subject 3 --reason case --yes", 12);
        self.run("custody list", "", 0);
        self.run("custody check", "", 8);
        self.run("custody add", "safe --folder safe", 12);
        self.run("custody remove", "safe", 12);
        self.run("custody reconcile", "", 0);
        fs::rename(&away, &here).unwrap();
        self.run("custody reconcile", "", 0);
        self.run("custody remove", "usb", 0);
    }
}

/// Holds a sequence until the backup waits for it with every table locked, and lets a change wait behind the
/// backup for a while.
fn somebody_who_waits(database: &TestDatabase) -> thread::JoinHandle<()> {
    sql(database, "CREATE SEQUENCE public.numbers");
    let settings = database.settings();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let connect = async || Session::connect(&settings).await.unwrap();
            let (holder, changer) = (connect().await, connect().await);
            let hold = "BEGIN; DROP SEQUENCE public.numbers";
            holder.batch("a lock", hold).await.unwrap();
            let waits = "
                SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE NOT l.granted AND d.datname = current_database())";
            let begun = Instant::now();
            while !holder.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
                assert!(begun.elapsed() < Duration::from_mins(1), "the backup does not wait");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let change = tokio::spawn(async move {
                let change = "ALTER TABLE public.notes ALTER body DROP DEFAULT";
                changer.batch("a change", change).await.unwrap();
            });
            tokio::time::sleep(Duration::from_millis(2500)).await;
            holder.batch("the end", "ROLLBACK").await.unwrap();
            change.await.unwrap();
        });
    })
}

#[test]
fn every_field_that_is_printed_is_documented() {
    let mut all = Gathered { sandbox: Sandbox::new(), documents: Vec::new() };
    all.run("init", "--store backups --recipient $RECIPIENT --identity identity.txt", 0);
    let database = finance();
    sql(&database, "CREATE UNLOGGED TABLE public.scratch (id bigint PRIMARY KEY)");
    all.sandbox.set("FINANCE_URL", &database.url);
    all.run("source add", "finance --url env:FINANCE_URL", 0);
    all.run("source list", "", 0);
    all.run("source set-url", "finance --url env:FINANCE_URL", 0);
    all.run("source test", "finance", 0);
    all.run("source rename", "finance other", 0);
    all.run("source rename", "other finance", 0);
    all.run("source add", "gone --url env:NO_SUCH", 0);
    all.run("source remove", "gone", 0);
    all.run("map", "finance --root public.users", 4);
    all.run("map", &format!("finance {DECIDED} --shared scratch --write"), 0);
    sql(&database, "CREATE TABLE public.letters (id bigint PRIMARY KEY, address text)");
    all.run("map", "finance --check", 4);
    sql(&database, "DROP TABLE public.letters");
    let waiter = somebody_who_waits(&database);
    all.run("backup", "finance --note first", 0);
    waiter.join().unwrap();
    all.run("list", "", 0);
    all.run("show", "finance:latest", 0);
    all.run("verify", "latest --source finance", 0);
    all.run("verify", "latest --each-source --read-data-subset 1/2", 0);
    let export = "--source finance --subject 2 --recipient $RECIPIENT --output export.age";
    all.run("export", export, 0);
    fs::write(all.sandbox.path("people.txt"), "2\n99999\n").unwrap();
    let listed =
        "--source finance --subjects-from people.txt --skip-unknown --reason case --dry-run";
    all.run("erase", listed, 0);
    all.run("erase", "--source finance --subject 2 --reason case --yes", 0);
    let copy = existing(&format!("{}_copy", database.name));
    all.sandbox.set("COPY_URL", &copy.url);
    all.run("restore", "finance:latest --to env:COPY_URL --create", 0);
    all.run("restore", "finance:latest --to env:COPY_URL --into-non-empty --schema-only", 14);
    all.run("verify", "--all", 0);
    all.run("backup", "finance", 0);
    all.run("subject met", "--backup finance:latest --subject 2", 0);
    all.run("erasure list", "", 0);
    all.run("erasure show", "1", 0);
    all.run("erasure forget-tombstones", "--yes", 0);
    all.custody();
    all.run("subject readmit", "--source finance --subject 2", 0);
    all.run("keys rotate", "", 0);
    all.run("keys rotate-master", "--recipient $RECIPIENT", 0);
    all.run("doctor", "", 0);
    sql(&database, "INSERT INTO public.notes VALUES (99, NULL, 'of nobody')");
    all.run("backup", "finance", 0);
    let oldest = all.documents.iter().find(|(command, _)| *command == "backup");
    let oldest = oldest.unwrap().1["backup"].as_str().unwrap().to_owned();
    all.run("expire", &format!("{oldest} --dry-run"), 0);
    all.run("expire", &format!("{oldest} --yes"), 0);
    all.run("store list", "", 0);
    all.run("store check", "", 0);
    all.run("store copy", "finance:latest --to main", 0);
    all.run("store reconcile", "", 0);
    for pack in all.sandbox.objects("packs") {
        let mut bytes = fs::read(&pack).unwrap();
        bytes[50..].fill(0);
        fs::write(&pack, &bytes).unwrap();
    }
    all.run("verify", "finance:latest", 3);
    let left = all.sandbox.path("backups/backups/20260101T000000Z-abcdef");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("index"), "left by a crash").unwrap();
    all.run("prune", "--dry-run", 0);
    all.run("prune", "", 0);
    all.run("kit print", "--output kit.txt", 0);
    let elsewhere = "--kit kit.txt --recipient $RECIPIENT --custodian custodian --config else.toml";
    // The parts beside the configuration must not be there: another folder.
    fs::create_dir(all.sandbox.path("elsewhere")).unwrap();
    let elsewhere = elsewhere.replace("else.toml", "elsewhere/strongroom.toml");
    all.run("recover", &format!("--store backups {elsewhere}"), 0);
    all.run("audit list", "", 0);
    all.run("audit verify", "", 0);
    all.run("completions", "bash", 0);
    all.run("man", "pages", 0);

    let documented = documented();
    let mut printed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (command, document) in &all.documents {
        let known = documented.get(*command).unwrap_or_else(|| panic!("no section {command}"));
        fields(document, "", known, printed.entry(command).or_default());
        check_types(document, known, command);
    }
    for (command, found) in &printed {
        let known: BTreeSet<_> = documented[*command].keys().cloned().collect();
        let missing: Vec<_> = found.difference(&known).collect();
        let stale: Vec<_> = known.difference(found).collect();
        assert!(missing.is_empty(), "{command}: docs/json-output.md lacks {missing:?}");
        assert!(stale.is_empty(), "{command}: docs/json-output.md has {stale:?}, never printed");
        for field in found {
            let name = field.rsplit('.').next().unwrap();
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(plain, "{command}: `{field}` is not snake_case");
        }
    }
    let sections: BTreeSet<_> = documented.keys().map(String::as_str).collect();
    let commands: BTreeSet<_> = printed.keys().copied().chain(["demo"]).collect();
    assert_eq!(sections, commands);
}

#[test]
fn a_failure_is_one_document_too() {
    let sandbox = Sandbox::with_vault();
    for (line, exit, code) in [
        ("strongroom show latest --json", 5, "not-found"),
        ("strongroom backup finance --json", 5, "not-found"),
        ("strongroom bakup --json", 2, "usage"),
        ("strongroom list --config nowhere.toml --json", 2, "usage"),
        ("strongroom restore latest --to nonsense://x --json", 2, "usage"),
        ("strongroom kit print --json", 2, "usage"),
        ("strongroom verify --all --identity nowhere --json", 9, "identity"),
    ] {
        let ended = sandbox.quietly(line).ended(exit);
        assert_eq!(ended.stderr, "", "{line}");
        let error = ended.json()["error"].clone();
        assert_eq!(
            (error["code"].as_str(), error["exit"].as_i64()),
            (Some(code), Some(exit.into()))
        );
        assert!(error["message"].is_string() && error["hint"].is_string(), "{line}: {error}");
    }
    // Nothing went wrong: no `error`.
    let document = sandbox.quietly("strongroom list --json").done().json();
    assert_eq!(document, serde_json::json!({ "backups": [] }));
}
