//! A bucket that is not there, not allowed, not this vault's, or not to be reached: one sentence each,
//! what to do, the exit code, and nothing lost. The service is SeaweedFS; a tiny server stands in for
//! what no service on this machine can be made to answer.

use std::fs;

use crate::assert_session;
use crate::support::TestDatabase;
use crate::support::answering::{Answer, Answering};
use crate::support::s3_server::{S3Server, free_ports, seaweed};
use crate::support::sandbox::{DECIDED, Sandbox, finance};
use crate::support::tools::faketime;

/// A vault that lives in a bucket, with a source and a backup.
struct InBucket {
    sandbox: Sandbox,
    server: &'static S3Server,
    bucket: String,
    good: String,
    _database: TestDatabase,
}

impl InBucket {
    fn new() -> Self {
        let server = seaweed();
        let bucket = server.bucket(false);
        let mut sandbox = Sandbox::new();
        // The program looks for credentials where the tests' machine may have a cloud's.
        sandbox.set("AWS_EC2_METADATA_DISABLED", "true");
        let good = server.url(&format!("{bucket}/vault"), "");
        sandbox.set("PLACE", &good);
        let init = "strongroom init --store $PLACE --recipient $RECIPIENT --identity identity.txt";
        sandbox.quietly(init).done();
        sandbox.one_connection();
        let database = finance();
        sandbox.set("FINANCE_URL", &database.url);
        sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
        sandbox.quietly(&format!("strongroom map finance {DECIDED} --write")).done();
        sandbox.quietly("strongroom backup finance").done();
        Self { sandbox, server, bucket, good, _database: database }
    }

    /// The vault's place with more parameters, tried once.
    fn url(&self, more: &str) -> String {
        self.server.url(&format!("{}/vault", self.bucket), &format!("&attempts=1{more}"))
    }

    /// The vault's place at another endpoint.
    fn at(&self, endpoint: &str, more: &str) -> String {
        let credentials = self.server.credentials().display().to_string();
        format!(
            "s3://{}/vault?endpoint={endpoint}&credentials={credentials}&attempts=1{more}",
            self.bucket
        )
    }

    /// Writes another place into the configuration.
    fn store_is(&self, url: &str) {
        let file = self.sandbox.path("strongroom.toml");
        let text = fs::read_to_string(&file).unwrap();
        let begin = text.find("url = \"").unwrap() + "url = \"".len();
        let end = begin + text[begin..].find('"').unwrap();
        fs::write(&file, format!("{}{url}{}", &text[..begin], &text[end..])).unwrap();
    }

    /// With this place the line fails; with the right one, everything is there.
    fn refused(&self, what: &str, url: &str, line: &str, exit: i32) {
        self.sandbox.remark(what);
        self.store_is(url);
        self.sandbox.fails(line, exit);
        self.store_is(&self.good);
    }

    fn nothing_lost(&self) {
        self.store_is(&self.good);
        self.sandbox.quietly("strongroom backup finance").done();
        self.sandbox.nothing_lost();
        self.sandbox.quietly("strongroom prune").done();
        let pruned = self.sandbox.quietly("strongroom prune --dry-run --json").done().json();
        assert_eq!(pruned["objects"], serde_json::json!([]));
    }
}

const BACKUP: &str = "strongroom backup finance";
const VERIFY: &str = "strongroom verify latest";

#[test]
fn a_bucket_that_does_not_let_one_in_is_explained() {
    let vault = InBucket::new();
    let missing = vault.server.url("no-such-bucket/vault", "&attempts=1");
    vault.refused("the secret is wrong", &vault.url("&profile=wrong"), BACKUP, 7);
    vault.sandbox.last_access("backup", "failed", "error=store");
    vault.refused("the key is nobody's", &vault.url("&profile=stranger"), VERIFY, 7);
    vault.refused("there is no such profile", &vault.url("&profile=nobody"), BACKUP, 7);
    let without = format!("s3://{}/vault?endpoint={}", vault.bucket, vault.server.endpoint());
    vault.refused("there are no credentials at all", &without, VERIFY, 7);
    let without = without.replace("s3://", "s3://me:sparrow@");
    vault.refused("there are some in the URL", &without, VERIFY, 2);
    vault.refused("there is no such bucket", &missing, BACKUP, 7);
    vault.refused("who may read may not write", &vault.url("&profile=reader"), BACKUP, 7);
    vault.refused("who may list and write may not read", &vault.url("&profile=lister"), VERIFY, 7);
    let unlisted = vault.url("&profile=keeper");
    vault.refused("who may read and write may not list", &unlisted, "strongroom prune", 7);
    let locked = vault.url("&lock=compliance&lock_days=1");
    vault.refused("a lock is asked for where none can be", &locked, BACKUP, 7);
    vault.refused("a parameter is misspelt", &vault.url("&regoin=eu"), BACKUP, 2);
    vault.nothing_lost();
    assert_session!("a_bucket_that_does_not_let_one_in", vault.sandbox);
}

