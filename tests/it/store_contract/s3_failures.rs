//! What goes wrong between here and an S3 service: what is made up for, and what is told, how.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strongroom::store::{ConnectionProblem, StoreError, open};

use super::contract::{get, name, noise, put};
use crate::support::answering::{Answer, Answering};
use crate::support::proxy::{self, Between, Request, Turn};
use crate::support::s3_server::{free_ports, moto, seaweed};

/// A store that asks a server of the test, and tries so often.
fn asking(port: u16, attempts: u32) -> Arc<dyn strongroom::store::Store> {
    let credentials = seaweed().credentials();
    let url = format!(
        "s3://bucket/v?endpoint=http://127.0.0.1:{port}&credentials={}&attempts={attempts}\
         &timeout_seconds=2",
        credentials.display()
    );
    open(&url).unwrap()
}

/// What a first look at an object says.
async fn refusal(url: &str) -> StoreError {
    let store = open(url).unwrap();
    store.list("").await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_what_is_allowed_are_told_apart() {
    let server = seaweed();
    let bucket = server.bucket(false);
    for profile in ["wrong", "stranger"] {
        let url = server.url(&bucket, &format!("&profile={profile}"));
        let error = refusal(&url).await;
        assert!(matches!(error, StoreError::Credentials { .. }), "{profile}: {error}");
        let store = open(&url).unwrap();
        let error = store.size(&name("a")).await.unwrap_err();
        assert!(matches!(error, StoreError::Credentials { .. }), "{profile}: {error}");
        let error = put(&*store, "a", b"a").await.unwrap_err();
        assert!(matches!(error, StoreError::Credentials { .. }), "{profile}: {error}");
        assert!(!error.to_string().contains("only-for-tests"), "{error}");
    }
    let error = refusal(&server.url(&bucket, "&profile=nobody")).await;
    assert!(matches!(error, StoreError::Credentials { .. }), "{error}");
    assert!(error.to_string().contains("none could be loaded"), "{error}");
    let error = refusal(&server.url("no-such-bucket", "")).await;
    assert!(matches!(error, StoreError::NoBucket { .. }), "{error}");
    let store = open(&server.url("no-such-bucket", "")).unwrap();
    for error in
        [put(&*store, "a", b"a").await.unwrap_err(), store.size(&name("a")).await.unwrap_err()]
    {
        assert!(matches!(error, StoreError::NoBucket { .. }), "{error}");
    }

    let all = open(&server.url(&bucket, "")).unwrap();
    put(&*all, "a", b"contents").await.unwrap();
    let reader = open(&server.url(&bucket, "&profile=reader")).unwrap();
    assert_eq!(get(&*reader, "a").await, b"contents");
    let denied = |error: StoreError, wanted: &str| match error {
        StoreError::Denied { action, .. } => assert_eq!(action, wanted),
        other => panic!("{wanted}: {other}"),
    };
    denied(put(&*reader, "b", b"b").await.unwrap_err(), "s3:PutObject");
    denied(put(&*reader, "b", &noise(9 << 20)).await.unwrap_err(), "s3:PutObject");
    denied(reader.delete(&name("a")).await.unwrap_err(), "s3:DeleteObject");
    let lister = open(&server.url(&bucket, "&profile=lister")).unwrap();
    assert_eq!(lister.list("").await.unwrap().len(), 1);
    denied(lister.read_range(&name("a"), 0, 1).await.unwrap_err(), "s3:GetObject");
    denied(lister.size(&name("a")).await.unwrap_err(), "s3:GetObject");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_connection_is_told() {
    let server = seaweed();
    let credentials = format!("credentials={}&attempts=1", server.credentials().display());
    let at = |endpoint: &str| format!("s3://b?endpoint={endpoint}&{credentials}");
    let problem = async |url: &str| match refusal(url).await {
        StoreError::Connection { problem, .. } => problem,
        other => panic!("{url}: {other:?}"),
    };
    let free = free_ports(1)[0];
    let found = problem(&at(&format!("http://127.0.0.1:{free}"))).await;
    assert!(matches!(found, ConnectionProblem::Refused { .. }), "{found:?}");
    let found = problem(&at("http://no-such-host.invalid:9000")).await;
    assert!(matches!(found, ConnectionProblem::UnknownHost { .. }), "{found:?}");
    // TLS to what speaks plain HTTP, and the reverse.
    let found = problem(&at(&server.endpoint().replace("http:", "https:"))).await;
    assert!(matches!(found, ConnectionProblem::NoTls { .. }), "{found:?}");
    let found = problem(&at(&server.endpoint_tls().replace("https:", "http:"))).await;
    assert!(matches!(found, ConnectionProblem::TlsWanted { .. }), "{found:?}");
    let found = problem(&at(&server.endpoint_tls())).await;
    assert!(matches!(found, ConnectionProblem::Certificate { .. }), "{found:?}");
    let silent = Answering::start(|_, _| Answer::Silence);
    let begun = Instant::now();
    let url = at(&format!("http://127.0.0.1:{}", silent.port)) + "&timeout_seconds=1";
    let found = problem(&url).await;
    assert!(matches!(found, ConnectionProblem::Silent { .. }), "{found:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_another_region_and_a_full_service_are_told() {
    let date = "Tue, 24 Nov 2026 02:00:00 GMT";
    let skewed = Answering::start(move |_, _| {
        let Answer::Http(status, body) =
            Answer::error("403 Forbidden", "RequestTimeTooSkewed", "too large a difference")
        else {
            unreachable!()
        };
        Answer::Http(format!("{status}\r\nDate: {date}"), body)
    });
    let error = asking(skewed.port, 1).list("").await.unwrap_err();
    assert!(matches!(&error, StoreError::ClockSkew { said: Some(said), .. } if said == date));
    assert!(error.to_string().contains("too far apart (it says Tue, 24 Nov 2026"), "{error}");

    let elsewhere = Answering::start(|_, head| {
        let moved = "301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3";
        if head.starts_with("HEAD") {
            Answer::Http(moved.into(), vec![])
        } else {
            Answer::error(moved, "PermanentRedirect", "use the other endpoint")
        }
    });
    let store = asking(elsewhere.port, 1);
    for error in [store.list("").await.unwrap_err(), store.size(&name("a")).await.unwrap_err()] {
        assert!(
            matches!(&error, StoreError::WrongRegion { region: Some(region), .. } if region == "eu-west-3"),
            "{error}"
        );
    }
    // Garage's words.
    let garage = Answering::start(|_, _| {
        let says =
            "Authorization header malformed, unexpected scope: 20261127/us-east-1/s3/aws4_request";
        Answer::error("400 Bad Request", "AuthorizationHeaderMalformed", says)
    });
    let error = asking(garage.port, 1).list("").await.unwrap_err();
    assert!(matches!(error, StoreError::WrongRegion { region: None, .. }), "{error}");
    let full = Answering::start(|_, head| {
        if head.starts_with("PUT") {
            Answer::error("507 Insufficient Storage", "InsufficientStorage", "no room")
        } else {
            Answer::error("404 Not Found", "NoSuchKey", "none")
        }
    });
    let error = put(&*asking(full.port, 1), "a", b"a").await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_asks_for_patience_gets_it() {
    let asked = AtomicUsize::new(0);
    let server = Answering::start(move |_, _| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::error("503 Slow Down", "SlowDown", "reduce your rate"),
        1 => Answer::error("500 Internal Server Error", "InternalError", "try again"),
        _ => Answer::Http(
            "206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nETag: \"x\"".into(),
            b"0123456789".to_vec(),
        ),
    });
    let store = asking(server.port, 6);
    assert_eq!(store.read_range(&name("a"), 0, 10).await.unwrap(), "0123456789");
    assert_eq!(server.requests().len(), 3);
    let store = asking(server.port, 1);
    assert_eq!(store.read_range(&name("a"), 0, 10).await.unwrap(), "0123456789");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_taken_up_where_it_broke() {
    let whole = noise(100_000);
    let served = whole.clone();
    let server = Answering::start(move |number, head| {
        let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
        let (from, to) = range.trim().split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let body = served[from..=to].to_vec();
        let size = served.len();
        let status = format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{to}/{size}\r\nETag: \"x\""
        );
        let cut = body.len() / 2;
        if number < 4 { Answer::Broken(status, body, cut) } else { Answer::Http(status, body) }
    });
    let store = asking(server.port, 3);
    let read = store.read_range(&name("a"), 10, 90_000).await.unwrap();
    assert_eq!(read, whole[10..90_010]);
    assert_eq!(server.requests().len(), 4);
}

/// The answer to a write is lost; the repeated request finds the name taken, by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_lost_is_known_again() {
    for mine in [true, false] {
        let mark = std::sync::Mutex::new(None);
        let server = Answering::start(move |_, head| {
            let mut mark = mark.lock().unwrap();
            let sent =
                head.lines().find_map(|line| line.strip_prefix("x-amz-meta-strongroom-write: "));
            match (head.split(' ').next(), mark.is_some()) {
                (Some("PUT"), false) => {
                    *mark = Some(sent.unwrap().to_owned());
                    Answer::error("500 Internal Server Error", "InternalError", "done, though")
                }
                (Some("PUT"), true) => {
                    Answer::error("412 Precondition Failed", "PreconditionFailed", "taken")
                }
                (Some("HEAD"), true) => {
                    let mark = if mine { mark.clone().unwrap() } else { "another's".to_owned() };
                    let head =
                        format!("200 OK\r\nETag: \"x\"\r\nx-amz-meta-strongroom-write: {mark}");
                    Answer::Http(head, vec![])
                }
                _ => Answer::error("404 Not Found", "NoSuchKey", "none"),
            }
        });
        let written = put(&*asking(server.port, 3), "a", b"contents").await;
        if mine {
            assert_eq!(written.unwrap().bytes, 8);
        } else {
            let error = written.unwrap_err();
            assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_and_an_archived_object_are_told() {
    let limited = Answering::start(|_, head| {
        if head.starts_with("PUT") {
            let page = "<html><head><title>413 Request Entity Too Large</title></head></html>";
            let status = "413 Request Entity Too Large\r\nContent-Type: text/html";
            return Answer::Http(status.to_owned(), page.into());
        }
        Answer::error("404 Not Found", "NoSuchKey", "none")
    });
    let error = put(&*asking(limited.port, 6), "a", b"a").await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { part_mib: 8, .. }), "{error}");
    let archived = Answering::start(|_, _| {
        let says = "The operation is not valid for the object's storage class";
        Answer::error("403 Forbidden", "InvalidObjectState", says)
    });
    let error = asking(archived.port, 6).read_range(&name("a"), 0, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Archived { .. }), "{error}");
    assert_eq!(archived.requests().len(), 1);
}

/// Once the bucket is known to be there, a missing object costs one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_object_is_asked_for_once() {
    let server = Answering::start(|_, _| Answer::error("404 Not Found", "NoSuchKey", "none"));
    let store = asking(server.port, 1);
    for expected in [2, 3, 4] {
        let error = store.size(&name("a")).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        assert_eq!(server.requests().len(), expected, "{:?}", server.requests());
    }
}

/// A service below a path: requests go there, signed with it. moto looks at no signature.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_may_have_a_path() {
    struct Below;
    impl Between for Below {
        fn asked(&self, request: &mut Request) -> Turn {
            match request.target.strip_prefix("/storage/v1/s3") {
                Some(rest) => {
                    request.target = rest.to_owned();
                    Turn::Forward
                }
                None => Turn::HangUp,
            }
        }
    }
    let server = moto();
    let upstream = server.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
    let port = proxy::start(upstream, Arc::new(Below));
    let url = format!(
        "s3://{}/v?endpoint=http://127.0.0.1:{port}/storage/v1/s3&credentials={}&attempts=2",
        server.bucket(false),
        server.credentials().display()
    );
    let store = open(&url).unwrap();
    put(&*store, "a", b"below").await.unwrap();
    assert_eq!(get(&*store, "a").await, b"below");
    assert_eq!(store.list("").await.unwrap().len(), 1);
    store.delete(&name("a")).await.unwrap();
}

