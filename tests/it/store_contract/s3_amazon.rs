//! Amazon's rules for headers: that they are held, and that strongroom keeps them.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus,
};
use bytes::Bytes;
use chrono::Utc;
use strongroom::store::{
    Capability, Lock, Retention, RetentionMode, Store, StoreError, Verdict, open, open_knowing,
    probe,
};

use super::contract::{self, get, name, noise, put};
use crate::support::amazon;
use crate::support::answering::{Answer, Answering};
use crate::support::proxy::{self, Between, Request, Response, Turn};
use crate::support::s3_server::{S3Server, seaweed};

/// A place in a bucket behind the rules.
pub fn url(server: &S3Server, bucket_and_prefix: &str, more: &str) -> String {
    let endpoint = amazon::before(&server.endpoint());
    let credentials = server.credentials();
    format!(
        "s3://{bucket_and_prefix}?endpoint={endpoint}&credentials={}{more}",
        credentials.display()
    )
}

/// A client behind the rules that sends exactly what it is told.
fn client(server: &S3Server) -> Client {
    let endpoint = amazon::before(&server.endpoint());
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .credentials_provider(Credentials::new("default", "only-for-tests", None, None, "test"))
        .build();
    Client::from_conf(config)
}

/// What the rules say to it, as a text with the code in it.
fn refused<T: std::fmt::Debug, E: std::fmt::Debug>(outcome: Result<T, E>, says: &str) {
    let text = format!("{:?}", outcome.unwrap_err());
    assert!(text.contains(says), "{says}: {text}");
}

/// The rules themselves: each refuses what breaks it, on what the server beneath takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_refuse_what_amazon_refuses() {
    let server = seaweed();
    let (bucket, client) = (server.bucket(true), client(server));
    let put = || client.put_object().bucket(&bucket).key("a").body(ByteStream::from_static(b"a"));
    // The sums of `a`, and of nothing.
    let right = "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=";
    let wrong = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    put().send().await.unwrap();
    put().checksum_sha256(right).send().await.unwrap();
    let named = put().checksum_algorithm(ChecksumAlgorithm::Sha256);
    named.checksum_sha256(right).send().await.unwrap();
    refused(
        put().checksum_algorithm(ChecksumAlgorithm::Sha256).send().await,
        "no corresponding x-amz-checksum-* or x-amz-trailer headers were found",
    );
    refused(put().checksum_sha256(wrong).send().await, "BadDigest");
    refused(put().checksum_sha256("AAAA").send().await, "header is invalid");
    refused(
        put().checksum_sha256(right).checksum_crc32("6Le+Qw==").send().await,
        "Expecting a single x-amz-checksum- header",
    );
    refused(
        put().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On).send().await,
        "is required for Put Object requests with Object Lock parameters",
    );
    refused(put().if_none_match("\"etag\"").send().await, "NotImplemented");

    let begin = client.create_multipart_upload().bucket(&bucket).key("b");
    let begun = begin.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let id = begun.upload_id().unwrap();
    let part = || {
        let part = client.upload_part().bucket(&bucket).key("b").upload_id(id).part_number(1);
        part.body(ByteStream::from_static(b"a"))
    };
    refused(part().send().await, "expected checksum Type: sha256, actual checksum Type: null");
    refused(part().checksum_sha256(wrong).send().await, "BadDigest");
    let tag = part().checksum_sha256(right).send().await.unwrap().e_tag().unwrap().to_owned();
    let complete = |sum: Option<&str>| {
        let part = CompletedPart::builder().part_number(1).e_tag(&tag);
        let part = part.set_checksum_sha256(sum.map(str::to_owned)).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = client.complete_multipart_upload().bucket(&bucket).key("b");
        complete.upload_id(id).multipart_upload(parts).send()
    };
    refused(complete(None).await, "must include the checksum for each part");
    refused(complete(Some(wrong)).await, "InvalidPart");
    complete(Some(right)).await.unwrap();

    let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    let hold = client.put_object_legal_hold().bucket(&bucket).key("a").legal_hold(hold);
    let bare = hold.clone().customize().mutate_request(|request| {
        for name in ["x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm", "content-md5"] {
            request.headers_mut().remove(name);
        }
    });
    refused(bare.send().await, "Missing required header");
    hold.send().await.unwrap();
}

