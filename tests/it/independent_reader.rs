//! Backups are read without the program: by the reader in Python that was written from the document
//! of the format alone, with the stock `age`, and by the README's instructions word by word.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{self, PASSWORD, TestDatabase, cluster, python};
use crate::vault::reader::{self, Reading, said};
use crate::vault::{self, World, picture};
use strongroom::base::schema::quote_identifier;
use strongroom::container::columns::Fields;
use strongroom::postgres::tools::Tools;
use strongroom::postgres::{PostgresError, Session};

/// What decides everything that the fixture's foreign keys leave open.
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

/// Person 3, whom the tests erase.
const HER: &str = "00000000-0000-4000-8000-000000000003";

/// Takes away what is hers by the map, written down by hand; references to it are left as they are.
const WITHOUT_HER: &str = "
    SET session_replication_role = replica;
    CREATE TEMP TABLE hers AS SELECT r.ctid AS place, r.scan FROM app.receipts r JOIN app.transactions t
        ON (r.transaction_id, r.booked, r.region) = (t.id, t.booked, t.region)
        WHERE t.user_id = app.person(3);
    SELECT lo_unlink(scan) FROM hers WHERE scan IS NOT NULL;
    DELETE FROM app.receipts WHERE ctid IN (SELECT place FROM hers);
    DELETE FROM app.ingestion_errors WHERE item_id IN (SELECT i.id FROM app.ingestion_items i
        JOIN app.ingestion_batches b ON b.id = i.batch_id WHERE b.user_id = app.person(3));
    DELETE FROM app.ingestion_items WHERE batch_id IN
        (SELECT id FROM app.ingestion_batches WHERE user_id = app.person(3));
    DELETE FROM app.ingestion_batches WHERE user_id = app.person(3);
    DELETE FROM app.transactions WHERE user_id = app.person(3);
    DELETE FROM app.accounts WHERE user_id = app.person(3);
    DELETE FROM app.events WHERE user_id = app.person(3);
    DELETE FROM app.rules WHERE user_id = app.person(3);
    DELETE FROM app.referrals WHERE user_id = app.person(3);
    DELETE FROM app.legacy_links WHERE user_id = app.person(3);
    DELETE FROM app.documents WHERE user_id = app.person(3);
    DELETE FROM app.no_key WHERE user_id = app.person(3);
    DELETE FROM app.cache WHERE user_id = app.person(3);
    DELETE FROM \"Büro & Co\".\"Straße \"\"Q\"\" 表\" WHERE \"user\" = app.person(3);
    DELETE FROM app.users WHERE id = app.person(3);
    DO $$ BEGIN
        IF to_regclass('app.multiranges') IS NOT NULL THEN
            DELETE FROM app.multiranges WHERE user_id = app.person(3);
        END IF;
        IF to_regclass('app.aliases') IS NOT NULL THEN
            DELETE FROM app.alias_uses WHERE lower(alias::text) IN
                (SELECT lower(alias::text) FROM app.aliases WHERE user_id = app.person(3));
            DELETE FROM app.aliases WHERE user_id = app.person(3);
        END IF;
    END $$;";

/// What a database or a backup holds, in no order.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// By the name of the reader's file.
    tables: BTreeMap<String, Rows>,
    large_objects: BTreeMap<u32, Vec<u8>>,
}

/// Rows in no order, in the forms that are at hand: PostgreSQL gives both, the reader one of them.
#[derive(Debug, PartialEq, Eq)]
struct Rows {
    /// Sorted lines of COPY's text format.
    lines: Option<Vec<String>>,
    /// Sorted tuples of its binary format, in hexadecimal.
    tuples: Option<Vec<String>>,
}

