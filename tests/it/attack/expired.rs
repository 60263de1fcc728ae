//! Someone who kept the catalog from before an expiry: the keys in it open under nothing that is left.

use strongroom::catalog::Catalog;
use strongroom::catalog::backups::{self, BackupFilter, BackupRow};
use strongroom::keys::ring::KeyName;

use super::Scene;
use crate::vault::World;
use crate::vault::examine::{credentials, present_ring};

fn rows(world: &World) -> Vec<BackupRow> {
    let catalog = Catalog::open(&world.path().join("catalog.sqlite")).unwrap();
    backups::list(catalog.connection(), &BackupFilter::default()).unwrap()
}

#[tokio::test]
async fn an_expired_backups_key_opens_under_nothing_that_is_left() {
    let scene = Scene::set(1, 1).await;
    let before = rows(&scene.world);
    let [_, oldest] = &before[..] else { panic!("two backups") };
    let opens = |row: &BackupRow| {
        let ring = present_ring(&scene.world, &credentials(&scene.world, None));
        let name = KeyName::Backup(row.backup_id.clone());
        ring.unwrap(&name, row.shard_id, &row.wrapped_key).is_ok()
    };
    assert!(before.iter().all(opens), "each opens before");
    scene.world.ok(&["expire", &oldest.backup_id.to_string(), "--yes"]);
    // Not even that of the backup that stays opens as it was wrapped then: the shard has a fresh key.
    assert!(!before.iter().any(opens), "a key from before the expiry opens");
    let left = rows(&scene.world);
    assert_eq!(left.len(), 1);
    assert!(left.iter().all(opens));
}
