//! Recoveries: what comes back, and what is refused.

use std::collections::BTreeMap;

use strongroom::base::ids::{Digest, Epoch, ShareSet, VaultId};
use strongroom::catalog::subject_maps::{self, SubjectMapRow};
use strongroom::keys::custodians::file::FileCustodian;
use strongroom::keys::custodians::share::Share;
use strongroom::keys::custodians::{Custodian as _, quorum};
use strongroom::keys::{EpochSecret, MasterSecret};
use strongroom::ops::recover::{RecoverRequest, recover};
use strongroom::vault::OpsError;
use strongroom::vault::replica::ReplicaError;

use crate::replica::machine::{Machine, SOURCE, World, environment};

/// What differs, and should: the recovery's own entry in the audit log, and its head.
fn without_the_last_entry(
    mut dump: BTreeMap<String, Vec<String>>,
    entries: usize,
) -> BTreeMap<String, Vec<String>> {
    dump.remove("audit_head");
    let log = dump.get_mut("audit_entry").unwrap();
    log.retain(|row| {
        let seq: usize =
            row.trim_start_matches("Integer(").split(')').next().unwrap().parse().unwrap();
        seq <= entries
    });
    dump
}

async fn lived(machine: &Machine) {
    machine.add_subjects(0..700);
    let row = SubjectMapRow {
        source_id: SOURCE,
        digest: Digest([1; 32]),
        toml: "version = 1\n# \"quoted\" ü\n".to_owned(),
        created_at: machine.vault.clock().now(),
    };
    let catalog = machine.vault.shared_catalog();
    catalog
        .lock()
        .unwrap()
        .transaction(|transaction| subject_maps::insert(transaction, &row))
        .unwrap();
    machine.sync().await.unwrap();
    machine.forget(17).await;
    machine.sync().await.unwrap();
    machine.add_subjects(700..710);
    machine.sync().await.unwrap();
}

#[tokio::test]
async fn what_is_recovered_is_what_was() {
    let (world, machine) = World::new().await;
    lived(&machine).await;
    let recovered = world.recover("two").await.unwrap();
    let report = &recovered.report;
    assert_eq!((report.replica, report.epoch, report.subjects), (5, Epoch(2), 709));
    assert_eq!((report.sources, report.backups, &report.audit_finding), (1, 0, &None));
    let map = std::fs::read_to_string(world.path("two/maps/main.toml")).unwrap();
    assert_eq!(map, "version = 1\n# \"quoted\" ü\n");

    let original = machine.dump();
    let entries = original["audit_entry"].len();
    recovered.vault().catalog().check().unwrap();
    let two = world.machine("two").await;
    let same = without_the_last_entry(two.dump(), entries);
    assert_eq!(same, without_the_last_entry(original, entries));
    assert!(two.dump()["audit_entry"].len() > entries);
    for number in 0..710 {
        assert_eq!(two.opens(number), number != 17, "{number}");
    }

    // The recovered vault goes on, and the old machine is told.
    let went_on = recovered.go_on().await.unwrap();
    assert_eq!(went_on.sequence, 6);
    let refused = machine.ensure_newest().await.unwrap_err();
    assert!(refused.to_string().contains("another machine writes this vault"), "{refused}");
    two.ensure_newest().await.unwrap();
    two.add_subjects(800..900);
    // One replica before the old secret is destroyed, one that says that it is.
    two.forget(18).await;
    assert_eq!(two.sync().await.unwrap().sequence, 8);
    let three = world.recover("three").await.unwrap();
    assert_eq!(three.report.subjects, 808);
    let three = world.machine("three").await;
    assert!(three.opens(850) && !three.opens(17) && !three.opens(18));
    // A second recovery to the same place is refused.
    let refused = world.recover("three").await.err().unwrap();
    assert!(matches!(refused, OpsError::VaultExists { .. }), "{refused}");
}

#[tokio::test]
async fn a_replica_of_an_older_epoch_opens_nothing() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..10);
    machine.sync().await.unwrap();
    let old = world.objects();
    machine.forget(3).await;
    machine.sync().await.unwrap();
    let new = world.objects();

    // The store is put back to before the erasure: the custodians know better.
    world.put_back(&old);
    assert_eq!(
        world.refusal().await,
        "the newest replica of the catalog in the store /store (2) is of epoch 1, and the custodians \
         hold the secret of epoch 2: the replica of that epoch is missing, with everything that was \
         recorded since"
    );
    // Who insists finds that the secret is gone.
    let insisted =
        world.recover_with("two", world.id, &world.custodian().quorum(), Some(Epoch(1))).await;
    let refused = insisted.err().unwrap().to_string();
    assert_eq!(
        refused,
        "replica 2 of the catalog is of epoch 1, whose secret the custodians do not hold; they hold \
         epoch 2"
    );
    // Nor does the new secret open it under the old one's name.
    let pretended = FileCustodian::new("main", &world.path("pretended"));
    let real = FileCustodian::new("main", &world.path("custodian"));
    let share = real.get(world.id, Epoch(2)).unwrap();
    pretended.enroll(world.id).unwrap();
    pretended.put(&Share { epoch: Epoch(1), ..share }).unwrap();
    std::fs::rename(world.path("custodian"), world.path("real")).unwrap();
    std::fs::rename(world.path("pretended"), world.path("custodian")).unwrap();
    assert_eq!(
        world.refusal().await,
        "replica 2 of the catalog does not open with this kit and the custodians' secret of epoch 1: the \
         kit is of a master secret that was replaced since, or the replica is damaged"
    );
    std::fs::remove_dir_all(world.path("custodian")).unwrap();
    std::fs::rename(world.path("real"), world.path("custodian")).unwrap();

    world.put_back(&new);
    let wanted =
        world.recover_with("two", world.id, &world.custodian().quorum(), Some(Epoch(7))).await;
    let refused = wanted.err().unwrap();
    assert!(
        matches!(refused, OpsError::Replica(ReplicaError::NoReplicaOfEpoch { .. })),
        "{refused}"
    );
    world.recover("two").await.unwrap();
}