impl Rows {
    /// What a file for COPY holds.
    fn of_file(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"PGCOPY\n") {
            Self { lines: None, tuples: Some(sorted_tuples(bytes)) }
        } else {
            Self { lines: Some(sorted_lines(bytes)), tuples: None }
        }
    }

    fn assert_is(&self, expected: &Self, table: &str) {
        if self.lines.is_some() && expected.lines.is_some() {
            assert_eq!(self.lines, expected.lines, "{table}");
        } else {
            assert!(self.tuples.is_some(), "{table}");
            assert_eq!(self.tuples, expected.tuples, "{table}");
        }
    }

    fn count(&self) -> usize {
        self.lines.as_ref().or(self.tuples.as_ref()).map_or(0, Vec::len)
    }
}

impl Contents {
    /// What PostgreSQL's own COPY gives.
    async fn of(database: &TestDatabase) -> Self {
        let session = database.session().await;
        let mut tables = BTreeMap::new();
        let statement = "
            SELECT n.nspname, c.relname, c.relkind = 'r',
                ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0
                      AND NOT attisdropped AND attgenerated = '' ORDER BY attnum)
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
        for row in session.query(statement, &[]).await.unwrap() {
            let (schema, name): (String, String) = (row.get(0), row.get(1));
            let columns: Vec<String> = row.get(3);
            let columns: Vec<_> = columns.iter().map(|column| quote_identifier(column)).collect();
            let only = if row.get(2) { "ONLY " } else { "" };
            let table = format!("{}.{}", quote_identifier(&schema), quote_identifier(&name));
            let statement =
                format!("COPY (SELECT {} FROM {only}{table}) TO STDOUT", columns.join(", "));
            let file = strongroom::base::schema::QualifiedName::new(schema, name).to_string();
            let lines = copied(&session, &statement).await.unwrap();
            // Some types have no binary form.
            let tuples = copied(&session, &format!("{statement} (FORMAT binary)")).await.ok();
            let (lines, tuples) =
                (Some(sorted_lines(&lines)), tuples.map(|all| sorted_tuples(&all)));
            tables.insert(file, Rows { lines, tuples });
        }
        let statement = "SELECT oid, lo_get(oid) FROM pg_largeobject_metadata";
        let rows = session.query(statement, &[]).await.unwrap();
        let large_objects = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Self { tables, large_objects }
    }

    /// What the reader wrote into this folder.
    fn read(folder: &Path) -> Self {
        let mut tables = BTreeMap::new();
        let mut large_objects = BTreeMap::new();
        for file in vault::files_below(folder) {
            let name = file.file_name().unwrap().to_str().unwrap();
            if let Some(table) = name.strip_suffix(".copy") {
                tables.insert(table.to_owned(), Rows::of_file(&fs::read(&file).unwrap()));
            } else if let Ok(oid) = name.parse() {
                large_objects.insert(oid, fs::read(&file).unwrap());
            }
        }
        Self { tables, large_objects }
    }

    /// Fails, naming what differs, unless both hold the same.
    fn assert_is(&self, expected: &Self) {
        let names = |contents: &Self| contents.tables.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(expected));
        for (name, rows) in &self.tables {
            rows.assert_is(&expected.tables[name], name);
        }
        // Their bytes would fill the screen.
        assert!(self.large_objects.keys().eq(expected.large_objects.keys()));
        for (oid, bytes) in &self.large_objects {
            assert!(bytes == &expected.large_objects[oid], "large object {oid}");
        }
    }

    fn rows(&self) -> usize {
        self.tables.values().map(Rows::count).sum()
    }
}

