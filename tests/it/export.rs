//! One person's rows out of a backup: exactly what the database says is hers, for nobody but the
//! receiver, and never of someone who is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr as _;

use crate::support::tools::program;
use crate::support::{self, TestDatabase};
use crate::vault::World;
use serde_json::Value;
use strongroom::postgres::Session;

/// What decides everything that the fixture's foreign keys leave open, but for shared tables.
const MAP_FLAGS: &[&str] = &[
    "--root",
    "app.users",
    "--root",
    "hr.employees",
    "--large-objects",
    "app.receipts.scan",
    "--large-objects",
    "shared",
    "--shared-anyway",
    "app.edges",
    "--owner",
    "app.referrals=user_id",
    "--owner",
    "app.legacy_links=user_id",
];

const HER_KEY: &str = "00000000-0000-4000-8000-000000000003";

/// Which rows are person 3's, written down by hand.
const HERS: [(&str, &str); 19] = [
    ("app.users", "id = app.person(3)"),
    ("app.accounts", "user_id = app.person(3)"),
    ("app.transactions", "user_id = app.person(3)"),
    ("app.events", "user_id = app.person(3)"),
    (
        "app.receipts",
        "(transaction_id, booked, region) IN (SELECT id, booked, region FROM app.transactions
          WHERE user_id = app.person(3))",
    ),
    ("app.ingestion_batches", "user_id = app.person(3)"),
    (
        "app.ingestion_items",
        "batch_id IN (SELECT id FROM app.ingestion_batches WHERE user_id = app.person(3))",
    ),
    (
        "app.ingestion_errors",
        "item_id IN (SELECT i.id FROM app.ingestion_items i JOIN app.ingestion_batches b
          ON b.id = i.batch_id WHERE b.user_id = app.person(3))",
    ),
    ("app.rules", "user_id = app.person(3)"),
    ("app.referrals", "user_id = app.person(3)"),
    ("app.legacy_links", "user_id = app.person(3)"),
    ("ONLY app.documents", "user_id = app.person(3)"),
    ("app.contracts", "user_id = app.person(3)"),
    ("app.empty", "user_id = app.person(3)"),
    ("app.no_key", "user_id = app.person(3)"),
    ("app.cache", "user_id = app.person(3)"),
    ("app.aliases", "user_id = app.person(3)"),
    (
        "app.alias_uses",
        "lower(alias::text) IN (SELECT lower(alias::text) FROM app.aliases
          WHERE user_id = app.person(3))",
    ),
    ("\"Büro & Co\".\"Straße \"\"Q\"\" 表\"", "\"user\" = app.person(3)"),
];

/// And which are employee (1, 3)'s.
const THEIRS: [(&str, &str); 4] = [
    ("hr.employees", "(company, number) = (1, 3)"),
    ("hr.payslips", "(company, number) = (1, 3)"),
    ("hr.badges", "(company, number) = (1, 3)"),
    (
        "hr.payslip_lines",
        "payslip_id IN (SELECT id FROM hr.payslips WHERE (company, number) = (1, 3))",
    ),
];

/// Values that are hard to write: quotes, commas, line ends, an empty text, one that looks like NULL.
const HARD_VALUES: &str = "
    INSERT INTO app.no_key VALUES (app.person(3), 'a \"b\", c'), (app.person(3), E'd\\r\\ne\\tf\\\\'),
        (app.person(3), ''), (app.person(3), NULL), (app.person(3), '\\N'), (app.person(3), ' ä€𝄞 ');";

async fn everything() -> (TestDatabase, World) {
    let database = support::everything().await;
    database.session().await.batch("hard values", HARD_VALUES).await.unwrap();
    let world = World::with_source(&database);
    world.map(MAP_FLAGS);
    (database, world)
}

/// The receivers' files: what a person outside of the vault has.
fn receiver(world: &World, name: &str) -> String {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    fs::write(world.path().join(name), identity.to_string().expose_secret()).unwrap();
    identity.to_public().to_string()
}

fn arguments<'a>(class: &'a str, key: &'a str, recipient: &'a str, file: &'a str) -> Vec<&'a str> {
    let all = ["export", "--source", "main", "--class", class, "--subject", key];
    [&all[..], &["--recipient", recipient, "--output", file]].concat()
}

/// Opens an export: the names of its files in its folder and what they hold.
fn opened(world: &World, identity: &str, file: &str) -> BTreeMap<String, Vec<u8>> {
    let (_, files) = unpacked(world, identity, file);
    files
}