#[tokio::test]
async fn an_interrupted_forgetting_is_refused_unless_its_epoch_is_named() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..10);
    machine.sync().await.unwrap();
    // The custodian holds the next secret already, and the catalog was never committed.
    let next = EpochSecret::generate(&mut strongroom::base::random::system());
    let custodian = FileCustodian::new("main", &world.path("custodian"));
    let random = &mut strongroom::base::random::system();
    let set = ShareSet([8; 16]);
    let shares = quorum::split(&next, world.id, Epoch(2), set, 1, 1, random).unwrap();
    custodian.put(&shares[0]).unwrap();
    assert!(world.refusal().await.contains("hold the secret of epoch 2"));
    let recovered =
        world.recover_with("two", world.id, &world.custodian().quorum(), Some(Epoch(1))).await;
    let recovered = recovered.unwrap();
    assert_eq!(recovered.report.subjects, 10);
    assert_eq!(recovered.go_on().await.unwrap().sequence, 3);
    drop(recovered);
    goes_on(&world, 9).await;
}

/// What was recovered on machine `two` can forget, though the custodian has a share that the recovered
/// catalog knows nothing of.
async fn goes_on(world: &World, subjects: usize) {
    let two = world.machine("two").await;
    two.forget(4).await;
    two.sync().await.unwrap();
    assert_eq!(two.dump()["subject"].len(), subjects);
    let two = world.machine("two").await;
    assert!(two.opens(5) && !two.opens(4));
    let secrets = std::fs::read_dir(world.path("custodian")).unwrap();
    let secrets = secrets.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("epoch-")
    });
    assert_eq!(secrets.count(), 1);
}

#[tokio::test]
async fn who_insists_on_an_older_epoch_goes_on_behind_the_newest_head() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..10);
    machine.sync().await.unwrap();
    let secret = world.path("custodian/epoch-1.secret");
    let kept = std::fs::read(&secret).unwrap();
    machine.forget(3).await;
    machine.sync().await.unwrap();
    // An erasure that is provisional: another custodian still has the old secret.
    std::fs::write(&secret, kept).unwrap();
    let recovered =
        world.recover_with("two", world.id, &world.custodian().quorum(), Some(Epoch(1))).await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.report.replica, recovered.report.epoch), (2, Epoch(1)));
    assert_eq!(recovered.go_on().await.unwrap().sequence, 5);
    drop(recovered);
    goes_on(&world, 9).await;
}

#[tokio::test]
async fn without_secrets_nothing_is_recovered() {
    let (world, machine) = World::new().await;
    machine.sync().await.unwrap();
    std::fs::rename(world.path("custodian"), world.path("elsewhere")).unwrap();
    assert_eq!(
        world.refusal().await,
        "the custodian `main` (the folder /custodian) cannot be used now: its folder is not there"
    );
    FileCustodian::new("main", &world.path("custodian")).enroll(world.id).unwrap();
    assert_eq!(
        world.refusal().await,
        "replica 2 of the catalog is of epoch 1, whose secret the custodians do not hold; they hold \
         none at all"
    );
    std::fs::remove_dir_all(world.path("custodian")).unwrap();
    std::fs::rename(world.path("elsewhere"), world.path("custodian")).unwrap();
    // A kit of another vault, named as this one's.
    let custodian = world.custodian();
    let quorum = custodian.quorum();
    let request = |vault, master| RecoverRequest {
        places: world.places("two"),
        environment: environment(),
        vault,
        master,
        protection: world.protection(),
        epochs: &quorum,
        epoch: None,
    };
    let other = MasterSecret::generate(&mut strongroom::base::random::system());
    let refused = recover(request(world.id, other)).await.err().unwrap().to_string();
    assert!(refused.contains("replica 2 of the catalog does not open with this kit"), "{refused}");
    let other = VaultId([9; 16]);
    let refused = recover(request(other, world.kit())).await.err().unwrap().to_string();
    assert!(refused.contains("the recovery kit to vault 0909"), "{refused}");
    assert!(!world.path("two/catalog.sqlite").exists());
}

#[tokio::test]
async fn a_broken_audit_log_is_told_and_keeps_nobody_from_the_backups() {
    let (world, machine) = World::new().await;
    machine.sync().await.unwrap();
    {
        let catalog = machine.vault.catalog();
        let connection = catalog.connection();
        connection.execute_batch("DROP TRIGGER audit_entry_is_fixed").unwrap();
        connection.execute("UPDATE audit_entry SET host = 'other' WHERE seq = 1", []).unwrap();
    }
    machine.sync().await.unwrap();
    let recovered = world.recover("two").await.unwrap();
    assert_eq!(recovered.report.audit_finding.as_deref(), Some("entry 1 was edited"));
    assert!(world.machine("two").await.dump()["audit_entry"].len() > 2);
}