async fn copied(session: &Session, statement: &str) -> Result<Vec<u8>, PostgresError> {
    let mut copy = session.copy_out(statement).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = copy.next_chunk().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

fn sorted_tuples(file: &[u8]) -> Vec<String> {
    let mut rest = file.strip_prefix(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0").unwrap();
    let mut tuples = Vec::new();
    while rest != [0xff, 0xff] {
        let (count, mut fields) = Fields::of(rest).unwrap();
        for _ in 0..count {
            fields.take().unwrap();
        }
        let (tuple, after) = rest.split_at(rest.len() - fields.rest().len());
        tuples.push(hex::encode(tuple));
        rest = after;
    }
    tuples.sort();
    tuples
}

fn sorted_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> =
        std::str::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A vault with a backup of the fixture, read without the program from now on.
struct Scene {
    database: TestDatabase,
    world: World,
}

impl Scene {
    async fn begin() -> Self {
        python::interpreter();
        let database = support::everything().await;
        let refresh =
            "REFRESH MATERIALIZED VIEW app.z_totals; REFRESH MATERIALIZED VIEW app.a_report";
        database.session().await.batch("views", refresh).await.unwrap();
        let world = World::with_source(&database);
        world.map(MAP_FLAGS);
        world.ok(&["backup", "main"]);
        world.ok(&["kit", "print", "--output", "kit.txt"]);
        Self { database, world }
    }

    /// The one epoch secret that is left.
    fn epoch_secret(&self) -> PathBuf {
        let mut secrets = self.world.epoch_secrets();
        assert_eq!(secrets.len(), 1, "{secrets:?}");
        secrets.remove(0)
    }

    /// Runs the reader on the newest backup, with this catalog (without one, it reads the replica in
    /// the store) and epoch secret.
    fn read(&self, catalog: Option<&Path>, epoch_secret: &Path, to: &str) -> (Output, PathBuf) {
        let shares = [epoch_secret.to_owned()];
        reader::read(&self.world, &Reading { catalog, shares: &shares, backup: "latest" }, to)
    }

    /// Reads with the present catalog and epoch secret, which must succeed.
    fn contents(&self, to: &str) -> (Contents, Vec<String>) {
        let catalog = self.world.path().join("catalog.sqlite");
        let (output, out) = self.read(Some(&catalog), &self.epoch_secret(), to);
        assert!(output.status.success(), "{}", said(&output));
        let forgotten = fs::read(out.join("forgotten.txt")).unwrap();
        (Contents::read(&out), sorted_lines(&forgotten))
    }
}

#[test]
fn the_reader_meets_every_vector_of_the_format() {
    let mut command = Command::new(python::interpreter());
    let output = command.arg(reader::folder().join("check_vectors.py")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // Two ask for a passphrase, which `age` takes from a terminal only.
    assert!(said(&output).contains(" 0 wrong, 2 skipped"), "{}", said(&output));
}

#[tokio::test]
async fn the_reader_gives_what_postgresql_gives_and_nothing_of_the_forgotten() {
    let scene = Scene::begin().await;
    let source = Contents::of(&scene.database).await;
    let (before, forgotten) = scene.contents("before");
    before.assert_is(&source);
    assert!(forgotten.is_empty(), "{forgotten:?}");

    let old = scene.world.copy();
    let report = scene.world.erase(Some("users"), HER);
    assert_eq!(report["state"], "confirmed", "{report:#}");
    let twin = vault::twin(&scene.database).await;
    twin.session().await.batch("without her", WITHOUT_HER).await.unwrap();
    let expected = Contents::of(&twin).await;
    assert!(expected.rows() < source.rows());
    assert!(expected.large_objects.len() < source.large_objects.len());
    let (after, forgotten) = scene.contents("after");
    after.assert_is(&expected);
    assert_eq!(forgotten.len(), 1, "{forgotten:?}");

    // The catalog from before still has her key, under a root that is gone.
    let catalog = old.path().join("catalog.sqlite");
    let secret = scene.epoch_secret();
    let (output, out) = scene.read(Some(&catalog), &secret, "mixed");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("is of epoch 2, the catalog at epoch 1"), "{}", said(&output));
    assert!(!out.exists());
    // Nor does it help to say that the new secret is the old one.
    let text = fs::read_to_string(&secret).unwrap();
    let pretended = scene.world.path().join("pretended.secret");
    fs::write(&pretended, text.replace("\nepoch 2\n", "\nepoch 1\n")).unwrap();
    let (output, out) = scene.read(Some(&catalog), &pretended, "pretended");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("does not authenticate"), "{}", said(&output));
    assert!(!out.exists());
    // It was the secret that was missing.
    let (output, out) = scene.read(Some(&catalog), &old.epoch_secrets()[0], "with-the-old-secret");
    assert!(output.status.success(), "{}", said(&output));
    Contents::read(&out).assert_is(&source);
}

#[tokio::test]
async fn the_reader_needs_no_catalog_where_its_replica_is_in_the_store() {
    let scene = Scene::begin().await;
    let source = Contents::of(&scene.database).await;
    // The machine is gone: what is left is the store, the kit and the custodian.
    let catalog = scene.world.path().join("catalog.sqlite");
    let away = scene.world.path().join("away.sqlite");
    fs::rename(&catalog, &away).unwrap();
    let (output, out) = scene.read(None, &scene.epoch_secret(), "from-replica");
    assert!(output.status.success(), "{}", said(&output));
    Contents::read(&out).assert_is(&source);
    fs::rename(&away, &catalog).unwrap();

    let old = scene.world.copy();
    scene.world.erase(Some("users"), HER);
    let (from_catalog, forgotten) = scene.contents("from-catalog");
    let (output, out) = scene.read(None, &scene.epoch_secret(), "from-replica-after");
    assert!(output.status.success(), "{}", said(&output));
    Contents::read(&out).assert_is(&from_catalog);
    assert_eq!(sorted_lines(&fs::read(out.join("forgotten.txt")).unwrap()), forgotten);
    assert_eq!(forgotten.len(), 1, "{forgotten:?}");

    // The replica from before the erasure, whole: the new secret opens nothing of it, whatever it
    // says of itself, and the old secret is gone.
    scene.world.put_back("store", &old);
    let secret = scene.epoch_secret();
    let (output, out) = scene.read(None, &secret, "old");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("is of epoch 2, the catalog at epoch 1"), "{}", said(&output));
    let text = fs::read_to_string(&secret).unwrap();
    let pretended = scene.world.path().join("pretended.secret");
    fs::write(&pretended, text.replace("\nepoch 2\n", "\nepoch 1\n")).unwrap();
    let (output, other) = scene.read(None, &pretended, "pretended");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("does not authenticate"), "{}", said(&output));
    assert!(!out.exists() && !other.exists());
}