/// All writes that strongroom knows, small and large, free and locked, and every request on a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_and_locks_keep_amazons_rules() {
    let server = seaweed();
    let bucket = server.bucket(true);
    let place = url(server, &format!("{bucket}/v"), "&part_mib=5");
    let seen = probe(&place).await.unwrap();
    for capability in [Capability::ChecksumHeader, Capability::Checksums, Capability::ObjectLock] {
        assert_eq!(seen.verdict(capability), Verdict::Yes, "{capability}: {seen:?}");
    }
    for known in [None, Some(&seen)] {
        let store = open_knowing(&place, known).unwrap();
        let prefix = if known.is_some() { "known" } else { "unknown" };
        for (object, length) in [("empty", 0), ("small", 10), ("large", 11 << 20)] {
            let contents = noise(length);
            put(&*store, &format!("{prefix}/{object}"), &contents).await.unwrap();
            assert_eq!(get(&*store, &format!("{prefix}/{object}")).await, contents);
            let sum = server.client().head_object().bucket(&bucket);
            let sum = sum.key(format!("v/{prefix}/{object}"));
            let sum = sum.checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled).send().await;
            assert!(sum.unwrap().checksum_sha256().is_some(), "the service keeps the checksum");
            let until = Utc::now() + chrono::Duration::seconds(60);
            let lock = Lock {
                retention: Some(Retention { mode: RetentionMode::Governance, until }),
                legal_hold: true,
            };
            let object = name(&format!("{prefix}/locked-{object}"));
            let mut writer = store.create_locked(&object, &lock).await.unwrap();
            writer.write(Bytes::from(noise(length))).await.unwrap();
            writer.finish().await.unwrap();
            let later = Retention {
                until: until + chrono::Duration::seconds(1),
                ..lock.retention.unwrap()
            };
            store.lock(&object, &Lock { retention: Some(later), legal_hold: false }).await.unwrap();
            assert!(!store.lock_of(&object).await.unwrap().legal_hold);
        }
    }
}

/// Before a server: refuses what carries a checksum in a header, as some services do.
struct WithoutChecksums(&'static str, &'static str);

impl Between for WithoutChecksums {
    fn asked(&self, request: &mut Request) -> Turn {
        let refused = request.headers.iter().any(|(name, _)| {
            let name = name.to_lowercase();
            name.starts_with("x-amz-checksum-") || name.starts_with("x-amz-sdk-checksum-")
        });
        if refused { Turn::Answer(Response::error(self.0, self.1, MESSAGE)) } else { Turn::Forward }
    }
}

const MESSAGE: &str =
    "Unsupported header 'x-amz-sdk-checksum-algorithm' received for this API call.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_refuses_checksums_gets_none_and_locks_nothing() {
    let server = seaweed();
    let port = server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
    for (status, code) in
        [("400 Bad Request", "InvalidArgument"), ("501 Not Implemented", "NotImplemented")]
    {
        let before = proxy::start(port, Arc::new(WithoutChecksums(status, code)));
        let place = |more: &str| {
            let credentials = server.credentials();
            let bucket = server.bucket(true);
            format!(
                "s3://{bucket}/v?endpoint=http://127.0.0.1:{before}&credentials={}&part_mib=5{more}",
                credentials.display()
            )
        };
        let url = place("");
        let seen = probe(&url).await.unwrap();
        assert_eq!(seen.verdict(Capability::ChecksumHeader), Verdict::No, "{seen:?}");
        assert_eq!(seen.verdict(Capability::ObjectLock), Verdict::No, "{seen:?}");
        assert_eq!(seen.unfit().count(), 0);
        for known in [None, Some(&seen)] {
            let store: Arc<dyn Store> = open_knowing(&url, known).unwrap();
            let prefix = if known.is_some() { "known" } else { "unknown" };
            for (object, length) in [("large", 11 << 20), ("small", 10)] {
                let object = format!("{prefix}/{object}");
                put(&*store, &object, &noise(length)).await.unwrap();
                assert_eq!(get(&*store, &object).await, noise(length));
            }
        }
        let locked = open(&place("&lock=governance&lock_days=1")).unwrap();
        for length in [10, 6 << 20] {
            let error = put(&*locked, "a", &noise(length)).await.unwrap_err();
            assert!(matches!(error, StoreError::NoObjectLock { .. }), "{error}");
            assert!(error.to_string().contains("checksum"), "{error}");
        }
    }
}

