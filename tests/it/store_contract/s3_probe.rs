//! What probing finds on services that differ, and that nothing is left of it.

use std::sync::Arc;

use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule,
};
use strongroom::store::{Capabilities, Capability, StoreError, Verdict, open, open_knowing, probe};

use super::contract::{self, get, noise, put};
use crate::support::answering::{Answer, Answering, forgetful};
use crate::support::s3_server::{S3Server, moto, seaweed};

async fn probed(server: &S3Server, bucket: &str) -> Capabilities {
    let url = server.url(&format!("{bucket}/v"), "");
    let seen = probe(&url).await.unwrap();
    let json = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Capabilities>(&json).unwrap(), seen);
    assert_eq!(seen.findings.len(), Capability::ALL.len(), "{json}");
    let left = server.client().list_object_versions().bucket(bucket).send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");
    let left = server.client().list_multipart_uploads().bucket(bucket).send().await.unwrap();
    assert!(left.uploads().is_empty(), "{left:?}");
    assert_eq!(seen.unfit().count(), 0, "{json}");
    seen
}

fn with(seen: &Capabilities, verdict: Verdict) -> Vec<&'static str> {
    let all = Capability::ALL.iter().filter(|capability| seen.verdict(**capability) == verdict);
    all.map(|capability| capability.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_does_all_of_it_in_a_bucket_with_lock() {
    let server = seaweed();
    let seen = probed(server, &server.bucket(true)).await;
    assert_eq!(with(&seen, Verdict::No), ["default-retention"]);
    let seen = probed(server, &server.bucket(false)).await;
    assert_eq!(with(&seen, Verdict::No), ["versioning", "object-lock", "default-retention"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buckets_own_rule_is_told_and_does_not_keep_the_probes() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let rule = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(7);
    let rule = ObjectLockRule::builder().default_retention(rule.build()).build();
    let rule = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(rule)
        .build();
    let put = server.client().put_object_lock_configuration().bucket(&bucket);
    put.object_lock_configuration(rule).send().await.unwrap();
    let seen = probed(server, &bucket).await;
    assert_eq!(with(&seen, Verdict::No), [""; 0]);
    let says = &seen.findings[&Capability::DefaultRetention].consequence;
    assert!(says.contains("governance, 7 days"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_is_told_apart() {
    let server = moto();
    let bucket = server.bucket(false);
    let seen = probed(server, &bucket).await;
    let url = server.url(&format!("{bucket}/v"), "");
    // Whatever it can do: knowing it, a name is still written once only.
    let store = open_knowing(&url, Some(&seen)).unwrap();
    put(&*store, "a", b"first").await.unwrap();
    let again = put(&*store, "a", b"second").await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    assert_eq!(get(&*store, "a").await, b"first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_probed_too() {
    let folder = tempfile::tempdir().unwrap();
    let seen = probe(folder.path().to_str().unwrap()).await.unwrap();
    assert_eq!(seen.verdict(Capability::ConditionalPut), Verdict::Yes);
    assert_eq!(seen.verdict(Capability::ObjectLock), Verdict::No);
    assert_eq!(seen.unfit().count(), 0);
    let store = open(folder.path().to_str().unwrap()).unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.leftovers().await.unwrap(), []);
}

/// A service that answers 200 to `If-None-Match: *` and overwrites.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_condition_is_ignored_names_are_looked_at_first() {
    let taken = Arc::new(std::sync::Mutex::new(false));
    let server = Answering::start(move |_, head| {
        let mut taken = taken.lock().unwrap();
        match head.split(' ').next() {
            Some("PUT") => {
                *taken = true;
                Answer::Http("200 OK\r\nETag: \"x\"".into(), vec![])
            }
            Some("HEAD") if *taken => Answer::Http("200 OK\r\nETag: \"x\"".into(), vec![0; 5]),
            _ => Answer::error("404 Not Found", "NoSuchKey", "none"),
        }
    });
    let credentials = seaweed().credentials();
    let url = format!(
        "s3://b?endpoint=http://127.0.0.1:{}&credentials={}",
        server.port,
        credentials.display()
    );
    let store = open(&url).unwrap();
    put(&*store, "a", b"first").await.unwrap();
    let again = put(&*store, "a", b"second").await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    let puts = server.requests().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(puts, 1, "{:?}", server.requests());
}

/// A real service that takes no notice of conditions, neither on one request nor on completion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_forgets_conditions_is_found_out_and_made_up_for() {
    let server = moto();
    let port = forgetful(server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap());
    let bucket = server.bucket(false);
    let url = format!(
        "s3://{bucket}/v?endpoint=http://127.0.0.1:{port}&credentials={}&part_mib=5",
        server.credentials().display()
    );
    let seen = probe(&url).await.unwrap();
    assert_eq!(seen.verdict(Capability::ConditionalPut), Verdict::No, "{seen:?}");
    assert_eq!(seen.verdict(Capability::ConditionalMultipart), Verdict::No, "{seen:?}");
    assert_eq!(seen.unfit().count(), 0);
    for known in [None, Some(&seen)] {
        let store = open_knowing(&url, known).unwrap();
        contract::an_object_is_created_once_and_never_replaced(Arc::clone(&store)).await;
        let large = noise(6 << 20);
        put(&*store, "large", &large).await.unwrap();
        let again = put(&*store, "large", &vec![0; 6 << 20]).await;
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
        assert_eq!(get(&*store, "large").await, large);
        contract::of_concurrent_writers_exactly_one_wins(Arc::clone(&store)).await;
        for object in store.list("").await.unwrap() {
            store.delete(&object.name).await.unwrap();
        }
    }
}
