//! The faulty store injects what it is told to, and nothing else.

use super::*;
use crate::store::Written;
use crate::store::directory::DirectoryStore;

fn stored(root: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(DirectoryStore::create(root.path()).unwrap())
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

async fn put(store: &dyn Store, object: &str) -> Result<Written, StoreError> {
    let mut writer = store.create(&name(object)).await?;
    writer.write(Bytes::from_static(b"01234")).await?;
    writer.write(Bytes::from_static(b"56789")).await?;
    writer.finish().await
}

#[tokio::test]
async fn a_finish_that_fails_after_its_work_leaves_the_whole_object() {
    let root = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(stored(&root));
    store.inject(Operation::Finish, 1, Fault::ErrorAfter);
    store.inject(Operation::Finish, 2, Fault::Full);
    assert!(matches!(put(&store, "after").await, Err(StoreError::Io { .. })));
    assert_eq!(store.size(&name("after")).await.unwrap(), 10);
    assert!(matches!(put(&store, "full").await, Err(StoreError::Full { .. })));
    assert!(matches!(store.size(&name("full")).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.injected().len(), 2);
    assert_eq!(store.calls(Operation::Finish), 2);
}

#[tokio::test]
async fn reads_are_cut_and_flipped_as_told() {
    let root = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(stored(&root));
    put(&store, "a").await.unwrap();
    store.inject(Operation::ReadRange, 1, Fault::ShortRead);
    store.inject(Operation::ReadRange, 2, Fault::FlippedBit);
    let read = async || store.read_range(&name("a"), 0, 10).await.unwrap();
    assert_eq!(read().await, "01234");
    assert_eq!(read().await, "0123446789");
    assert_eq!(read().await, "0123456789");
}

#[tokio::test]
async fn a_torn_object_pretends_to_be_whole() {
    let root = tempfile::tempdir().unwrap();
    let inner = stored(&root);
    let whole = put(&*inner, "whole").await.unwrap();
    let store = FaultyStore::new(inner);
    store.inject(Operation::Write, 2, Fault::Torn);
    assert_eq!(put(&store, "torn").await.unwrap(), whole);
    assert_eq!(store.size(&name("torn")).await.unwrap(), 5);
}

#[tokio::test]
async fn wrong_bytes_and_a_vanished_object_are_reported_as_done() {
    let root = tempfile::tempdir().unwrap();
    let inner = stored(&root);
    let whole = put(&*inner, "whole").await.unwrap();
    let store = FaultyStore::new(Arc::clone(&inner));
    store.inject(Operation::Write, 2, Fault::Altered);
    store.inject(Operation::Finish, 2, Fault::Vanished);
    assert_eq!(put(&store, "altered").await.unwrap(), whole);
    assert_eq!(inner.read_range(&name("altered"), 0, 10).await.unwrap(), "0123456689");
    assert_eq!(put(&store, "vanished").await.unwrap(), whole);
    assert!(matches!(store.size(&name("vanished")).await, Err(StoreError::NotFound { .. })));
    assert_eq!(inner.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn whoever_opens_a_place_gets_what_stands_in_for_it() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().display().to_string();
    let store = FaultyStore::new(stored(&root));
    store.inject(Operation::List, 1, Fault::SlowDown);
    let standing = stand_in(&place, &store);
    crate::store::open(&place).unwrap().list("").await.unwrap_err();
    assert_eq!(store.injected().len(), 1);
    store.go_on(Faults::default());
    drop(standing);
    crate::store::open(&place).unwrap().list("").await.unwrap();
    assert_eq!(store.calls(Operation::List), 0);
}

#[tokio::test]
async fn a_stale_list_shows_the_state_before_the_last_changes() {
    let root = tempfile::tempdir().unwrap();
    let inner = stored(&root);
    put(&*inner, "old").await.unwrap();
    put(&*inner, "gone").await.unwrap();
    let store = FaultyStore::new(inner);
    put(&store, "new").await.unwrap();
    store.delete(&name("gone")).await.unwrap();
    store.inject(Operation::List, 1, Fault::Stale);
    let names = async || {
        let listed = store.list("").await.unwrap();
        listed.into_iter().map(|object| object.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["gone", "old"]);
    assert_eq!(names().await, ["new", "old"]);
}

#[tokio::test]
async fn an_abandoned_upload_is_left_behind_for_prune() {
    let root = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(stored(&root));
    store.inject(Operation::Write, 2, Fault::Abandoned);
    store.inject(Operation::Finish, 1, Fault::Abandoned);
    put(&store, "first").await.unwrap_err();
    put(&store, "second").await.unwrap_err();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.remove_leftovers().await.unwrap().len(), 2);
    assert_eq!(store.leftovers().await.unwrap(), []);
}

#[tokio::test]
async fn a_time_out_leaves_open_whether_the_work_was_done() {
    let root = tempfile::tempdir().unwrap();
    let store = FaultyStore::new(stored(&root));
    for call in [1, 2] {
        store.inject(Operation::Finish, call, Fault::TimeOut);
    }
    for object in ["odd", "even"] {
        let error = put(&store, object).await.unwrap_err();
        assert!(matches!(error, StoreError::Connection { .. }), "{error}");
    }
    assert_eq!(store.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        let root = tempfile::tempdir().unwrap();
        let store = FaultyStore::seeded(stored(&root), seed, 200);
        for number in 0..30 {
            let _ = put(&store, &number.to_string()).await;
        }
        seen.push(store.injected());
    }
    assert!(!seen[0].is_empty());
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}
