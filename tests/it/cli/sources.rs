//! A vault with several databases: no command takes one for the other.

use serde_json::Value;

use crate::support::TestDatabase;
use crate::support::sandbox::{DECIDED, Sandbox, finance, sql};

/// Two sources, `finance` and `ledger`, with a backup each; that of `ledger` is the newest.
fn two_sources() -> (Sandbox, [TestDatabase; 2]) {
    let (mut sandbox, first) = Sandbox::with_backup();
    let second = finance();
    sandbox.set("LEDGER_URL", &second.url);
    sandbox.quietly("strongroom source add ledger --url env:LEDGER_URL").done();
    sandbox.quietly(&format!("strongroom map ledger {DECIDED} --write")).done();
    sandbox.quietly("strongroom backup ledger").done();
    (sandbox, [first, second])
}

fn sources(document: &Value) -> Vec<&str> {
    let backups = document["backups"].as_array().unwrap();
    backups.iter().map(|one| one["source"].as_str().unwrap()).collect()
}

#[test]
fn the_newest_of_several_sources_is_no_backup() {
    let (mut sandbox, [first, _second]) = two_sources();
    let copy = crate::support::sandbox::existing(&format!("{}_copy", first.name));
    sandbox.set("COPY_URL", &copy.url);
    for line in [
        "strongroom show latest",
        "strongroom verify latest",
        "strongroom restore latest --to env:COPY_URL --create",
        "strongroom expire latest --yes",
        "strongroom store copy latest --to main",
    ] {
        let refused = sandbox.quietly(line).failed(2);
        assert!(refused.stderr.contains("finance, ledger"), "{}", refused.stderr);
        assert!(refused.stderr.contains("--source"), "{}", refused.stderr);
    }
    let list = sandbox.quietly("strongroom list --json").json();
    assert_eq!(sources(&list), ["ledger", "finance"]);
    let day = &list["backups"][1]["snapshot_at"].as_str().unwrap()[..10];
    for choice in [
        "latest --source finance".to_owned(),
        "finance:latest".to_owned(),
        format!("finance@{day}"),
        format!("{day} --source finance"),
        list["backups"][1]["backup"].as_str().unwrap().to_owned(),
    ] {
        let shown = sandbox.quietly(&format!("strongroom show {choice} --json")).done().json();
        assert_eq!(
            (&shown["source"], &shown["backup"]),
            (&"finance".into(), &list["backups"][1]["backup"])
        );
        let verified = sandbox.quietly(&format!("strongroom verify {choice}")).done();
        assert!(verified.stdout.contains("  finance  intact"), "{}", verified.stdout);
    }
    let newest = list["backups"][0]["backup"].as_str().unwrap();
    sandbox.quietly(&format!("strongroom show {newest} --source finance")).failed(5);
    sandbox.quietly("strongroom show finance:latest --source ledger").failed(2);
    sandbox.quietly("strongroom show finance@1999-01-01").failed(5);
    sandbox.quietly("strongroom show finnance:latest").failed(5);

    let line = "strongroom restore finance:latest --to env:COPY_URL --create";
    let restored = sandbox.quietly(line).done();
    assert!(restored.stdout.contains(" of source finance is restored"), "{}", restored.stdout);
    let expired = sandbox.quietly("strongroom expire latest --source ledger --yes").done();
    assert!(expired.stdout.contains(&format!("{newest} of source ledger")), "{}", expired.stdout);
    assert_eq!(sources(&sandbox.quietly("strongroom list --json").json()), ["finance"]);
    // What a typed `latest` means must not depend on which source happens to have backups.
    sandbox.quietly("strongroom restore latest --to env:COPY_URL").failed(2);
}

#[test]
fn the_daily_verification_takes_every_source() {
    let (sandbox, [first, _second]) = two_sources();
    sql(&first, "INSERT INTO public.currencies VALUES ('CHF')");
    sandbox.quietly("strongroom backup finance").done();
    sandbox.quietly("strongroom source add empty --url env:EMPTY_URL").done();
    let verified = sandbox.quietly("strongroom verify latest --each-source --json").done();
    let document = verified.json();
    assert_eq!(sources(&document), ["finance", "ledger"]);
    assert_eq!(document["sources_without_backup"], serde_json::json!(["empty"]));
    let list = sandbox.quietly("strongroom list --json").json();
    assert_eq!(document["backups"][0]["backup"], list["backups"][0]["backup"]);
    let verified = sandbox.quietly("strongroom verify latest --each-source").done();
    assert_eq!(verified.stdout.lines().count(), 2, "{}", verified.stdout);
    assert!(verified.stderr.contains("source empty has no backup yet"), "{}", verified.stderr);
    let all = sandbox.quietly("strongroom verify --all --source finance --json").done().json();
    assert_eq!(sources(&all), ["finance", "finance"]);
}

