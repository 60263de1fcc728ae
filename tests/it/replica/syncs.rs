//! Syncs: what is written, how much of it, and what is removed.

use strongroom::base::ids::Epoch;
use strongroom::catalog::shards;
use strongroom::vault::OpsError;
use strongroom::vault::replica::{self, ReplicaError};

use crate::replica::machine::{World, names_with};

#[tokio::test]
async fn a_sync_writes_what_has_changed_and_removes_what_is_superseded() {
    let (world, machine) = World::new().await;
    let first = machine.sync().await.unwrap();
    assert_eq!(first.sequence, 2);
    // Nothing has changed: not even an object is written.
    let objects = world.objects();
    let again = machine.sync().await.unwrap();
    assert_eq!((again.sequence, again.cells, again.bytes), (2, 0, 0));
    assert_eq!(world.objects(), objects);

    machine.add_subjects(0..600);
    let second = machine.sync().await.unwrap();
    // Three shards' subjects, and the table of shards.
    assert_eq!((second.sequence, second.cells, second.removed), (3, 4, 1), "{second:?}");
    assert_eq!(names_with(&world.objects(), "head"), ["catalog/head/0000000003"]);
    machine.add_subjects(600..601);
    let third = machine.sync().await.unwrap();
    assert_eq!((third.sequence, third.cells), (4, 1));
    assert!(third.bytes < second.bytes, "{third:?}");

    let garbage = machine.garbage().await;
    assert!(garbage.is_empty(), "{garbage:?}");
    let needed = replica::needed_names(machine.vault.catalog().connection()).unwrap();
    assert_eq!(needed, world.objects().into_keys().collect());
}

#[tokio::test]
async fn after_a_forgetting_the_old_head_stays_until_it_is_to_go_and_opens_no_more() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..600);
    machine.sync().await.unwrap();
    let old = world.objects().remove("catalog/head/0000000002").unwrap();
    let old_keys = machine.unlocked.ring().replica_keys();
    replica::open_head(&old, 2, &old_keys).unwrap();

    // The store has the new epoch's replica before the old secret is destroyed.
    machine.forget(17).await;
    let heads = ["catalog/head/0000000002", "catalog/head/0000000003"];
    assert_eq!(names_with(&world.objects(), "head"), heads);
    let keys = machine.unlocked.ring().replica_keys();
    assert_eq!(keys.epoch(), Epoch(2));
    assert!(replica::open_head(&old, 2, &keys).is_err());
    let new = &world.objects()[heads[1]];
    assert!(replica::open_head(new, 3, &old_keys).is_err());
    assert_eq!(replica::open_head(new, 3, &keys).unwrap().objects.len(), 3);
    // The next one says that the secret is destroyed, and takes the place of its own epoch's only.
    assert_eq!(machine.sync().await.unwrap().sequence, 4);
    let heads = ["catalog/head/0000000002", "catalog/head/0000000004"];
    assert_eq!(names_with(&world.objects(), "head"), heads);

    let lock = machine.vault.lock_for_writing("test").unwrap();
    let (removed, left) = replica::remove_superseded(&machine.vault, &lock).await.unwrap();
    assert_eq!((removed, left), (1, 0));
    assert_eq!(names_with(&world.objects(), "head"), [heads[1]]);
}

#[tokio::test]
async fn what_a_forgetting_syncs_grows_with_the_square_root_of_all_subjects() {
    let mut figures = Vec::new();
    for subjects in [10_000, 100_000] {
        let (world, machine) = World::new().await;
        machine.add_subjects(0..subjects);
        let whole = machine.sync().await.unwrap();
        let before = world.objects();
        machine.forget(subjects / 2).await;
        machine.sync().await.unwrap();
        // What both syncs of it wrote, but for a head that the second superseded.
        let written = world.objects().into_iter().filter(|(name, _)| !before.contains_key(name));
        let erasure: usize = written.map(|(_, bytes)| bytes.len()).sum();
        let shards = shards::all(machine.vault.catalog().connection()).unwrap().len();
        let started = std::time::Instant::now();
        assert_eq!(world.recover("two").await.unwrap().report.subjects, subjects - 1);
        let (bytes, after, recovered) = (whole.bytes, erasure as u64, started.elapsed());
        println!("{subjects} subjects, {shards} shards: {bytes} + {after}, back in {recovered:?}");
        figures.push((bytes, after));
    }
    let [(_, small), (whole, large)] = figures[..] else { panic!() };
    // Ten times the subjects: 3.2 times the bytes would be the square root exactly. The head has
    // some hundred bytes a shard, and the shards of few subjects are larger than the root.
    assert!(large < small * 7, "{figures:?}");
    assert!(large * 20 < whole, "{figures:?}");
}

