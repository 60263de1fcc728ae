//! What passes is waited for: busy services, outages, bytes that changed on their way, credentials that
//! ran out; and what is waited for no longer.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use strongroom::store::{ConnectionProblem, Store, StoreError, open, open_telling};

use super::contract::{get, name, noise, put};
use crate::support::answering::{Answer, Answering};
use crate::support::proxy::{self, Between, Request, Response, Turn};
use crate::support::s3_server::{S3Server, free_ports, seaweed};

fn port_of(server: &S3Server) -> u16 {
    server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A store at a port of this machine.
fn at(bucket: &str, port: u16, more: &str) -> Arc<dyn Store> {
    open(&place(bucket, port, more)).unwrap()
}

fn place(bucket: &str, port: u16, more: &str) -> String {
    let credentials = seaweed().credentials();
    format!(
        "s3://{bucket}/v?endpoint=http://127.0.0.1:{port}&credentials={}&part_mib=5{more}",
        credentials.display()
    )
}

/// Answers the first requests of a method itself.
struct First {
    method: &'static str,
    count: usize,
    asked: AtomicUsize,
    answer: fn() -> Response,
}

impl Between for First {
    fn asked(&self, request: &mut Request) -> Turn {
        let first = request.method == self.method
            && self.asked.fetch_add(1, Ordering::Relaxed) < self.count;
        if first { Turn::Answer((self.answer)()) } else { Turn::Forward }
    }
}

fn bare_with_retry_after() -> Response {
    let headers = vec![("Retry-After".to_owned(), "1".to_owned())];
    Response { status: "429 Too Many Requests".to_owned(), headers, body: Vec::new() }
}

fn too_many() -> Response {
    Response::error("429 Too Many Requests", "TooManyRequests", "Reduce your request rate.")
}

fn aborted() -> Response {
    let says = "A conflicting conditional operation is currently in progress.";
    Response::error("409 Conflict", "OperationAborted", says)
}

fn bad_gateway() -> Response {
    Response { status: "502 Bad Gateway".to_owned(), headers: Vec::new(), body: Vec::new() }
}

fn slow_down_as_400() -> Response {
    Response::error("400 Bad Request", "RequestTimeout", "Your socket connection was idle.")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_service_is_asked_again() {
    let server = seaweed();
    for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
        for answer in [bare_with_retry_after, too_many, aborted, bad_gateway, slow_down_as_400] {
            let between = First { method, count: 2, asked: AtomicUsize::new(0), answer };
            let port = proxy::start(port_of(server), Arc::new(between));
            let store = at(&server.bucket(false), port, "");
            let begun = Instant::now();
            put(&*store, "small", b"small").await.unwrap();
            put(&*store, "large", &noise(6 << 20)).await.unwrap();
            assert_eq!(get(&*store, "small").await, b"small");
            store.delete(&name("small")).await.unwrap();
            assert_eq!(store.list("").await.unwrap().len(), 1);
            let waited = begun.elapsed();
            let asked = (answer)().headers.iter().any(|(name, _)| name == "Retry-After");
            assert!(!asked || waited >= Duration::from_secs(2), "{method}: {waited:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_twenty_seconds_ends_nothing_and_is_told() {
    let server = seaweed();
    let (bucket, port) = (server.bucket(false), free_ports(1)[0]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell = Arc::new(move |said: &str| heard.lock().unwrap().push(said.to_owned()));
    let store = open_telling(&place(&bucket, port, ""), None, tell).unwrap();
    let back = port_of(server);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(20));
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        proxy::serve(listener, back, Arc::new(Nothing));
    });
    let begun = Instant::now();
    put(&*store, "small", b"small").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(19), "{:?}", begun.elapsed());
    assert_eq!(get(&*store, "small").await, b"small");
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("does not take the connection"), "{told:?}");
    assert!(told[0].contains("trying again for up to 2"), "{told:?}");
}

/// Nothing is changed.
struct Nothing;

impl Between for Nothing {
    fn asked(&self, _: &mut Request) -> Turn {
        Turn::Forward
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_ends_and_what_is_asked_after_that_does_not_wait_again() {
    let store = at("b", free_ports(1)[0], "&patience_seconds=3");
    let begun = Instant::now();
    let refused = |error: StoreError| {
        let problem = match error {
            StoreError::Connection { problem, .. } => problem,
            other => panic!("{other:?}"),
        };
        assert!(matches!(problem, ConnectionProblem::Refused { .. }), "{problem:?}");
    };
    refused(store.list("").await.unwrap_err());
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(200) && waited < Duration::from_secs(6), "{waited:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    for _ in 0..5 {
        refused(store.delete(&name("a")).await.unwrap_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    // A service that asks for more than there is.
    let busy = Answering::start(|_, _| {
        Answer::Http("503 Slow Down\r\nRetry-After: 3600".to_owned(), Vec::new())
    });
    let begun = Instant::now();
    let error = at("b", busy.port, "").list("").await.unwrap_err();
    assert!(error.to_string().contains("HTTP status 503"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(busy.requests().len(), 1);
}

/// Flips one bit of the first bodies of a kind.
struct Flips {
    parts: bool,
    left: AtomicUsize,
}

impl Between for Flips {
    fn asked(&self, request: &mut Request) -> Turn {
        let kind = request.method == "PUT"
            && request.parameter("partNumber").is_some() == self.parts
            && request.body.len() > 50;
        let one_less = |left: usize| left.checked_sub(1);
        if kind && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            request.body[40] ^= 1;
        }
        Turn::Forward
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_change_on_their_way_are_sent_again() {
    let server = seaweed();
    for (parts, length) in [(false, 1000), (true, 11 << 20)] {
        let flips = Flips { parts, left: AtomicUsize::new(3) };
        let port = proxy::start(port_of(server), Arc::new(flips));
        let store = at(&server.bucket(false), port, "");
        put(&*store, "a", &noise(length)).await.unwrap();
        assert_eq!(get(&*store, "a").await, noise(length));
        // What always arrives changed is not sent for ever.
        let flips = Flips { parts, left: AtomicUsize::new(1000) };
        let port = proxy::start(port_of(server), Arc::new(flips));
        let store = at(&server.bucket(false), port, "");
        let begun = Instant::now();
        let error = put(&*store, "a", &noise(length)).await.unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
        assert_eq!(store.list("").await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_ran_out_are_looked_for_once_more() {
    let server = Answering::start(|_, head| {
        if head.contains("Credential=first/") {
            return Answer::error("400 Bad Request", "ExpiredToken", "The token has expired.");
        }
        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        Answer::Http("200 OK\r\nContent-Type: application/xml".into(), empty.into())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let write = |key: &str| {
        let text = format!("[default]\naws_access_key_id={key}\naws_secret_access_key=secret\n");
        std::fs::write(&file, text).unwrap();
    };
    write("first");
    let url = format!(
        "s3://b/v?endpoint=http://127.0.0.1:{}&credentials={}",
        server.port,
        file.display()
    );
    let store = open(&url).unwrap();
    let error = store.list("").await.unwrap_err();
    assert!(matches!(error, StoreError::CredentialsExpired { .. }), "{error}");
    write("second");
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(server.requests().len(), 4);
}