#[test]
fn a_server_that_moves_and_a_source_that_goes_keep_their_backups() {
    let (mut sandbox, database) = Sandbox::with_backup();
    let backup = sandbox.backup();
    // Another server with the same people: the source stays the same.
    let moved = finance();
    sandbox.set("MOVED_URL", &moved.url);
    sandbox.quietly("strongroom source set-url finance --url env:NO_SUCH_URL").done();
    sandbox.quietly("strongroom source test finance").failed(2);
    sandbox.quietly("strongroom source set-url finance --url env:MOVED_URL").done();
    let tested = sandbox.quietly("strongroom source test finance --json").done().json();
    assert!(tested["target"].as_str().unwrap().ends_with(&moved.name), "{tested}");
    assert_eq!(tested["not_readable"], serde_json::json!([]));
    sandbox.quietly("strongroom backup finance").done();
    sandbox.quietly("strongroom erase --source finance --subject 2 --reason 2026-1 --yes").done();
    let old = sandbox.quietly(&format!("strongroom verify {backup}")).done();
    assert!(old.stdout.contains("13 rows of forgotten people"), "{}", old.stdout);

    sandbox.quietly("strongroom source add ledger --url env:FINANCE_URL").done();
    sandbox.quietly("strongroom source rename finance ledger").failed(4);
    sandbox.quietly("strongroom source rename finance finance-eu").done();
    sandbox.quietly("strongroom source test finance").failed(5);
    assert!(sandbox.path("maps/finance-eu.toml").exists());
    assert!(!sandbox.path("maps/finance.toml").exists());
    sandbox.quietly("strongroom backup finance-eu").ended(0);
    let list = sandbox.quietly("strongroom list --json").json();
    assert_eq!(sources(&list), ["finance-eu", "finance-eu", "finance-eu"]);

    let removed = sandbox.quietly("strongroom source remove finance-eu").done();
    assert!(removed.stdout.contains("Its 3 backups stay"), "{}", removed.stdout);
    sandbox.quietly("strongroom backup finance-eu").failed(2);
    sandbox.quietly("strongroom source test finance-eu").failed(2);
    let all = sandbox.quietly("strongroom source list").done();
    assert!(all.stdout.contains("removed"), "{}", all.stdout);
    let copy = crate::support::sandbox::existing(&format!("{}_copy", database.name));
    sandbox.set("COPY_URL", &copy.url);
    let restore = "strongroom restore finance-eu:latest --to env:COPY_URL --create";
    sandbox.quietly(restore).done();
    sandbox.quietly("strongroom source set-url finance-eu --url env:MOVED_URL").done();
    sandbox.quietly("strongroom backup finance-eu").done();
    sandbox.nothing_lost();
}

