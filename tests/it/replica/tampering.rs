//! Bad input: replicas that were cut, changed, mixed up, or are too old.

use strongroom::vault::replica;

use crate::replica::machine::{Machine, World, names_with};

async fn synced() -> (World, Machine) {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..30);
    machine.sync().await.unwrap();
    machine.add_subjects(30..31);
    machine.sync().await.unwrap();
    (world, machine)
}

const HEAD: &str = "catalog/head/0000000003";

#[tokio::test]
async fn whatever_was_cut_or_changed_is_refused() {
    let (world, machine) = World::new().await;
    machine.add_subjects(0..30);
    // Written anew: every byte is needed.
    machine.sync_anew(&world).await;
    let good = world.objects();
    let mut sentences = std::collections::BTreeSet::new();
    for (name, bytes) in &good {
        let places = [0, 6, 8, 24, 31, 32, 40, 71, 72, 80, bytes.len() / 2, bytes.len() - 1];
        for place in places.into_iter().filter(|place| *place < bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            world.write_object(name, &flipped);
            sentences.insert(world.refusal().await);
            world.write_object(name, &bytes[..place]);
            sentences.insert(world.refusal().await);
        }
        world.write_object(name, &[bytes, &b"x"[..]].concat());
        sentences.insert(world.refusal().await);
        world.write_object(name, bytes);
    }
    for sentence in &sentences {
        assert!(sentence.contains("catalog") && !sentence.contains('\n'), "{sentence}");
    }
    assert!(sentences.len() > 8);
    world.recover("two").await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (world, _machine) = synced().await;
    let good = world.objects();
    for name in names_with(&good, "data") {
        world.remove_object(name);
        assert_eq!(world.refusal().await, format!("/store has no object `{name}`"));
        world.put_back(&good);
    }
    world.put_back(&std::collections::BTreeMap::new());
    assert_eq!(world.refusal().await, "the store /store holds no replica of the catalog");
    std::fs::remove_file(world.path("store/strongroom-vault.json")).unwrap();
    assert!(world.refusal().await.contains("holds no vault"));
}

#[tokio::test]
async fn heads_of_other_vaults_numbers_and_versions_are_named_as_such() {
    let (world, _machine) = synced().await;
    let (other, _other_machine) = synced().await;
    let good = world.objects();
    world.write_object(HEAD, &other.objects()[HEAD]);
    assert_eq!(world.refusal().await, format!("{HEAD} belongs to another vault"));
    world.put_back(&good);
    world.write_object("catalog/head/0000000004", &good[HEAD]);
    assert_eq!(
        world.refusal().await,
        "catalog/head/0000000004 is another replica of the catalog than its name says"
    );
    world.put_back(&good);
    let mut newer = good[HEAD].clone();
    newer[7] = 2;
    world.write_object(HEAD, &newer);
    assert_eq!(
        world.refusal().await,
        format!("{HEAD} has format version 2; this strongroom reads up to 1")
    );
    world.put_back(&good);
    let data = names_with(&good, "data");
    for (name, instead, sentence) in
        [(data[0], data[1], "another length"), (data[0], HEAD, "another length")]
    {
        world.write_object(name, &good[instead]);
        let refusal = world.refusal().await;
        assert!(refusal.contains(name) && refusal.contains(sentence), "{refusal}");
        world.put_back(&good);
    }
    // Of the right length, and another object's.
    let mut mixed = good[data[0]].clone();
    mixed[31] = 2;
    world.write_object(data[0], &mixed);
    assert!(world.refusal().await.contains("is another replica of the catalog"));
}

#[tokio::test]
async fn a_catalog_of_a_newer_version_is_refused() {
    use strongroom::container::names;
    use strongroom::container::replica::head::HeadHeader;
    let (world, machine) = synced().await;
    let bytes = world.objects().remove(HEAD).unwrap();
    let keys = machine.unlocked.ring().replica_keys();
    let mut head = replica::open_head(&bytes, 3, &keys).unwrap();
    head.schema += 1;
    let header = HeadHeader::parse(&bytes, HEAD).unwrap();
    let key = keys.head_key(&header.salt, 3);
    world.write_object(HEAD, &head.seal(&header, &key, &names::replica_head(3)).unwrap());
    let known = head.schema - 1;
    assert_eq!(
        world.refusal().await,
        format!(
            "replica 3 holds a catalog of version {}; this strongroom knows up to {known}",
            head.schema
        )
    );
}

/// A store whose listing is old: it shows heads that are gone and not the newest.
#[tokio::test]
async fn a_stale_listing_hides_no_newer_head() {
    use std::sync::Arc;
    use strongroom::store::Store;
    use strongroom::store::directory::DirectoryStore;
    let (world, machine) = synced().await;
    for number in 31..40 {
        machine.add_subjects(number..number + 1);
        machine.sync().await.unwrap();
    }
    let inner: Arc<dyn Store> = Arc::new(DirectoryStore::open(&world.path("store")).unwrap());
    let newest = Some(12);
    for (listed, known, far) in [
        (vec![12], 0, true),
        (vec![1], 0, true),
        (vec![1, 2, 12], 0, false),
        (vec![2], 2, false),
        (vec![], 12, false),
        (vec![], 11, false),
        (vec![], 0, true),
        (vec![50], 12, false),
    ] {
        let stale = Stale { inner: Arc::clone(&inner), listed: listed.clone() };
        let found = replica::newest_head(&stale, known, far).await.unwrap();
        assert_eq!(found, newest, "{listed:?} {known}");
    }
}

struct Stale {
    inner: std::sync::Arc<dyn strongroom::store::Store>,
    listed: Vec<u64>,
}

mod stale {
    use super::Stale;
    use async_trait::async_trait;
    use bytes::Bytes;
    use strongroom::container::names;
    use strongroom::store::{Leftover, ObjectInfo, ObjectName, ObjectWriter, Store, StoreError};

    #[async_trait]
    impl Store for Stale {
        fn location(&self) -> String {
            self.inner.location()
        }

        async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError> {
            self.inner.create(name).await
        }

        async fn read_range(
            &self,
            name: &ObjectName,
            offset: u64,
            length: u64,
        ) -> Result<Bytes, StoreError> {
            self.inner.read_range(name, offset, length).await
        }

        async fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
            self.inner.size(name).await
        }

        async fn list(&self, _: &str) -> Result<Vec<ObjectInfo>, StoreError> {
            let info = |number: &u64| ObjectInfo {
                name: names::replica_head(*number).parse().unwrap(),
                bytes: 1,
            };
            Ok(self.listed.iter().map(info).collect())
        }

        async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
            self.inner.delete(name).await
        }

        async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
            self.inner.leftovers().await
        }

        async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
            self.inner.remove_leftovers().await
        }
    }
}
