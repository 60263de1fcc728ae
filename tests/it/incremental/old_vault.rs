//! A vault of format version 1 opens and is read as it was.

use crate::vault::World;

/// `strongroom demo --customers 12 --keep` of the version before layers made it: one backup, and one of
/// its twelve customers erased after it.
#[test]
fn a_vault_of_version_1_is_read() {
    let world = World::of_fixture("vault-of-version-1");
    let report = world.ok(&["verify", "--all"]);
    assert_eq!(report["intact"], true, "{report:#}");
    let (copy, report) = world.restored("latest", &[]);
    assert_eq!((&report["rows"], &report["rows_forgotten"]), (&565.into(), &51.into()));
    drop(copy);
    let backups = world.backups();
    assert_eq!(world.ok(&["prune", "--dry-run"])["objects"].as_array().unwrap().len(), 0);
    world.ok(&["expire", &backups[0], "--yes"]);
    assert!(world.backups().is_empty());
    let store = world.path().join("store");
    assert!(crate::vault::files_below(&store.join("packs")).is_empty());
}
