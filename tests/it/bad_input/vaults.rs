//! Two vaults' parts mixed: each part knows whose it is.

use std::fs;
use std::path::Path;

use crate::assert_session;
use crate::support::sandbox::{Sandbox, files, finance};

/// Two vaults of the same database, each with a backup.
fn two() -> (Sandbox, Sandbox, crate::support::TestDatabase) {
    let database = finance();
    let vault = || {
        let mut sandbox = Sandbox::with_vault();
        sandbox.set("FINANCE_URL", &database.url);
        sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
        let decided = crate::support::sandbox::DECIDED;
        sandbox.quietly(&format!("strongroom map finance {decided} --write")).done();
        sandbox.quietly("strongroom backup finance").done();
        sandbox
    };
    (vault(), vault(), database)
}

fn copy_folder(from: &Path, to: &Path) {
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

#[test]
fn objects_of_another_vault_are_refused() {
    let (one, other, _database) = two();
    let good = one.path("good");
    copy_folder(&one.path("backups"), &good);
    let mine = one.objects("packs").pop().unwrap();
    let theirs = other.objects("packs").pop().unwrap();

    one.remark("another vault's pack under this one's name");
    fs::copy(&theirs, &mine).unwrap();
    one.run("strongroom verify latest").ended(3);
    one.fails("strongroom restore latest --to env:FINANCE_URL --into-non-empty --data-only", 3);
    one.last_access("restore", "failed", "error=integrity");
    copy_folder(&good, &one.path("backups"));

    one.remark("another vault's manifest and index under this one's names");
    let (my_id, their_id) = (one.backup(), other.backup());
    let my_folder = one.path("backups/backups").join(&my_id);
    let their_folder = other.path("backups/backups").join(&their_id);
    copy_folder(&their_folder, &my_folder);
    one.run("strongroom verify latest").ended(3);
    one.fails("strongroom show latest", 3);
    copy_folder(&good, &one.path("backups"));

    one.remark("another vault's objects beside this one's: only garbage");
    copy_folder(&their_folder, &one.path("backups/backups").join(&their_id));
    one.nothing_lost();
    one.run("strongroom prune").done();

    one.remark("the whole store is another vault's");
    copy_folder(&other.path("backups"), &one.path("backups"));
    one.fails("strongroom backup finance", 3);
    one.last_access("backup", "failed", "error=integrity");
    one.fails("strongroom verify latest", 3);
    one.fails("strongroom prune", 3);
    copy_folder(&good, &one.path("backups"));

    one.remark("the store's marker is damaged, then gone");
    let marker = one.path("backups/strongroom-vault.json");
    fs::write(&marker, "{\"what\": \"sparrow\"}").unwrap();
    one.fails("strongroom verify latest", 3);
    fs::remove_file(&marker).unwrap();
    one.fails("strongroom backup finance", 7);
    copy_folder(&good, &one.path("backups"));
    assert_session!("objects_of_another_vault", one);
    one.nothing_lost();
}

#[test]
fn a_catalog_or_secret_of_another_vault_is_refused() {
    let (one, other, _database) = two();
    for part in ["catalog.sqlite", "master.age", "custodian"] {
        one.remark(&format!("{part} is another vault's"));
        let (mine, kept) = (one.path(part), one.path("kept"));
        fs::rename(&mine, &kept).unwrap();
        if other.path(part).is_dir() {
            copy_folder(&other.path(part), &mine);
        } else {
            fs::copy(other.path(part), &mine).unwrap();
        }
        let ended = one.run("strongroom verify latest");
        let exit = ended.exit;
        assert!(matches!(exit, 3 | 9), "{}", ended.told());
        ended.failed(exit);
        one.run("strongroom backup finance").failed(exit);
        if mine.is_dir() {
            fs::remove_dir_all(&mine).unwrap();
        } else {
            fs::remove_file(&mine).unwrap();
        }
        fs::rename(&kept, &mine).unwrap();
    }
    assert_session!("a_catalog_or_secret_of_another_vault", one);
    one.nothing_lost();
    other.nothing_lost();
}

#[test]
fn an_old_copy_of_the_catalog_opens_nothing() {
    let (sandbox, _database) = Sandbox::with_backup();
    let (catalog, old) = (sandbox.path("catalog.sqlite"), sandbox.path("old.sqlite"));
    fs::copy(&catalog, &old).unwrap();
    sandbox.quietly("strongroom erase --source finance --subject 2 --reason case --yes").done();
    let newest = sandbox.path("newest.sqlite");
    fs::copy(&catalog, &newest).unwrap();
    fs::copy(&old, &catalog).unwrap();
    sandbox.fails("strongroom verify latest", 8);
    sandbox.fails("strongroom restore latest --to env:FINANCE_URL", 8);
    assert_session!("an_old_copy_of_the_catalog", sandbox);
    fs::copy(&newest, &catalog).unwrap();
    sandbox.nothing_lost();
}