#[test]
fn a_role_that_may_not_read_all_is_found_by_the_test() {
    let (mut sandbox, database) = Sandbox::with_source();
    let role = format!("reader_{}", database.name);
    sql(
        &database,
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON public.users TO {role}"),
    );
    let (_, place) = database.url.rsplit_once('@').unwrap();
    sandbox.set("FINANCE_URL", &format!("postgres://{role}:x@{place}"));
    let told = sandbox.quietly("strongroom source test finance");
    sql(&database, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    let told = told.ended(6);
    assert!(told.stdout.contains("public.accounts may not be read"), "{}", told.stdout);
}

#[test]
fn what_would_expire_is_told_and_nothing_is_touched() {
    let (sandbox, _database) = Sandbox::with_backup();
    let before = sandbox.objects("");
    let told = sandbox.quietly("strongroom expire latest --dry-run").done();
    assert!(told.stdout.contains(" of source finance\n"), "{}", told.stdout);
    assert!(told.stdout.contains("nothing was forgotten"), "{}", told.stdout);
    assert!(told.stdout.contains("It would free 1 pack"), "{}", told.stdout);
    let packs: Vec<_> =
        before.iter().filter(|file| file.to_string_lossy().contains("/packs/")).collect();
    assert!(packs.iter().all(|pack| pack.exists()) && !packs.is_empty());
    sandbox.last_access("expire", "done", "mode=dry-run");
    sandbox.nothing_lost();
}

#[test]
fn what_would_be_restored_is_told_and_nothing_is_made() {
    let (mut sandbox, database) = Sandbox::with_backup();
    let copy = crate::support::sandbox::existing(&format!("{}_copy", database.name));
    sandbox.set("COPY_URL", &copy.url);
    let restore = "strongroom restore latest --to env:COPY_URL";
    let told = sandbox.quietly(&format!("{restore} --create --dry-run --json")).done().json();
    assert_eq!((&told["source"], &told["rows"]), (&"finance".into(), &65.into()));
    sandbox.last_access("restore", "done", "mode=dry-run");
    // It was not made: so it cannot be restored into, and can be created still.
    sandbox.quietly(&format!("{restore} --dry-run")).ended(6);
    sandbox.quietly(&format!("{restore} --create --table nothing --dry-run")).failed(5);
    sandbox.quietly(&format!("{restore} --create")).done();
    sandbox.quietly(&format!("{restore} --create --dry-run")).failed(4);
    sandbox.quietly(&format!("{restore} --dry-run")).failed(4);
}

#[test]
fn a_part_of_the_packs_is_read_and_said_to_be_a_part() {
    let (sandbox, _database) = Sandbox::with_backup();
    let pack = sandbox.objects("packs").pop().unwrap();
    let parts = ["1/2", "2/2"].map(|part| {
        let line = format!("strongroom check --all --read-data-subset {part} --json");
        sandbox.quietly(&line).done().json()["backups"][0].clone()
    });
    let read: u64 = parts.iter().map(|part| part["packs_read"].as_u64().unwrap()).sum();
    assert_eq!(read, parts[0]["packs"].as_u64().unwrap(), "both halves are everything");
    let told: Vec<_> = ["1/2", "2/2"]
        .iter()
        .map(|part| sandbox.quietly(&format!("strongroom verify --all --read-data-subset {part}")))
        .map(|ended| ended.done().stdout)
        .collect();
    assert!(told.iter().any(|text| text.contains("read in part, 0 of 1 pack")), "{told:?}");
    // A wrong byte is found by the part that reads it, and only by that.
    let mut bytes = std::fs::read(&pack).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let exits = ["1/2", "2/2", "100%"].map(|part| {
        sandbox.quietly(&format!("strongroom verify --all --read-data-subset {part}")).exit
    });
    assert_eq!((exits[0] + exits[1], exits[2]), (3, 3), "{exits:?}");
}

#[test]
fn a_store_that_takes_nothing_is_found_by_doctor() {
    let (sandbox, _database) = Sandbox::with_backup();
    let well = sandbox.quietly("strongroom doctor").done();
    assert!(well.stdout.contains("it takes objects and gives them back"), "{}", well.stdout);
    assert!(sandbox.objects("").iter().all(|file| !file.to_string_lossy().contains("probe-")));
    let incoming = sandbox.path("backups/.incoming");
    let _ = std::fs::remove_dir_all(&incoming);
    std::fs::write(&incoming, b"no folder").unwrap();
    let told = sandbox.quietly("strongroom doctor").ended(8);
    assert!(
        told.stdout.contains("failed  [folder]") || told.stdout.contains("failed"),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("(os error"), "{}", told.stdout);
    let backup = sandbox.quietly("strongroom backup finance");
    assert_ne!(backup.exit, 0);
    assert!(!backup.stderr.contains("stopped taking bytes"), "{}", backup.stderr);
}

#[test]
fn a_pipe_gets_a_line_a_backup_with_its_whole_id() {
    let (sandbox, _database) = Sandbox::with_source();
    let note = "a note that is much longer than any terminal has room for beside the other columns";
    sandbox.quietly(&format!("strongroom backup finance --note \"{note}\"")).done();
    let id = sandbox.backup();
    for flags in ["", "--wide", "--columns backup,note"] {
        let listed = sandbox.quietly(&format!("strongroom snapshots {flags}")).done();
        let lines: Vec<_> = listed.stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{}", listed.stdout);
        assert!(lines[1].starts_with(&id) && lines[1].ends_with(note), "{}", listed.stdout);
    }
    let listed = sandbox.quietly("strongroom list --columns taken,people").done();
    assert!(listed.stdout.starts_with("TAKEN (UTC)"), "{}", listed.stdout);
    sandbox.quietly("strongroom list --columns nothing").failed(2);
}