#[tokio::test]
async fn many_syncs_leave_few_objects() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..300);
    for round in 0..150 {
        machine.add_subjects(300 + round..301 + round);
        machine.sync().await.unwrap();
        assert!(names_with(&world.objects(), "data").len() <= 65);
    }
    let bytes: usize = world.objects().values().map(Vec::len).sum();
    assert!(bytes < 8 << 20, "{bytes}");
    let recovered = world.recover("two").await.unwrap();
    assert_eq!(recovered.report.subjects, 450);
}

#[tokio::test]
async fn two_machines_are_told_of_each_other() {
    let (world, one) = World::new().await;
    one.sync().await.unwrap();
    one.ensure_newest().await.unwrap();
    // A copy of the machine's folder is another machine.
    std::fs::create_dir(world.path("two")).unwrap();
    let to = world.path("two/catalog.sqlite");
    one.vault.catalog().copy_to(&to).unwrap();
    std::fs::copy(world.path("one/master.age"), world.path("two/master.age")).unwrap();
    let two = world.machine("two").await;
    two.ensure_newest().await.unwrap();

    // Both write at once: neither had seen the other.
    one.add_subjects(0..10);
    two.add_subjects(10..20);
    one.sync().await.unwrap();
    let objects = world.objects();
    let refused = two.sync().await.unwrap_err();
    assert!(
        matches!(
            &refused,
            OpsError::Replica(ReplicaError::AnotherMachine { found: 3, known: 2, .. })
        ),
        "{refused}"
    );
    for (name, bytes) in objects {
        assert_eq!(world.objects().get(&name), Some(&bytes), "{name}");
    }
    // From then on the second is told at its beginning, also when more has happened since.
    for _ in 0..3 {
        let refused = two.ensure_newest().await.unwrap_err();
        assert!(refused.to_string().contains("another machine writes this vault"), "{refused}");
        one.add_subjects(20..21);
        one.sync().await.unwrap();
        one.vault
            .note(strongroom::audit::Action::Show, "x", strongroom::audit::Outcome::Done, None)
            .unwrap();
        one.sync().await.unwrap();
    }
    one.ensure_newest().await.unwrap();
    // What the second takes for garbage is nothing that the first needs.
    let needed = replica::needed_names(one.vault.catalog().connection()).unwrap();
    let garbage = two.garbage().await;
    assert!(garbage.iter().all(|object| !needed.contains(object.name.as_str())), "{garbage:?}");
}

#[tokio::test]
async fn a_store_that_lost_the_replica_gets_it_again_whole() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..300);
    machine.sync().await.unwrap();
    let old = world.objects();
    machine.add_subjects(300..600);
    machine.sync().await.unwrap();
    for lost in [old, std::collections::BTreeMap::new()] {
        world.put_back(&lost);
        machine.ensure_newest().await.unwrap();
        let report = machine.sync().await.unwrap();
        assert!(report.cells > 5, "{report:?}");
        assert_eq!(names_with(&world.objects(), "head").len(), 1 + lost.len().min(2) / 2);
        let to = format!("two-{}", report.sequence);
        assert_eq!(world.recover(&to).await.unwrap().report.subjects, 600);
        replica::remove_superseded(&machine.vault, &machine.vault.lock_for_writing("x").unwrap())
            .await
            .unwrap();
    }
}