#[tokio::test]
async fn the_reader_follows_rotations_readmissions_and_custodians() {
    let scene = Scene::begin().await;
    let source = Contents::of(&scene.database).await;
    let first = scene.world.backups().remove(0);
    scene.world.ok(&["keys", "rotate"]);
    scene.world.erase(Some("users"), HER);
    let (without_her, _) = scene.contents("without-her");
    let readmit = ["subject", "readmit", "--source", "main", "--class", "users", "--subject", HER];
    scene.world.ok(&readmit);
    scene.world.ok(&["backup", "main"]);
    scene.world.share_among(3, 2);

    let catalog = scene.world.path().join("catalog.sqlite");
    let secrets = scene.world.epoch_secrets();
    for (number, shares) in [&secrets[..2], &secrets[1..], &secrets[..]].into_iter().enumerate() {
        for (from, catalog) in [("catalog", Some(&*catalog)), ("replica", None)] {
            let reading = Reading { catalog, shares, backup: "latest" };
            let (output, out) =
                reader::read(&scene.world, &reading, &format!("latest-{from}-{number}"));
            assert!(output.status.success(), "{}", said(&output));
            Contents::read(&out).assert_is(&source);
            assert!(fs::read(out.join("forgotten.txt")).unwrap().is_empty());

            let reading = Reading { backup: &first, ..reading };
            let (output, out) =
                reader::read(&scene.world, &reading, &format!("first-{from}-{number}"));
            assert!(output.status.success(), "{}", said(&output));
            Contents::read(&out).assert_is(&without_her);
            assert_eq!(sorted_lines(&fs::read(out.join("forgotten.txt")).unwrap()).len(), 1);
        }
    }
    let reading = Reading { catalog: Some(&catalog), shares: &secrets[..1], backup: "latest" };
    let (output, out) = reader::read(&scene.world, &reading, "too-few");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!out.exists());
}

