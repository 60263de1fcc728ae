//! What a forgetting costs: 1, 100 and 1,000 people at once, of 10^4 and 10^6, with 1 and 90 backups.
//!
//!     cargo bench --bench forgetting
//!     cargo bench --bench forgetting -- --json FILE
//!
//! The vault is real (its folder, its file custodian, its directory store); its people and backups
//! are keys without rows, for a forgetting touches nothing else. Times are medians of `RUNS`.
#![allow(clippy::unwrap_used, reason = "a failure here ends the benchmark")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom::vault::unlock::unlock;

use age::secrecy::ExposeSecret as _;
use chrono::Utc;
use serde_json::json;
use strongroom::audit::{Action, Outcome, Who};
use strongroom::base::clock::{Clock as _, SystemClock};
use strongroom::base::ids::{BackupId, Digest, ShardId, SourceId, SubjectReference};
use strongroom::base::random;
use strongroom::catalog::backups::{self, BackupClass, BackupKind, BackupRow};
use strongroom::catalog::sources::{self, SourceRow, SourceUrl};
use strongroom::container::age_file::BackupIdentity;
use strongroom::container::names;
use strongroom::crypto::SecretText;
use strongroom::keys::custodians::settings::CustodianSettings;
use strongroom::keys::master::{Credentials, Protection};
use strongroom::keys::ring::KeyName;
use strongroom::ops::init;
use strongroom::vault::forget::{Change, forget};
use strongroom::vault::handle::Vault;
use strongroom::vault::settings::{Environment, VaultPlaces};
use strongroom::vault::subject_keys::SubjectKeys;

const RUNS: usize = 5;
/// Has no factor in common with any number of people.
const STRIDE: u64 = 9_973;
const SOURCE: SourceId = SourceId([7; 16]);

/// A vault in a folder of its own.
struct Bench {
    _folder: tempfile::TempDir,
    vault: Vault,
    credentials: Credentials,
    people: u64,
    forgotten: u64,
}

/// One line of the table.
struct Line {
    people: u64,
    backups: u64,
    erased: u64,
    median: Duration,
    replica_bytes: u64,
}

#[tokio::main]
async fn main() {
    let mut lines = Vec::new();
    println!(
        "{:>9}  {:>7}  {:>6}  {:>9}  {:>13}",
        "people", "backups", "erased", "seconds", "replica bytes"
    );
    for people in [10_000, 1_000_000] {
        for backups in [1, 90] {
            let mut bench = Bench::new(people, backups).await;
            for erased in [1, 100, 1_000] {
                let line = bench.measure(backups, erased).await;
                println!(
                    "{:>9}  {:>7}  {:>6}  {:>9.3}  {:>13}",
                    line.people,
                    line.backups,
                    line.erased,
                    line.median.as_secs_f64(),
                    line.replica_bytes
                );
                lines.push(line);
            }
        }
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != "--json").skip(1);
    if let Some(file) = arguments.next() {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "people": line.people,
                    "backups": line.backups,
                    "erased": line.erased,
                    "seconds": line.median.as_secs_f64(),
                    "replica_bytes": line.replica_bytes,
                })
            })
            .collect();
        std::fs::write(file, format!("{:#}\n", json!({ "forgetting": lines }))).unwrap();
    }
}

impl Bench {
    async fn new(people: u64, backups: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let identity = age::x25519::Identity::generate();
        let places = VaultPlaces {
            catalog: at("catalog.sqlite"),
            master: at("master.age"),
            maps: at("maps"),
            custodians: vec![CustodianSettings::file("main", at("custodian"))],
            stores: vec![strongroom::vault::settings::StoreSettings::main(
                at("store").display().to_string(),
            )],
            spill: at("spill"),
        };
        let environment = Environment {
            clock: Arc::new(SystemClock),
            who: Who::current(),
            warn: Arc::new(|_: &str| {}),
            alert: Arc::new(|_: &str| {}),
        };
        let protection = Protection::recipients(&[identity.to_public().to_string()]).unwrap();
        init::init(places.clone(), environment.clone(), &protection).await.unwrap();
        let vault = Vault::open(places, environment).unwrap();
        let text = SecretText::new(identity.to_string().expose_secret().to_owned());
        let credentials =
            Credentials { passphrase: None, identities: Some((text, "identity".to_owned())) };
        let bench = Self { _folder: folder, vault, credentials, people, forgotten: 0 };
        bench.fill(backups).await;
        bench
    }