/// What goes out, header by header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_carries_the_sum_that_it_is_signed_with() {
    let heads = Arc::new(std::sync::Mutex::new(String::new()));
    let seen = Arc::clone(&heads);
    let server = Answering::start(move |_, head| {
        if head.starts_with("PUT") {
            *seen.lock().unwrap() = head.to_owned();
            return Answer::Http("200 OK\r\nETag: \"x\"".into(), vec![]);
        }
        Answer::error("404 Not Found", "NoSuchKey", "none")
    });
    let credentials = seaweed().credentials();
    let url = format!(
        "s3://b?endpoint=http://127.0.0.1:{}&credentials={}",
        server.port,
        credentials.display()
    );
    put(&*open(&url).unwrap(), "a", b"a").await.unwrap();
    let head = heads.lock().unwrap().clone();
    let value = |name: &str| {
        head.lines().filter_map(|line| line.split_once(": ")).find(|(known, _)| *known == name)
    };
    let sum = value("x-amz-checksum-sha256").unwrap().1;
    assert_eq!(sum, "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=");
    let signed = value("x-amz-content-sha256").unwrap().1;
    assert_eq!(signed, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert!(value("authorization").unwrap().1.contains("x-amz-checksum-sha256"), "{head}");
    assert_eq!(value("x-amz-sdk-checksum-algorithm"), None);
}

/// Run by `tests/it/s3/on_amazon`: every part of the contract on the service itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a bucket at Amazon"]
async fn on_amazon() {
    let place = std::env::var("STRONGROOM_ON_AMAZON").unwrap();
    let (path, query) = place.split_once('?').unwrap_or((&place, ""));
    let run = Utc::now().format("contract-%Y%m%dT%H%M%S");
    let path = path.trim_end_matches('/');
    let at = |part: &str| format!("{path}/{run}/{part}?{query}&part_mib=5");
    let seen = probe(&at("probe")).await.unwrap();
    for needed in [
        Capability::ConditionalPut,
        Capability::ConditionalMultipart,
        Capability::ChecksumHeader,
        Capability::Checksums,
    ] {
        assert_eq!(seen.verdict(needed), Verdict::Yes, "{seen:?}");
    }
    assert_eq!(seen.unfit().count(), 0, "{seen:?}");
    let store = |part: &str| open_knowing(&at(part), Some(&seen)).unwrap();
    contract::an_object_reads_back_with_its_length_and_digest(store("1")).await;
    contract::objects_appear_whole_at_once_and_in_the_order_of_their_writing(store("2")).await;
    contract::an_unfinished_object_is_invisible_and_leaves_nothing(store("3")).await;
    contract::an_object_is_created_once_and_never_replaced(store("4")).await;
    contract::of_concurrent_writers_exactly_one_wins(store("5")).await;
    contract::a_range_must_lie_inside_the_object(store("6")).await;
    contract::an_empty_object_is_an_object(store("7")).await;
    contract::a_large_object_in_uneven_writes_is_whole(store("8")).await;
    contract::odd_names_are_kept_apart_and_listed_as_they_are(store("9")).await;
    contract::a_listing_is_complete_ordered_and_exact_to_its_prefix(store("10")).await;
    contract::deleting_is_final_and_may_be_repeated(store("11")).await;
    contract::what_is_not_an_object_is_not_found(store("12")).await;
    let whole = open(&format!("{path}/{run}?{query}")).unwrap();
    for object in whole.list("").await.unwrap() {
        whole.delete(&object.name).await.unwrap();
    }
    whole.remove_leftovers().await.unwrap();
}
