//! `init` makes everything or nothing, wherever it fails or is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::sandbox::{Sandbox, files};

const INIT: &str = "strongroom init --store made/store --config made/here/strongroom.toml \
                    --recipient $RECIPIENT --identity identity.txt --kit kit.txt";

/// The passages of durable steps of a whole `init`, each with its number among those of its name.
fn passages() -> Vec<String> {
    let sandbox = Sandbox::new();
    let log = sandbox.path("steps");
    let mut command = sandbox.command(&sandbox.words(INIT));
    assert!(command.env("STRONGROOM_STEP_LOG", &log).status().unwrap().success());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let log = fs::read_to_string(log).unwrap();
    let passages = log.lines().filter(|line| line.contains(':'));
    let numbered = passages.map(|passage| {
        let number = seen.entry(passage.to_owned()).and_modify(|count| *count += 1).or_insert(1);
        format!("{passage}#{number}")
    });
    numbered.collect()
}

/// The files of a folder, below it. What differs from run to run in their names is left out.
fn names(folder: &Path) -> Vec<String> {
    let names = files(folder).into_iter().map(|file| {
        let name = file.strip_prefix(folder).unwrap().display().to_string();
        match name.split_once("catalog/data/") {
            Some((before, _)) => format!("{before}catalog/data"),
            None => name,
        }
    });
    names.collect()
}

fn run(sandbox: &Sandbox, variable: &str, point: &str) -> std::process::Output {
    let mut command: Command = sandbox.command(&sandbox.words(INIT));
    command.env(variable, point).output().unwrap()
}

/// The vault is there, whole, and nothing but it.
fn assert_whole(sandbox: &Sandbox, whole: &[String], point: &str) {
    // First, for commands write too.
    let found = names(&sandbox.path("."));
    let line = "strongroom verify --all --config made/here/strongroom.toml";
    sandbox.quietly(line).done();
    sandbox.quietly("strongroom audit verify --config made/here/strongroom.toml").done();
    // The kit's own folder is the user's: what a kill left of it there is hers to remove.
    let is_left = |name: &&String| {
        !whole.contains(name)
            && !name.starts_with(".strongroom-tmp-")
            && !name.ends_with("-shm")
            && !name.ends_with("-wal")
    };
    let left: Vec<_> = found.iter().filter(is_left).collect();
    assert!(left.iter().all(|name| name.ends_with("catalog.sqlite.init")), "{point}: {left:?}");
    assert!(whole.iter().all(|name| found.contains(name)), "{point}: {found:?}");
}

#[test]
fn a_killed_init_is_removed_by_the_next() {
    let sandbox = Sandbox::new();
    sandbox.quietly(INIT).done();
    let whole = names(&sandbox.path("."));
    let (mut finished, mut removed) = (0, 0);
    for point in passages() {
        let sandbox = Sandbox::new();
        let killed = run(&sandbox, "STRONGROOM_CRASH_AT", &point);
        assert!(!killed.status.success(), "{point}");
        if sandbox.path("made/here/strongroom.toml").exists() {
            finished += 1;
        } else {
            removed += 1;
            // The kit's file has a name of its own, which no note removes: it is a secret.
            let _ = fs::remove_file(sandbox.path("kit.txt"));
            let again = sandbox.quietly(INIT).done();
            let cleared = again.stderr.contains("did not come to its end");
            let noted = point.starts_with("init.note:before");
            assert!(cleared || noted, "{point}: {}", again.stderr);
        }
        assert_whole(&sandbox, &whole, &point);
    }
    assert!(finished >= 2 && removed >= 20, "{finished} {removed}");
}

#[test]
fn a_failed_init_leaves_nothing() {
    let mut failed = 0;
    for point in passages() {
        let sandbox = Sandbox::new();
        let ended = run(&sandbox, "STRONGROOM_FAIL_AT", &point);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        if ended.status.success() {
            // Only the note's own removal may fail without the vault failing.
            assert!(
                point.starts_with("init.finish") || point.contains("secret-"),
                "{point}: {told}"
            );
            continue;
        }
        failed += 1;
        assert_eq!(names(&sandbox.path(".")), ["identity.txt"], "{point}: {told}");
        assert!(!sandbox.path("made").exists(), "{point}: {told}");
        sandbox.quietly(INIT).done();
    }
    assert!(failed >= 20, "{failed}");
}

#[test]
fn what_is_missing_is_found_before_anything_is_made_or_asked() {
    let sandbox = Sandbox::new();
    let line = "strongroom init --store backups --custodian no/such/place --recipient $RECIPIENT";
    let refused = sandbox.quietly(line).failed(8);
    assert!(refused.stderr.contains("no/such is not there"), "{}", refused.stderr);
    assert_eq!(names(&sandbox.path(".")), ["identity.txt"]);
    assert!(!sandbox.path("backups").exists() && !sandbox.path("maps").exists());
    // Without a recipient a passphrase would be asked for: the place is looked at first.
    let line = "strongroom init --store backups --custodian no/such/place";
    sandbox.quietly(line).failed(8);
    sandbox.quietly("strongroom init --store backups --recipient $RECIPIENT").done();
}

#[test]
fn a_note_never_removes_a_vault_that_is_used() {
    let sandbox = Sandbox::new();
    sandbox
        .quietly("strongroom init --store backups --recipient $RECIPIENT --identity identity.txt")
        .done();
    sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
    let vault = sandbox.quietly("strongroom init --store x --recipient $RECIPIENT").failed(4);
    assert!(vault.stderr.contains("already exists"), "{}", vault.stderr);
    // A note that a crash left after the last step, and a configuration that was moved away.
    let marker = fs::read_to_string(sandbox.path("backups/strongroom-vault.json")).unwrap();
    let marker: serde_json::Value = serde_json::from_str(&marker).unwrap();
    let path = |name: &str| sandbox.path(name).display().to_string();
    let note = serde_json::json!({
        "vault": marker["vault"], "master": path("master.age"), "catalog": path("catalog.sqlite"),
        "custodian": path("custodian"), "stores": [path("backups")], "folders": [],
    });
    fs::write(sandbox.path("catalog.sqlite.init"), note.to_string()).unwrap();
    fs::rename(sandbox.path("strongroom.toml"), sandbox.path("moved.toml")).unwrap();
    let before = names(&sandbox.path("."));
    sandbox.quietly("strongroom init --store backups --recipient $RECIPIENT").failed(4);
    assert_eq!(names(&sandbox.path(".")), before);
    sandbox.quietly("strongroom verify --all --config moved.toml").done();
}