#[test]
fn an_erasure_without_the_permission_to_write_waits_for_it() {
    let vault = InBucket::new();
    let erase = "strongroom erase --source finance --subject 2 --reason case --yes --json";
    vault.store_is(&vault.url("&profile=reader"));
    let report = vault.sandbox.quietly(erase).ended(12).json();
    assert_eq!(report["state"], "provisional", "{report:#}");
    let waiting = report["waiting"][0].as_str().unwrap();
    assert!(waiting.contains("s3:PutObject"), "{waiting}");
    vault.nothing_lost();
    let list = vault.sandbox.quietly("strongroom verify --all --json").done().json();
    let gone = list["backups"].as_array().unwrap().last().unwrap();
    assert!(gone["rows_forgotten"].as_u64().unwrap() > 0, "{gone:#}");
    let held: Vec<_> = crate::support::sandbox::files(&vault.sandbox.path("custodian"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "secret"))
        .collect();
    assert_eq!(held.len(), 1, "the secret of the epoch before is destroyed: {held:?}");
}

#[test]
fn a_prefix_of_another_vault_is_refused() {
    let (one, other) = (InBucket::new(), InBucket::new());
    one.refused("the prefix is another vault's", &other.url(""), BACKUP, 3);
    one.refused("nor is it read from", &other.url(""), VERIFY, 3);
    one.refused("nor is anything removed", &other.url(""), "strongroom prune", 3);
    let nobody = one.server.url(&format!("{}/empty", one.bucket), "");
    one.refused("the prefix is nobody's", &nobody, BACKUP, 7);
    let mut third = Sandbox::new();
    third.set("PLACE", &other.good);
    third.fails("strongroom init --store $PLACE --recipient $RECIPIENT --identity identity.txt", 4);
    assert_session!("a_prefix_of_another_vault", one.sandbox);
    one.nothing_lost();
    other.nothing_lost();
}

#[test]
fn a_service_that_cannot_be_reached_is_explained() {
    let mut vault = InBucket::new();
    let (plain, tls) = (vault.server.endpoint(), vault.server.endpoint_tls());
    let wrong = vault.at(&plain.replace("http:", "https:"), "");
    vault.refused("TLS is spoken to what has none", &wrong, BACKUP, 7);
    let wrong = vault.at(&tls.replace("https:", "http:"), "");
    vault.refused("plain HTTP is spoken to what wants TLS", &wrong, BACKUP, 7);
    vault.refused("nobody vouches for the certificate", &vault.at(&tls, ""), BACKUP, 7);
    let authority = format!("&ca={}", vault.server.certificate().display());
    vault.store_is(&vault.at(&tls, &authority));
    vault.sandbox.quietly(BACKUP).done();
    let nobody = format!("http://127.0.0.1:{}", free_ports(1)[0]);
    vault.refused("nobody listens", &vault.at(&nobody, ""), BACKUP, 7);
    let unknown = vault.at("http://no-such-host.invalid:9000", "");
    vault.refused("the host is not known", &unknown, VERIFY, 7);
    let silent = Answering::start(|_, _| Answer::Silence);
    let silent = format!("http://127.0.0.1:{}", silent.port);
    vault.refused("no answer comes", &vault.at(&silent, "&timeout_seconds=1"), VERIFY, 7);

    let dead = format!("http://me:sparrow@127.0.0.1:{}", free_ports(1)[0]);
    vault.sandbox.set("HTTP_PROXY", &dead);
    let url = vault.url("");
    vault.refused("the proxy is not there", &url, BACKUP, 7);
    vault.sandbox.set("NO_PROXY", "127.0.0.1");
    vault.sandbox.remark("NO_PROXY names the host");
    vault.sandbox.quietly(BACKUP).done();
    vault.sandbox.unset("NO_PROXY");
    let closed = Answering::start(|_, _| {
        let status = "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic";
        Answer::Http(status.to_owned(), Vec::new())
    });
    vault.sandbox.set("HTTP_PROXY", &format!("http://127.0.0.1:{}", closed.port));
    vault.refused("the proxy wants to know who asks", &url, BACKUP, 7);
    vault.sandbox.unset("HTTP_PROXY");
    vault.nothing_lost();
    assert_session!("a_service_that_cannot_be_reached", vault.sandbox);
}

#[test]
fn a_clock_that_is_twenty_minutes_off_and_another_region_are_explained() {
    let mut vault = InBucket::new();
    // SeaweedFS knows no regions: this is what Amazon's service answers.
    let elsewhere = Answering::start(|_, head| {
        let moved = "301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3";
        if head.starts_with("HEAD") {
            Answer::Http(moved.into(), vec![])
        } else {
            Answer::error(moved, "PermanentRedirect", "use the other endpoint")
        }
    });
    let elsewhere = vault.at(&format!("http://127.0.0.1:{}", elsewhere.port), "");
    vault.refused("the bucket is in another region", &elsewhere, VERIFY, 7);
    let signed = Answering::start(|_, _| {
        Answer::error(
            "400 Bad Request",
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-north-1'",
        )
    });
    let signed = vault.at(&format!("http://127.0.0.1:{}", signed.port), "");
    vault.refused("the signature is for another region", &signed, BACKUP, 7);
    let library = faketime();
    for (what, shift) in [("this clock is 20 minutes late", "-20m"), ("and early", "+20m")] {
        vault.sandbox.set("LD_PRELOAD", &library.display().to_string());
        vault.sandbox.set("FAKETIME", shift);
        vault.sandbox.remark(what);
        vault.sandbox.fails(VERIFY, 7);
        vault.sandbox.unset("LD_PRELOAD");
        vault.sandbox.unset("FAKETIME");
    }
    vault.nothing_lost();
    assert_session!("a_clock_that_is_twenty_minutes_off", vault.sandbox);
}
