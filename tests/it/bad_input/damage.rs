//! Damaged stores: what is lost is named, what is left restores, and a healed store is whole again.

use std::fs;
use std::path::PathBuf;

use crate::assert_session;
use crate::support::sandbox::{Sandbox, existing, rows};

/// Damages a file for as long as `look` runs.
fn with_damage(file: &PathBuf, damage: impl FnOnce(&mut Vec<u8>) -> bool, look: impl FnOnce()) {
    let good = fs::read(file).unwrap();
    let mut bytes = good.clone();
    if damage(&mut bytes) {
        fs::write(file, &bytes).unwrap();
    } else {
        fs::remove_file(file).unwrap();
    }
    look();
    fs::write(file, &good).unwrap();
}

#[test]
fn damaged_objects_are_named_and_never_restored() {
    let (mut sandbox, database) = Sandbox::with_backup();
    let copy = existing(&format!("{}_copy", database.name));
    sandbox.set("COPY_URL", &copy.url);
    let restore = "strongroom restore latest --to env:COPY_URL --create";
    let folder = sandbox.path("backups/backups").join(sandbox.backup());
    let pack = sandbox.objects("packs").pop().unwrap();
    let parts = [
        ("pack", pack.clone()),
        ("index", folder.join("index")),
        ("manifest", folder.join("manifest.age")),
        ("schema archive", folder.join("schema.age")),
    ];
    for (what, file) in &parts {
        let look = || {
            sandbox.run("strongroom verify latest").ended(3);
            sandbox.last_access("verify", "done", "result=damaged");
            sandbox.fails(restore, 3);
            sandbox.last_access("restore", "failed", "error=integrity");
        };
        sandbox.remark(&format!("a bit of the {what} is flipped"));
        let flip = |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            true
        };
        with_damage(file, flip, look);
        sandbox.remark(&format!("the {what} is cut short"));
        let cut = |bytes: &mut Vec<u8>| {
            bytes.truncate(bytes.len() - 10);
            true
        };
        with_damage(file, cut, look);
        sandbox.remark(&format!("the {what} is gone"));
        with_damage(file, |_| false, look);
    }
    assert_session!("damaged_objects", sandbox);
    sandbox.nothing_lost();

    // The database was never made: nothing unauthenticated gets that far.
    sandbox.quietly(restore).done();
    assert_eq!(rows(&copy, "SELECT count(*)::text FROM public.users"), ["5"]);
}

#[test]
fn exchanged_packs_are_found_and_the_rest_is_salvaged() {
    let (mut sandbox, database) = Sandbox::with_backup();
    sandbox.quietly("strongroom backup finance --class weekly --full").done();
    let packs = sandbox.objects("packs");
    assert_eq!(packs.len(), 2, "{packs:?}");
    let (first, second) = (fs::read(&packs[0]).unwrap(), fs::read(&packs[1]).unwrap());
    fs::write(&packs[0], &second).unwrap();
    fs::write(&packs[1], &first).unwrap();
    sandbox.run("strongroom verify --all").ended(3);
    sandbox.last_access("verify", "done", "result=damaged");
    fs::write(&packs[0], &first).unwrap();
    fs::write(&packs[1], &second).unwrap();
    sandbox.nothing_lost();

    sandbox.remark("the last rows of a pack are damaged: everything else is salvaged");
    let copy = existing(&format!("{}_copy", database.name));
    sandbox.set("COPY_URL", &copy.url);
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(pack, &bytes).unwrap();
    }
    sandbox.run("strongroom verify latest").ended(3);
    sandbox.run("strongroom restore latest --to env:COPY_URL --create --salvage").ended(3);
    assert_session!("exchanged_and_salvaged", sandbox);
    fs::write(&packs[0], &first).unwrap();
    fs::write(&packs[1], &second).unwrap();
    sandbox.nothing_lost();
}

#[test]
fn an_edited_audit_log_or_a_damaged_catalog_is_found() {
    let (sandbox, _database) = Sandbox::with_backup();
    let catalog = sandbox.path("catalog.sqlite");
    let good = fs::read(&catalog).unwrap();
    let connection = rusqlite::Connection::open(&catalog).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER audit_entry_is_fixed;
             UPDATE audit_entry SET actor = 'nobody' WHERE seq = 2",
        )
        .unwrap();
    drop(connection);
    sandbox.run("strongroom audit verify").ended(3);
    sandbox.run("strongroom audit verify --identity identity.txt").ended(3);

    sandbox.remark("the catalog is damaged in the middle, cut short, no catalog at all, gone");
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xaa);
    fs::write(&catalog, &bytes).unwrap();
    let ended = sandbox.quietly("strongroom verify latest");
    assert!(matches!(ended.exit, 0 | 3 | 8), "{}", ended.told());
    fs::write(&catalog, &good[..good.len() / 2]).unwrap();
    sandbox.fails("strongroom list", 3);
    fs::write(&catalog, "sparrow, no database at all, but long enough to be looked at").unwrap();
    sandbox.fails("strongroom list", 3);
    fs::write(&catalog, "").unwrap();
    sandbox.fails("strongroom list", 3);
    fs::remove_file(&catalog).unwrap();
    sandbox.fails("strongroom list", 8);
    assert_session!("an_edited_log_or_damaged_catalog", sandbox);
    fs::write(&catalog, &good).unwrap();
    sandbox.nothing_lost();
}