    /// Makes people and backups: their keys, as a backup makes them.
    async fn fill(&self, backups: u64) {
        let recorded = self.vault.record(Action::Backup, "bench", Outcome::Begun, None).unwrap();
        let unlocked = unlock(&self.vault, &self.credentials, &recorded, None).await.unwrap();
        let now = SystemClock.now();
        let source = SourceRow {
            source_id: SOURCE,
            name: "bench".to_owned(),
            url: SourceUrl::Environment("BENCH".to_owned()),
            created_at: now,
        };
        let catalog = self.vault.shared_catalog();
        let catalog = || catalog.lock().unwrap();
        catalog().transaction(|transaction| sources::insert(transaction, &source)).unwrap();
        let keys =
            SubjectKeys::new(self.vault.shared_catalog(), Arc::clone(&unlocked), SOURCE, now);
        for first in (0..self.people).step_by(10_000) {
            let references: Vec<_> =
                (first..(first + 10_000).min(self.people)).map(reference).collect();
            keys.resolve(&references).unwrap();
        }
        for number in 0..backups {
            let backup_id = BackupId::new(Utc::now(), random::bytes(&mut random::system()));
            let identity = BackupIdentity::generate();
            let wrapped_key = unlocked
                .ring()
                .wrap(
                    &KeyName::Backup(backup_id.clone()),
                    ShardId::BACKUPS,
                    identity.text().expose().as_bytes(),
                    &mut random::system(),
                )
                .unwrap();
            let row = BackupRow {
                manifest_name: names::manifest(&backup_id),
                backup_id,
                source_id: SOURCE,
                class: BackupClass::Daily,
                kind: BackupKind::Full,
                note: None,
                started_at: now,
                snapshot_at: now,
                finished_at: now,
                server_version_num: 150_000,
                map_digest: Some(Digest([1; 32])),
                manifest_bytes: 1,
                manifest_sha256: Digest([2; 32]),
                row_count: self.people * 50,
                subject_count: self.people,
                segment_count: self.people * 3,
                bytes_stored: 1 + number,
                bytes_referenced: 0,
                shard_id: ShardId::BACKUPS,
                wrapped_key,
                epoch: unlocked.ring().epoch(),
                commons_kind: unlocked.commons_kind.clone(),
            };
            let insert = catalog();
            insert.transaction(|transaction| backups::insert(transaction, &row, &[], &[])).unwrap();
        }
        // The first replica is the whole catalog: what comes after it is what is measured.
        let lock = self.vault.lock_for_writing("bench").unwrap();
        let keys = unlocked.ring().replica_keys();
        strongroom::vault::replica::sync(&self.vault, &keys, &lock).await.unwrap();
    }

    /// Forgets so many people at once, several times over, each time others.
    async fn measure(&mut self, backups: u64, erased: u64) -> Line {
        let mut times = Vec::new();
        let mut written = Vec::new();
        for _ in 0..RUNS {
            // Scattered, so that they are in as many shards as may be.
            let references: Vec<_> = (self.forgotten..self.forgotten + erased)
                .map(|number| reference(number * STRIDE % self.people))
                .collect();
            self.forgotten += erased;
            let recorded = self.vault.record(Action::Erase, "bench", Outcome::Begun, None).unwrap();
            let unlocked = unlock(&self.vault, &self.credentials, &recorded, None).await.unwrap();
            let lock = self.vault.lock_for_writing("bench").unwrap();
            let before = newest_objects(&self.store());
            let change = Change { subjects: &references, ..Change::default() };
            let started = Instant::now();
            let forgotten =
                forget(&self.vault, &unlocked, &lock, &change, |_, _, _| Ok(())).await.unwrap();
            times.push(started.elapsed());
            assert!(forgotten.waiting.is_empty(), "{:?}", forgotten.waiting);
            let after = newest_objects(&self.store());
            let new = after.iter().filter(|(path, _)| !before.iter().any(|(old, _)| old == path));
            written.push(new.map(|(_, bytes)| bytes).sum::<u64>());
            strongroom::vault::replica::remove_superseded(&self.vault, &lock).await.unwrap();
        }
        times.sort_unstable();
        written.sort_unstable();
        Line {
            people: self.people,
            backups,
            erased,
            median: times[RUNS / 2],
            replica_bytes: written[RUNS / 2],
        }
    }

    fn store(&self) -> PathBuf {
        PathBuf::from(&self.vault.places().stores[0].url).join("catalog")
    }
}

/// Every object below a folder, with its length.
fn newest_objects(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(newest_objects(&path));
        } else {
            let bytes = path.metadata().unwrap().len();
            found.push((path, bytes));
        }
    }
    found
}

/// The reference of a person by number: as scattered as real ones.
fn reference(number: u64) -> SubjectReference {
    let digest = strongroom::base::digest::sha256(&number.to_be_bytes());
    let mut reference = SubjectReference([0; 16]);
    reference.0.copy_from_slice(&digest.0[..16]);
    reference
}
