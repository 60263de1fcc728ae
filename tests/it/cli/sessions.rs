//! Whole sessions: what a newcomer, an operator and a compliance officer type and read.

use std::fs;

use crate::assert_session;
use crate::support::sandbox::{DECIDED, Sandbox, existing, finance, rows, sql};

#[test]
fn a_vault_is_begun() {
    let mut sandbox = Sandbox::new();
    sandbox.remark("nothing is here yet");
    sandbox.fails("strongroom list", 2);
    sandbox.fails("strongroom init --store backups", 9);
    fs::write(sandbox.path("passphrase"), "hunter2\n").unwrap();
    sandbox.remark("a short passphrase is refused, unless the person insists");
    sandbox.fails("strongroom init --store backups --passphrase-file passphrase", 4);
    assert!(!sandbox.path("master.age").exists());
    sandbox.run("strongroom init --store backups --passphrase-file passphrase --weak").done();
    sandbox.remark("a second vault never takes the first one's place");
    sandbox.fails("strongroom init --store backups --passphrase-file passphrase", 4);
    sandbox.fails("strongroom init --store backups --config other.toml --recipient $RECIPIENT", 4);
    sandbox.run("strongroom list").done();
    sandbox.run("strongroom source list").done();
    sandbox.run("strongroom verify --all").done();
    sandbox.run("strongroom audit verify").done();

    sandbox.remark("sources: nothing is connected to yet");
    sandbox.set("FINANCE_URL", "postgresql://backup@db.example/finance");
    sandbox.run("strongroom source add finance --url env:FINANCE_URL").done();
    sandbox.run("strongroom source add ledger --url postgresql://backup@db.example/ledger").done();
    sandbox.fails("strongroom source add finance --url env:FINANCE_URL", 4);
    sandbox.run("strongroom source list").done();
    assert_session!("a_vault_is_begun", sandbox);

    let other = Sandbox::new();
    other.run("strongroom init --store backups --recipient $RECIPIENT").done();
    let config = fs::read_to_string(other.path("strongroom.toml")).unwrap();
    other.fails("strongroom verify --all", 9);
    other.run("strongroom verify --all --identity identity.txt").done();
    other.remark("the configuration that `init` wrote");
    other.remark(&config.replace('\n', "\n# "));
    assert_session!("a_vault_with_a_recipient_is_begun", other);
}

#[test]
fn a_subject_map_is_decided_written_and_checked() {
    let mut sandbox = Sandbox::with_vault();
    let database = finance();
    sandbox.set("FINANCE_URL", &database.url);
    sandbox.run("strongroom source add finance --url env:FINANCE_URL").done();
    sandbox.fails("strongroom backup finance", 5);
    sandbox.remark("what cannot be decided is listed with its flags");
    sandbox.run("strongroom map finance").ended(4);
    sandbox.run("strongroom map finance --root public.users").ended(4);
    sandbox.fails("strongroom map finance --root public.users --write", 4);
    sandbox.fails("strongroom map finance --check", 5);
    sandbox.run(&format!("strongroom map finance {DECIDED}")).done();
    sandbox.run(&format!("strongroom map finance {DECIDED} --write")).done();
    sandbox.run("strongroom map finance --check").done();

    sandbox.remark("a release of the application adds a table and drops a column");
    sql(
        &database,
        "CREATE TABLE public.letters (id bigint PRIMARY KEY, address text);
         ALTER TABLE public.notes DROP COLUMN author",
    );
    sandbox.run("strongroom map finance --check").ended(4);
    sandbox.fails("strongroom backup finance", 4);
    assert_session!("a_subject_map_is_decided", sandbox);
    sandbox.no_canary_on_disk();
}