#[tokio::test]
async fn the_readme_brings_a_database_back_without_the_program() {
    let scene = Scene::begin().await;
    let before = picture::of(&scene.database).await;
    let copy = vault::uncreated_database();
    let output = follow_the_readme(&scene, &copy, "out").await;
    assert!(output.status.success(), "{}", said(&output));
    picture::of(&copy).await.assert_is(&before);
    drop(copy);

    // Foreign keys that lead to her are told, and everything else is there.
    scene.world.erase(Some("users"), HER);
    let copy = vault::uncreated_database();
    let output = follow_the_readme(&scene, &copy, "out-after").await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("users_invited_by_fkey"), "{}", said(&output));
    let twin = vault::twin(&scene.database).await;
    twin.session().await.batch("without her", WITHOUT_HER).await.unwrap();
    Contents::of(&copy).await.assert_is(&Contents::of(&twin).await);
    let (is, expected) = (picture::of(&copy).await, picture::of(&scene.database).await);
    let mut missing: Vec<_> = expected.schema.lines().collect();
    missing.retain(|line| line.contains("ADD CONSTRAINT") && !is.schema.contains(line));
    assert_eq!(missing.len(), 2, "{missing:#?}");
    assert!(missing[0].contains("ADD CONSTRAINT referrals_referred_id_fkey"), "{missing:#?}");
    assert!(missing[1].contains("ADD CONSTRAINT users_invited_by_fkey"), "{missing:#?}");
    assert_eq!(is.sequences, expected.sequences);
    assert_eq!(is.views["app.never_filled"], None);
}

/// Runs the commands of the README's section with this vault's places in them.
async fn follow_the_readme(scene: &Scene, to: &TestDatabase, out: &str) -> Output {
    let folder = scene.world.path();
    let out = folder.join(out).display().to_string();
    let secret = scene.epoch_secret().display().to_string();
    let commands = readme_commands()
        .replace("age --decrypt", "age --decrypt --identity identity")
        .replace("strongroom/tests/reader", &reader::folder().display().to_string())
        .replace("/mnt/backups", "store")
        .replace("/media/custodian/strongroom/epoch-1.secret", &secret)
        .replace("/secure/out", &out)
        .replace(" finance", &format!(" {}", to.name));
    for place in ["finance", "/mnt/", "/media/", "/secure/"] {
        assert!(!commands.contains(place), "{place} is still in:\n{commands}");
    }
    let tools = Tools::find(scene.database.session().await.server_major()).unwrap();
    let path = format!(
        "{}:{}:{}",
        python_first(folder).display(),
        tools.folder().display(),
        std::env::var("PATH").unwrap()
    );
    // All commands run, as they do for a person; the worst of their exit codes counts.
    let commands = commands.replace(" \\\n", " ");
    let mut script = "worst=0\n".to_owned();
    for line in commands.lines() {
        script.push_str(line);
        script.push_str(" || worst=$?\n");
    }
    script.push_str("exit $worst");
    Command::new("sh")
        .args(["-c", &script])
        .env("PATH", path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster().port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", PASSWORD)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The section's commands, without the installation.
fn readme_commands() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section =
        readme.split("\n## ").find(|section| section.starts_with("If strongroom is gone"));
    let lines = section.unwrap().lines().filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("apt-get ")).collect();
    assert!(lines.len() > 10, "{lines:#?}");
    lines.join("\n")
}

/// A folder in which `python3` is the one that has the packages.
fn python_first(folder: &Path) -> PathBuf {
    let first = folder.join("python");
    fs::create_dir_all(&first).unwrap();
    let file = first.join("python3");
    let python = python::interpreter().display();
    fs::write(&file, format!("#!/bin/sh\nexec {python} \"$@\"\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    first
}