/// Opens an export: its only folder, and the files in it.
fn unpacked(world: &World, identity: &str, file: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let identity = fs::read_to_string(world.path().join(identity)).unwrap();
    let identity = age::x25519::Identity::from_str(&identity).unwrap();
    let sealed = fs::read(world.path().join(file)).unwrap();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    let mut archive = tar::Archive::new(decryptor.decrypt([&identity as _].into_iter()).unwrap());
    let (mut folders, mut files) = (BTreeSet::new(), BTreeMap::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let (folder, name) = name.split_once('/').expect("everything is in a folder");
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        folders.insert(folder.to_owned());
        assert!(files.insert(name.to_owned(), contents).is_none());
    }
    assert_eq!(folders.len(), 1, "one folder holds everything: {folders:?}");
    (folders.into_iter().next().unwrap(), files)
}

/// A record of a CSV file: an empty field without quotes is NULL.
type Record = Vec<Option<String>>;

/// Reads CSV by RFC 4180; the records are in the order of their values, the header is first.
fn records(csv: &[u8], line_end: &str) -> Vec<Record> {
    let text = std::str::from_utf8(csv).unwrap();
    let (mut all, mut record, mut rest) = (Vec::new(), Record::new(), text);
    while !rest.is_empty() {
        let (value, after) = if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            loop {
                let (part, after) = quoted.split_once('"').unwrap();
                value.push_str(part);
                let Some(more) = after.strip_prefix('"') else { break (Some(value), after) };
                value.push('"');
                quoted = more;
            }
        } else {
            let end = rest.find(|one| one == ',' || line_end.starts_with(one)).unwrap();
            let value = &rest[..end];
            assert!(!value.contains('"'), "{value}");
            ((!value.is_empty()).then(|| value.to_owned()), &rest[end..])
        };
        record.push(value);
        rest = if let Some(after) = after.strip_prefix(',') {
            after
        } else {
            all.push(std::mem::take(&mut record));
            after.strip_prefix(line_end).unwrap()
        };
    }
    all[1..].sort();
    all
}

/// The server's own CSV of some rows.
async fn from_server(
    session: &Session,
    table: &str,
    condition: &str,
    columns: &str,
) -> Vec<Record> {
    let statement = format!(
        "COPY (SELECT {columns} FROM {table} WHERE {condition}) TO STDOUT (FORMAT csv, HEADER)"
    );
    let mut rows = session.copy_out(&statement).await.unwrap();
    let mut csv = Vec::new();
    while let Some(chunk) = rows.next_chunk().await {
        csv.extend_from_slice(&chunk.unwrap());
    }
    records(&csv, "\n")
}