/// Without a wildcard in the name service, the host that nobody knows has the bucket in its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unknown_host_is_named_as_it_was_asked_for() {
    let credentials = seaweed().credentials();
    let url = format!(
        "s3://my-bucket/v?endpoint=http://s3.example.invalid:9000&path_style=false&credentials={}\
         &attempts=1",
        credentials.display()
    );
    let error = refusal(&url).await;
    assert!(error.to_string().contains("my-bucket.s3.example.invalid"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_conditions_is_written_to_without() {
    let server = Answering::start(|_, head| {
        let conditional = head.lines().any(|line| line.starts_with("if-none-match"));
        match head.split(' ').next() {
            Some("PUT") if conditional => {
                Answer::error("501 Not Implemented", "NotImplemented", "a header you provided")
            }
            Some("PUT") => Answer::Http("200 OK\r\nETag: \"x\"".into(), vec![]),
            _ => Answer::error("404 Not Found", "NoSuchKey", "none"),
        }
    });
    let store = asking(server.port, 1);
    put(&*store, "a", b"a").await.unwrap();
    put(&*store, "b", b"b").await.unwrap();
    let puts = server.requests().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(puts, 3, "it is asked once: {:?}", server.requests());
}

/// Set by the tests below for the processes that they start.
const CHILD: &str = "STRONGROOM_TEST_CHILD";

/// This test's binary again, running one test of this file, with other settings of its environment.
fn child(test: &str, set: &[(&str, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", &format!("store_contract::s3_failures::{test}")]);
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(proxy).env_remove(proxy.to_uppercase());
    }
    command.env(CHILD, "1").envs(set.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    command
}

/// Says a line to the process that started this one.
fn tell(line: &str) {
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// Lists the bucket of the environment, and prints how that went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_lists() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let url = std::env::var("STRONGROOM_TEST_URL").unwrap();
    tell(&match open(&url).unwrap().list("").await {
        Ok(found) => format!("found {}", found.len()),
        Err(error) => format!("error {error}"),
    });
}

#[test]
fn the_environments_proxies_and_credentials_are_heeded() {
    let server = seaweed();
    let bucket = server.bucket(false);
    let dead = format!("http://me:secret@127.0.0.1:{}", free_ports(1)[0]);
    let run = |url: String, set: &[(&str, String)]| {
        let set = [set, &[("STRONGROOM_TEST_URL", url)]].concat();
        let output = child("a_process_that_lists", &set).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let url = || server.url(&bucket, "&attempts=1");
    let said = run(url(), &[("HTTP_PROXY", dead.clone())]);
    assert!(said.contains("the proxy 127.0.0.1:") && !said.contains("secret"), "{said}");
    let exempt = [("HTTP_PROXY", dead), ("NO_PROXY", "127.0.0.1".to_owned())];
    assert!(run(url(), &exempt).contains("found 0"));
    let socks = [("ALL_PROXY", "socks5://me:secret@127.0.0.1:1080".to_owned())];
    let said = run(url(), &socks);
    assert!(said.contains("the SOCKS proxy 127.0.0.1:1080") && !said.contains("secret"), "{said}");
    // A proxy that works.
    let through = Answering::start(|_, head| {
        let asked = head.lines().next().unwrap_or_default();
        assert!(asked.contains("http://127.0.0.1:"), "a proxy is told the whole URL: {asked}");
        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        Answer::Http("200 OK\r\nContent-Type: application/xml".into(), empty.into())
    });
    let proxy = format!("http://127.0.0.1:{}", through.port);
    assert!(run(url(), &[("http_proxy", proxy)]).contains("found 0"));
    assert_eq!(through.requests().len(), 1);

    // Without `credentials=`, the usual chain: the environment's keys, then its files.
    let plain = format!("s3://{bucket}?endpoint={}&attempts=1", server.endpoint());
    let key = |name: &str| {
        [
            ("AWS_ACCESS_KEY_ID", name.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "only-for-tests".to_owned()),
        ]
    };
    assert!(run(plain.clone(), &key("default")).contains("found 0"));
    assert!(run(plain.clone(), &key("unknown")).contains("closed to these credentials"));
    let file = server.credentials().display().to_string();
    let file = [("AWS_SHARED_CREDENTIALS_FILE", file), ("AWS_PROFILE", "reader".to_owned())];
    assert!(run(plain.clone(), &file).contains("found 0"));
    // A profile in the URL comes before the environment's keys.
    let named = format!("{plain}&profile=reader");
    assert!(run(named, &[&key("unknown")[..], &file].concat()).contains("found 0"));
}

#[cfg(debug_assertions)]
#[test]
fn the_environment_makes_every_store_of_a_process_faulty() {
    let folder = tempfile::tempdir().unwrap();
    let run = |faults: &str| {
        let set = [
            ("STRONGROOM_TEST_URL", folder.path().display().to_string()),
            (strongroom::store::faulty::VARIABLE, faults.to_owned()),
        ];
        let output = child("a_process_that_lists", &set).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("").contains("found 0"));
    assert!(run("seed=7,per_mille=1000,only=delete").contains("found 0"));
    let said = run("at=list:1:slow-down");
    assert!(said.contains("injected: SlowDown"), "{said}");
}

/// Starts a server and waits to be killed.
#[test]
fn a_process_with_a_server() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    tell(&format!("server {} {}", seaweed().endpoint(), seaweed().folder().display()));
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn a_killed_process_leaves_no_server_and_no_folder() {
    use std::io::{BufRead, BufReader};
    let mut process = child("a_process_with_a_server", &[]).stdout(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(process.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ").map(str::to_owned))
        .unwrap();
    let (endpoint, folder) = told.split_once(' ').unwrap();
    let port = endpoint.strip_prefix("http://").unwrap();
    assert!(std::net::TcpStream::connect(port).is_ok());
    process.kill().unwrap();
    process.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::path::Path::new(folder).exists() {
        assert!(Instant::now() < deadline, "{folder} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(std::net::TcpStream::connect(port).is_err());
}