#[test]
fn a_person_is_forgotten() {
    let (mut sandbox, database) = Sandbox::with_source();
    sql(&database, "ALTER TABLE public.entries SET UNLOGGED");
    sandbox.run("strongroom backup finance --class daily --note \"before the request\"").done();
    sandbox.run("strongroom list").done();
    sandbox.run("strongroom list --source finance --quiet").done();
    sandbox.run("strongroom show latest").done();
    sandbox.run("strongroom verify latest").done();

    sandbox.remark("she asks what is held of her");
    let export = "strongroom export --source finance --subject 2 --recipient $RECIPIENT";
    sandbox.run(&format!("{export} --output request-117.age")).done();
    sandbox.fails(&format!("{export} --output request-117.age"), 4);
    sandbox.fails("strongroom export --source finance --subject 2 --output x.age", 2);
    sandbox.fails(
        "strongroom export --source finance --subject 99 --recipient $RECIPIENT --output x",
        5,
    );

    sandbox.remark("the officer looks first, then erases");
    let erase = "strongroom erase --source finance --subject 2 --reason \"request 2026-118\"";
    sandbox.run(&format!("{erase} --dry-run")).done();
    sandbox.fails(erase, 4);
    sandbox.run(&format!("{erase} --yes")).done();
    sandbox.fails(&format!("{erase} --yes"), 5);
    sandbox.fails(&format!("{export} --output x.age"), 5);
    sandbox.run("strongroom verify --all").done();

    sandbox.remark("she is still in the live database");
    sandbox.run("strongroom backup finance").done();
    sandbox.run("strongroom backup finance --strict").failed(11);
    sandbox.run("strongroom list").done();

    sandbox.remark("everybody else comes back");
    let copy = format!("{}_copy", database.name);
    let copy = existing(&copy);
    sandbox.set("COPY_URL", &copy.url);
    let first = sandbox.quietly("strongroom list --json").json()["backups"][2]["backup"].clone();
    let first = first.as_str().unwrap();
    sandbox.run(&format!("strongroom restore {first} --to env:COPY_URL --create")).done();
    let ids = rows(&copy, "SELECT id::text FROM public.users ORDER BY id");
    assert_eq!(ids, ["1", "3", "4", "5"]);
    sandbox.fails(&format!("strongroom restore {first} --to env:COPY_URL"), 4);
    sandbox.fails(&format!("strongroom restore {first} --to env:COPY_URL --create"), 4);

    sandbox.remark("what is on record");
    sandbox.run("strongroom audit list --action erase").done();
    sandbox.run("strongroom audit list --action restore").done();
    sandbox.run("strongroom audit list --action export").done();
    sandbox.run("strongroom audit list --since 2999-01-01").done();
    sandbox.run("strongroom audit verify").done();
    sandbox.run("strongroom prune --dry-run").done();
    sandbox.run("strongroom prune").done();
    assert_session!("a_person_is_forgotten", sandbox);
    sandbox.no_canary_on_disk();
    sandbox.nothing_lost();
}

#[test]
fn what_a_crash_left_is_pruned() {
    let (sandbox, _database) = Sandbox::with_backup();
    let id = "20260101T000000Z-abcdef";
    let left = sandbox.path(&format!("backups/backups/{id}"));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("index"), vec![0; 2000]).unwrap();
    sandbox.run("strongroom prune --dry-run").done();
    sandbox.run("strongroom prune").done();
    sandbox.run("strongroom prune").done();
    sandbox.run("strongroom audit list --action prune").done();
    assert_session!("what_a_crash_left_is_pruned", sandbox);
    assert!(!left.join("index").exists());
    sandbox.nothing_lost();
}

#[test]
fn quiet_prints_nothing_but_warnings() {
    let (sandbox, _database) = Sandbox::with_backup();
    // What was asked for is printed all the same.
    let list = sandbox.quietly("strongroom list --quiet").done();
    assert_eq!(list.stdout, format!("{}\n", sandbox.backup()));
    for line in [
        "strongroom show latest -q",
        "strongroom source list --quiet",
        "strongroom audit list --quiet",
        "strongroom store list --quiet",
        "strongroom custody list --quiet",
    ] {
        let ended = sandbox.quietly(line).done();
        assert!(!ended.stdout.is_empty() && ended.stderr.is_empty(), "{line}: {}", ended.stderr);
    }
    for line in ["strongroom verify --all --quiet", "strongroom backup finance --quiet"] {
        let ended = sandbox.quietly(line).done();
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "{line}");
    }
    sandbox
        .quietly("strongroom erase --source finance --subject 3 --reason x --yes --quiet")
        .done();
    let ended = sandbox.quietly("strongroom backup finance --quiet").done();
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("warning: "), "{}", ended.stderr);
}
