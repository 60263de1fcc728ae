//! What only S3 has: uploads in parts, versions, locks, limits; against SeaweedFS.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use chrono::Utc;
use strongroom::store::{Lock, Retention, RetentionMode, Store, StoreError, open};

use super::contract::{get, name, names, noise, put};
use crate::support::s3_server::{S3Server, seaweed};

fn governance(seconds: i64) -> Lock {
    let until = Utc::now() + chrono::Duration::seconds(seconds);
    Lock {
        retention: Some(Retention { mode: RetentionMode::Governance, until }),
        legal_hold: false,
    }
}

async fn put_locked(store: &dyn Store, object: &str, lock: &Lock) -> Result<(), StoreError> {
    let mut writer = store.create_locked(&name(object), lock).await?;
    writer.write(Bytes::from_static(b"locked")).await?;
    writer.finish().await.map(drop)
}

/// Something written past the store, as another tool would.
async fn overwrite(server: &S3Server, bucket: &str, key: &str, contents: &'static [u8]) {
    let put = server.client().put_object().bucket(bucket).key(key);
    put.body(ByteStream::from_static(contents)).send().await.unwrap();
}

async fn begin_upload(server: &S3Server, bucket: &str, key: &str) {
    let client = server.client();
    let begun = client.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    let part = client.upload_part().bucket(bucket).key(key).part_number(1);
    let part = part.upload_id(begun.upload_id().unwrap());
    part.body(ByteStream::from_static(b"a part")).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_processes_that_are_gone_are_found_and_removed() {
    let server = seaweed();
    let bucket = server.bucket(false);
    let store = open(&server.url(&format!("{bucket}/vault"), "&part_mib=5")).unwrap();
    begin_upload(server, &bucket, "vault/packs/left").await;
    begin_upload(server, &bucket, "other/packs/left").await;
    let mut writer = store.create(&name("packs/at-work")).await.unwrap();
    writer.write(Bytes::from(noise(6 << 20))).await.unwrap();
    let found = store.leftovers().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].place.contains("/vault/packs/left"), "{found:?}");
    assert_eq!(found[0].bytes, 6);
    let patient = open(&server.url(&format!("{bucket}/vault"), "&leftover_hours=1")).unwrap();
    assert_eq!(patient.leftovers().await.unwrap(), []);
    assert_eq!(store.remove_leftovers().await.unwrap(), found);
    assert_eq!(store.leftovers().await.unwrap(), []);
    let written = writer.finish().await.unwrap();
    assert_eq!(written.bytes, 6 << 20);
    assert_eq!(get(&*store, "packs/at-work").await, noise(6 << 20));
    let left = server.client().list_multipart_uploads().bucket(&bucket).send().await.unwrap();
    assert_eq!(left.uploads().len(), 1, "the other vault's upload is none of ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_writer_removes_its_upload() {
    let server = seaweed();
    let bucket = server.bucket(false);
    let store = open(&server.url(&bucket, "&part_mib=5")).unwrap();
    let mut writer = store.create(&name("a")).await.unwrap();
    writer.write(Bytes::from(noise(11 << 20))).await.unwrap();
    drop(writer);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = server.client().list_multipart_uploads().bucket(&bucket).send().await.unwrap();
        if left.uploads().is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.leftovers().await.unwrap(), []);
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_broke_off_is_left_behind_for_prune() {
    use strongroom::store::faulty::{Fault, FaultyStore, Operation};
    let server = seaweed();
    let store = open(&server.url(&server.bucket(false), "")).unwrap();
    let store = FaultyStore::new(store);
    store.inject(Operation::Finish, 1, Fault::Abandoned);
    put(&store, "packs/torn", b"half of it").await.unwrap_err();
    assert_eq!(names(&store, "").await, [""; 0]);
    assert_eq!(store.remove_leftovers().await.unwrap()[0].bytes, 10);
    assert_eq!(store.leftovers().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_below_is_found_brought_back_and_deleted_with_the_object() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let store = open(&server.url(&format!("{bucket}/v"), "")).unwrap();
    put(&*store, "packs/a", b"the genuine one").await.unwrap();
    put(&*store, "packs/b", b"left alone").await.unwrap();
    assert_eq!(store.old_versions("").await.unwrap(), []);

    // Somebody overwrites one object and hides it.
    overwrite(server, &bucket, "v/packs/a", b"encrypted by somebody else").await;
    server.client().delete_object().bucket(&bucket).key("v/packs/a").send().await.unwrap();
    assert_eq!(names(&*store, "").await, ["packs/b"]);
    let old = store.old_versions("packs/").await.unwrap();
    assert_eq!(old.len(), 3, "{old:?}");
    assert!(old.iter().all(|version| version.name == name("packs/a")));
    assert_eq!(old.iter().filter(|version| version.delete_marker).count(), 1);
    assert_eq!(store.leftovers().await.unwrap(), [], "an object that is hidden is no garbage");

    assert!(store.bring_back(&name("packs/a")).await.unwrap());
    assert_eq!(get(&*store, "packs/a").await, b"the genuine one");
    assert_eq!(store.old_versions("").await.unwrap(), []);
    assert!(!store.bring_back(&name("packs/a")).await.unwrap());

    overwrite(server, &bucket, "v/packs/a", b"again").await;
    store.delete(&name("packs/a")).await.unwrap();
    let left = server.client().list_object_versions().bucket(&bucket).prefix("v/packs/a");
    let left = left.send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");

    // A marker under which nothing lies is garbage.
    server.client().delete_object().bucket(&bucket).key("v/packs/never").send().await.unwrap();
    let found = store.remove_leftovers().await.unwrap();
    assert!(found.len() == 1 && found[0].place.contains("packs/never"), "{found:?}");
    assert_eq!(store.leftovers().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_object_is_retained_until_its_date_and_then_goes() {
    let server = seaweed();
    let store = open(&server.url(&server.bucket(true), "")).unwrap();
    let lock = governance(4);
    put_locked(&*store, "packs/held", &lock).await.unwrap();
    let until = lock.retention.unwrap().until;
    match store.delete(&name("packs/held")).await {
        Err(StoreError::Retained { until: Some(told), legal_hold: false, name, .. }) => {
            assert_eq!(told.timestamp(), until.timestamp());
            assert_eq!(name, "packs/held");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&*store, "").await, ["packs/held"], "no marker hides it");
    assert_eq!(get(&*store, "packs/held").await, b"locked");
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.delete(&name("packs/held")).await {
        assert!(matches!(error, StoreError::Retained { .. }), "{error}");
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(Utc::now() >= until - chrono::Duration::seconds(1));
    assert_eq!(names(&*store, "").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retention_grows_and_a_legal_hold_comes_and_goes() {
    let server = seaweed();
    let store = open(&server.url(&server.bucket(true), "")).unwrap();
    put_locked(&*store, "a", &governance(2)).await.unwrap();
    let later = governance(5);
    let held = Lock { legal_hold: true, ..later };
    store.lock(&name("a"), &held).await.unwrap();
    let found = store.lock_of(&name("a")).await.unwrap();
    assert!(found.legal_hold);
    let seconds = |lock: &Lock| lock.retention.unwrap().until.timestamp();
    assert_eq!(seconds(&found), seconds(&later));
    // A shorter one changes nothing.
    store.lock(&name("a"), &Lock { legal_hold: true, ..governance(1) }).await.unwrap();
    assert_eq!(seconds(&store.lock_of(&name("a")).await.unwrap()), seconds(&later));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let error = store.delete(&name("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Retained { legal_hold: true, .. }), "{error}");
    store.lock(&name("a"), &Lock::default()).await.unwrap();
    store.delete(&name("a")).await.unwrap();
    assert_eq!(names(&*store, "").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_urls_lock_holds_small_objects_and_large_ones() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let url = server.url(&bucket, "&lock=governance&lock_days=3&part_mib=5");
    let store = open(&url).unwrap();
    put(&*store, "small", b"small").await.unwrap();
    put(&*store, "large", &noise(6 << 20)).await.unwrap();
    let days = |lock: Lock| {
        let retention = lock.retention.unwrap();
        assert_eq!(retention.mode, RetentionMode::Governance);
        (retention.until - Utc::now()).num_hours()
    };
    for object in ["small", "large"] {
        assert_eq!(days(store.lock_of(&name(object)).await.unwrap()), 71, "{object}");
        let error = store.delete(&name(object)).await.unwrap_err();
        assert!(matches!(error, StoreError::Retained { .. }), "{error}");
    }
    // Exactly as the caller says, whatever the URL says.
    put_locked(&*store, "free", &Lock::default()).await.unwrap();
    store.delete(&name("free")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_refused_where_there_is_none() {
    let server = seaweed();
    let url = server.url(&server.bucket(false), "&lock=compliance&lock_days=1&part_mib=5");
    let store = open(&url).unwrap();
    for length in [10, 6 << 20] {
        let error = put(&*store, "a", &noise(length)).await.unwrap_err();
        assert!(matches!(error, StoreError::NoObjectLock { .. }), "{length}: {error}");
    }
    assert_eq!(names(&*store, "").await, [""; 0]);
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path().to_str().unwrap()).unwrap();
    let error = put_locked(&*directory, "a", &governance(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::NoObjectLock { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bandwidth_limit_holds() {
    let server = seaweed();
    let store = open(&server.url(&server.bucket(false), "&bandwidth_mib=2")).unwrap();
    let begun = Instant::now();
    put(&*store, "a", &noise(4 << 20)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    let begun = Instant::now();
    get(&*store, "a").await;
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_over_tls_trusts_the_authority_that_it_is_given() {
    let server = seaweed();
    let bucket = server.bucket(false);
    let url = format!(
        "s3://{bucket}/a?endpoint={}&credentials={}&ca={}&region=eu-central-1&storage_class=STANDARD_IA",
        server.endpoint_tls(),
        server.credentials().display(),
        server.certificate().display()
    );
    let store = open(&url).unwrap();
    put(&*store, "packs/a", b"over TLS").await.unwrap();
    assert_eq!(get(&*store, "packs/a").await, b"over TLS");
    let head = server.client().head_object().bucket(&bucket).key("a/packs/a").send().await.unwrap();
    assert_eq!(head.storage_class().unwrap().as_str(), "STANDARD_IA");
}

/// Slow: `cargo test --test it store_contract:: -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes and reads 3 GiB"]
async fn an_object_of_gigabytes_is_whole() {
    let server = seaweed();
    let store = open(&server.url(&server.bucket(false), "")).unwrap();
    let block = Bytes::from(noise(16 << 20));
    let mut writer = store.create(&name("huge")).await.unwrap();
    for _ in 0..192 {
        writer.write(block.clone()).await.unwrap();
    }
    let written = writer.finish().await.unwrap();
    assert_eq!(written.bytes, 3 << 30);
    assert_eq!(store.size(&name("huge")).await.unwrap(), 3 << 30);
    for at in [0, 100, 191] {
        let read = store.read_range(&name("huge"), at * (16 << 20), 16 << 20).await.unwrap();
        assert_eq!(read, block, "block {at}");
    }
}