/// Requires that an export has exactly these rows, as the server prints them.
async fn assert_holds(
    database: &TestDatabase,
    files: &BTreeMap<String, Vec<u8>>,
    hers: &[(&str, &str)],
) {
    let session = database.session().await;
    let index: Value = serde_json::from_slice(&files["export.json"]).unwrap();
    let exported = index["tables"].as_array().unwrap();
    let mut names = vec!["README.txt".to_owned(), "export.json".to_owned()];
    let mut rows = 0;
    for (table, condition) in hers {
        let name = table.trim_start_matches("ONLY ");
        let exists = session.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&name]).await;
        if !exists.unwrap().get::<_, bool>(0) {
            continue;
        }
        let Some(one) = exported.iter().find(|one| one["table"] == name) else {
            let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
            let count: i64 = session.query_one(&count, &[]).await.unwrap().get(0);
            assert_eq!(count, 0, "{table} is missing");
            continue;
        };
        let column = |column: &Value| format!("\"{}\"", column["name"].as_str().unwrap());
        let columns: Vec<_> = one["columns"].as_array().unwrap().iter().map(column).collect();
        let expected = from_server(&session, table, condition, &columns.join(", ")).await;
        let file = one["file"].as_str().unwrap();
        assert_eq!(records(&files[file], "\r\n"), expected, "{table}");
        assert_eq!(one["rows"].as_u64().unwrap() + 1, expected.len() as u64, "{table}");
        rows += expected.len() - 1;
        names.push(file.to_owned());
    }
    assert_eq!(exported.len() + 2, names.len(), "another table is in it");
    assert_eq!(index["rows"].as_u64().unwrap(), rows as u64);
    for one in index["large_objects"].as_array().unwrap() {
        names.push(one["file"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(files.keys().cloned().collect::<Vec<_>>(), names);
}

fn entries(world: &World) -> Vec<(String, String, String)> {
    let document = world.ok(&["audit", "list", "--action", "export"]);
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let all = document["entries"].as_array().unwrap().iter();
    all.map(|one| (text(one, "outcome"), text(one, "object"), text(one, "detail"))).collect()
}

/// The same as a zip archive, in a folder that is named by the case.
fn as_zip(world: &World, recipient: &str, hers: &str, files: &BTreeMap<String, Vec<u8>>) {
    let line = arguments("users", HER_KEY, recipient, "hers.zip.age");
    let report = world.ok(&[&line[..], &["--zip", "--case", "2026/118"]].concat());
    let (_, _, detail) = entries(world).pop().unwrap();
    assert!(detail.contains(" case=2026/118 "), "{detail}");
    let identity = fs::read_to_string(world.path().join("hers.key")).unwrap();
    let identity = age::x25519::Identity::from_str(&identity).unwrap();
    let sealed = fs::read(world.path().join("hers.zip.age")).unwrap();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    let mut plain = Vec::new();
    let mut opened = decryptor.decrypt([&identity as _].into_iter()).unwrap();
    opened.read_to_end(&mut plain).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(plain)).unwrap();
    assert_eq!(archive.len(), files.len());
    let folder = report["folder"].as_str().unwrap();
    assert!(folder.starts_with(&format!("2026-118-{hers}-2")), "{folder}");
    for (name, expected) in files {
        let mut contents = Vec::new();
        let mut file = archive.by_name(&format!("{folder}/{name}")).unwrap();
        file.read_to_end(&mut contents).unwrap();
        let says_the_case = ["README.txt", "export.json"].contains(&name.as_str());
        assert!(contents == *expected || says_the_case, "{name}");
    }
}

#[tokio::test]
async fn her_rows_are_what_the_database_says_and_nobody_elses_are_there() {
    let (database, world) = everything().await;
    world.ok(&["backup", "main"]);
    let recipient = receiver(&world, "hers.key");
    let report = world.ok(&arguments("users", HER_KEY, &recipient, "hers.age"));
    let (folder, files) = unpacked(&world, "hers.key", "hers.age");
    assert_eq!(report["folder"].as_str().unwrap(), folder);
    assert_holds(&database, &files, &HERS).await;
    assert!(report["tables"].as_array().unwrap().len() >= 12, "{report:#}");

    // Her large objects are those that her receipts name.
    let statement = "
        SELECT DISTINCT r.scan::oid, lo_get(r.scan::oid) FROM app.receipts r JOIN app.transactions t
            ON (r.transaction_id, r.booked, r.region) = (t.id, t.booked, t.region)
        WHERE t.user_id = app.person(3) AND r.scan IS NOT NULL ORDER BY 1";
    let objects = database.session().await.query(statement, &[]).await.unwrap();
    assert!(!objects.is_empty());
    assert_eq!(report["large_objects"].as_array().unwrap().len(), objects.len());
    for row in &objects {
        let (oid, bytes): (u32, Vec<u8>) = (row.get(0), row.get(1));
        assert_eq!(files[&format!("large-objects/{oid}")], bytes);
    }
    // What describes the rows names nobody else.
    for file in ["README.txt", "export.json"] {
        let text = std::str::from_utf8(&files[file]).unwrap();
        let named = text.match_indices("-4000-8000-").count();
        assert_eq!(named, usize::from(file == "export.json"), "{text}");
    }

    let hers = report["subject_reference"].as_str().unwrap().to_owned();
    as_zip(&world, &recipient, &hers, &files);

    let report = world.ok(&arguments("employees", "1,3", &recipient, "theirs.age"));
    let (other, theirs) = unpacked(&world, "hers.key", "theirs.age");
    assert_holds(&database, &theirs, &THEIRS).await;
    // Unpacked in one place, two people's rows stay apart.
    assert_ne!(folder, other);
    assert!(
        folder.contains(&hers) && other.contains(report["subject_reference"].as_str().unwrap())
    );
    let log = entries(&world);
    let (outcome, object, detail) = log.last().unwrap();
    assert_eq!(
        (outcome.as_str(), object.as_str()),
        ("done", report["subject_reference"].as_str().unwrap())
    );
    assert!(detail.contains(&format!(" to={recipient} ")), "{detail}");
    assert!(detail.contains(&format!(" rows={} ", report["rows"])), "{detail}");

    // With the tools that everybody has.
    let mut age = Command::new(program("age"))
        .args(["--decrypt", "--identity", "hers.key", "hers.age"])
        .current_dir(world.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::create_dir(world.path().join("out")).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-x", "-C", "out"]).current_dir(world.path()).stdin(age.stdout.take().unwrap());
    let unpacked = tar.status().unwrap();
    assert!(age.wait().unwrap().success() && unpacked.success());
    let index = world.path().join("out").join(folder).join("export.json");
    assert_eq!(fs::read(index).unwrap(), files["export.json"]);
}

/// Nothing of an export that failed is there, under whatever name.
fn assert_nothing(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let is_age = |name: &str| Path::new(name).extension().is_some_and(|end| end == "age");
    let is_left = |name: &&String| is_age(name) && *name != "master.age";
    assert_eq!(names.iter().find(is_left), None);
    assert!(!names.iter().any(|name| name.starts_with(".strongroom-tmp-")), "{names:?}");
}

#[tokio::test]
async fn who_is_not_there_is_told_in_one_sentence_and_nothing_is_written() {
    let (database, world) = everything().await;
    let first = world.ok(&["backup", "main"])["backup"].as_str().unwrap().to_owned();
    let newcomer = "
        INSERT INTO app.users (id, email, full_name)
            SELECT app.person(777), 'newcomer@example.org', 'Newcomer'";
    database.session().await.batch("somebody new", newcomer).await.unwrap();
    world.ok(&["backup", "main"]);
    let recipient = receiver(&world, "hers.key");
    let export = |key: &str, more: &[&str]| {
        let mut all = arguments("users", key, &recipient, "x.age");
        all.extend(more);
        world.run(&all)
    };

    let newcomer = "00000000-0000-4000-8000-000000000777";
    let ran = export(newcomer, &[&first]);
    assert_eq!((ran.code, ran.error_code().as_str()), (Some(5), "not-found"), "{}", ran.all());
    assert!(ran.error_message().contains("holds no rows of the subject"), "{}", ran.all());
    let ran = export("00000000-0000-4000-8000-00000000dead", &[]);
    assert_eq!(ran.code, Some(5), "{}", ran.all());
    assert!(ran.error_message().contains("holds nothing of the subject"), "{}", ran.all());
    let ran = export("no uuid at all", &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.all());
    let ran = world.run(&arguments("users", newcomer, "age1nobody", "x.age"));
    assert_eq!(ran.code, Some(2), "{}", ran.all());

    world.erase(Some("users"), HER_KEY);
    let ran = export(HER_KEY, &[&first]);
    assert_eq!((ran.code, ran.error_code().as_str()), (Some(5), "not-found"), "{}", ran.all());
    assert!(ran.error_message().contains("was erased on"), "{}", ran.all());
    world.ok(&["subject", "readmit", "--source", "main", "--class", "users", "--subject", HER_KEY]);
    let ran = export(HER_KEY, &[&first]);
    assert_eq!(ran.code, Some(5), "{}", ran.all());
    assert!(ran.error_message().contains("she was erased after it"), "{}", ran.all());
    assert_nothing(world.path());
    assert!(entries(&world).iter().any(|(outcome, ..)| outcome == "refused"));

    // Once she is in a backup again, there is something to hand out.
    world.ok(&["backup", "main"]);
    world.ok(&arguments("users", HER_KEY, &recipient, "x.age"));
    assert_holds(&database, &opened(&world, "hers.key", "x.age"), &HERS).await;
}

#[tokio::test]
async fn nothing_is_overwritten_and_what_breaks_off_leaves_nothing_to_read() {
    let (_database, world) = everything().await;
    world.ok(&["backup", "main"]);
    let recipient = receiver(&world, "hers.key");
    let all = arguments("users", HER_KEY, &recipient, "x.age");

    fs::write(world.path().join("x.age"), "before").unwrap();
    let ran = world.ends(4, &all);
    assert!(ran.error_message().contains("already exists"), "{}", ran.all());
    assert_eq!(fs::read(world.path().join("x.age")).unwrap(), b"before");
    fs::remove_file(world.path().join("x.age")).unwrap();

    let mut failing = world.command(&all);
    failing.env("STRONGROOM_FAIL_AT", "file-create:before#1");
    assert_eq!(failing.output().unwrap().status.code(), Some(8));
    assert_nothing(world.path());

    let mut killed = world.command(&all);
    killed.env("STRONGROOM_CRASH_AT", "file-create:before#1");
    assert_eq!(killed.output().unwrap().status.code(), None);
    assert!(!world.path().join("x.age").exists());
    let left = fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".strongroom-tmp-"))
        .collect();
    let bytes = fs::read(&left[0]).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    assert!(!bytes.windows(9).any(|part| part == b"README.tx" || part == b"@example."));
    fs::remove_file(&left[0]).unwrap();

    // One flipped bit in each pack.
    for pack in files_below(&world.path().join("store/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        for byte in bytes.iter_mut().skip(40).step_by(20) {
            *byte ^= 1;
        }
        fs::write(pack, bytes).unwrap();
    }
    let ran = world.ends(3, &all);
    assert_eq!(ran.error_code(), "integrity", "{}", ran.all());
    assert_nothing(world.path());
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
