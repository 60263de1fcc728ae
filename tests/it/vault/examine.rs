//! Looking for secrets in the memory of a running program.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use memchr::memmem;
use strongroom::base::ids::{Epoch, VaultId};
use strongroom::catalog::backups::{self, BackupFilter};
use strongroom::catalog::{Catalog, shards, subjects, vault, vault_keys};
use strongroom::crypto::SecretText;
use strongroom::keys::custodians::file::FileCustodian;
use strongroom::keys::custodians::{Custodian as _, quorum};
use strongroom::keys::master::{self, Credentials};
use strongroom::keys::ring::{KeyName, KeyRing};
use strongroom::keys::{EpochSecret, MasterSecret};

use super::World;

/// How much of a mapping is read at a time, in bytes.
const READ_BYTES: usize = 4 << 20;

/// Something that must not be in memory: any half of it, for the allocator writes over the first
/// bytes of what is freed.
pub struct Needle {
    pub name: String,
    halves: Vec<Vec<u8>>,
}

impl Needle {
    /// A text, as it is and in the other case.
    pub fn text(name: &str, text: &str) -> Self {
        let mut halves = Vec::new();
        for text in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
            let (one, two) = text.split_at(text.len() / 2);
            halves.extend([one.as_bytes().to_vec(), two.as_bytes().to_vec()]);
        }
        halves.sort();
        halves.dedup();
        Self { name: name.to_owned(), halves }
    }

    /// A key, as bytes and in hexadecimal.
    pub fn key(name: &str, key: &[u8]) -> Self {
        assert_eq!(key.len(), 32, "{name}");
        let mut needle = Self::text(name, &hex::encode(key));
        needle.halves.extend([key[..16].to_vec(), key[16..].to_vec()]);
        needle
    }

    /// An age identity: its text (without the words that all have), and the key in it.
    pub fn identity(name: &str, text: &str) -> [Self; 2] {
        let text = text.trim();
        let data = text.strip_prefix("AGE-SECRET-KEY-1").expect("an age identity");
        // BIP 173: five bits a character, then a checksum of six characters.
        let alphabet = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
        let values = data[..data.len() - 6].chars().map(|one| alphabet.find(one).unwrap());
        let bits: Vec<bool> =
            values.flat_map(|value| (0..5).rev().map(move |bit| value >> bit & 1 == 1)).collect();
        let bytes = bits.chunks_exact(8);
        let key: Vec<u8> = bytes
            .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | u8::from(*bit)))
            .collect();
        [
            Self::text(&format!("{name}, its text"), data),
            Self::key(&format!("{name}, its key"), &key),
        ]
    }
}

impl Needle {
    /// Whether any half of it is in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.halves.iter().any(|half| memmem::find(bytes, half).is_some())
    }
}

/// What opens the master secret of a vault.
pub fn credentials(world: &World, passphrase: Option<&str>) -> Credentials {
    let identity = fs::read_to_string(world.path().join("identity")).unwrap();
    Credentials {
        passphrase: passphrase.map(|text| SecretText::new(text.to_owned())),
        identities: Some((SecretText::new(identity), "identity".to_owned())),
    }
}

/// The keys that open with what the vault has now.
pub fn present_ring(world: &World, credentials: &Credentials) -> KeyRing {
    let catalog = Catalog::open(&world.path().join("catalog.sqlite")).unwrap();
    let (_, _, ring) = opened(&catalog, world, credentials);
    ring
}

/// The master secret, the epoch's secret, and the keys that open with them.
fn opened(
    catalog: &Catalog,
    world: &World,
    credentials: &Credentials,
) -> (MasterSecret, EpochSecret, KeyRing) {
    let connection = catalog.connection();
    let row = vault::read(connection).unwrap();
    let (id, epoch): (VaultId, Epoch) = (row.vault_id, row.epoch);
    let sealed = fs::read(world.path().join("master.age")).unwrap();
    let master = master::open(&sealed, id, credentials, "master.age").unwrap();
    let custodian = FileCustodian::new("main", &world.path().join("custodian"));
    let secret = quorum::combine(&[custodian.get(id, epoch).unwrap()]).unwrap();
    let shards = shards::all(connection).unwrap();
    let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
    let ring = KeyRing::open(id, epoch, &master, &secret, wrapped).unwrap();
    (master, secret, ring)
}

/// Every key of a vault that the test can open by itself.
pub fn keys_of(world: &World, credentials: &Credentials) -> Vec<Needle> {
    let catalog = Catalog::open(&world.path().join("catalog.sqlite")).unwrap();
    let connection = catalog.connection();
    let (master, secret, ring) = opened(&catalog, world, credentials);
    let epoch = vault::read(connection).unwrap().epoch;
    let mut needles = vec![
        Needle::key("the master secret", master.expose()),
        Needle::key(&format!("the secret of epoch {epoch}"), secret.expose()),
    ];
    for shard in &shards::all(connection).unwrap() {
        for row in subjects::by_shard(connection, shard.shard_id).unwrap() {
            let name = KeyName::Subject(row.reference);
            let key = ring.unwrap(&name, shard.shard_id, &row.wrapped_key).unwrap();
            needles.push(Needle::key(&name.to_string(), &key));
        }
    }
    for row in vault_keys::all(connection).unwrap() {
        let name = KeyName::Vault(row.kind.clone());
        let key = ring.unwrap(&name, row.shard_id, &row.wrapped_key).unwrap();
        needles.push(Needle::key(&name.to_string(), &key));
    }
    for row in backups::list(connection, &BackupFilter::default()).unwrap() {
        let name = KeyName::Backup(row.backup_id.clone());
        let text = ring.unwrap(&name, row.shard_id, &row.wrapped_key).unwrap();
        needles.extend(Needle::identity(&name.to_string(), str::from_utf8(&text).unwrap()));
    }
    needles
}

/// A program that waits at a place, to be looked into.
pub struct Waiting {
    child: Child,
    output: File,
    place: String,
}

impl Waiting {
    /// Starts the program and waits until it has come to `place`.
    pub fn at(mut command: Command, place: &str) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let output = tempfile::tempfile().unwrap();
        let mut child = command
            .env("STRONGROOM_WAIT_AT", place)
            .env("STRONGROOM_STEP_LOG", log.path())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .spawn()
            .unwrap();
        let (passage, number) = place.split_once('#').unwrap_or((place, "1"));
        let number: usize = number.parse().unwrap();
        let begun = Instant::now();
        loop {
            let passed = fs::read_to_string(log.path()).unwrap();
            if passed.lines().filter(|line| *line == passage).count() >= number {
                break;
            }
            if child.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_mins(2) {
                let _ = child.kill();
                panic!("never came to {place}: {}", said(&output));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // From the log to the wait it is a moment.
        std::thread::sleep(Duration::from_millis(100));
        Self { child, output, place: place.to_owned() }
    }

    /// What is found, and in which mapping.
    pub fn search(&self, needles: &[Needle]) -> Vec<String> {
        let finders: Vec<Vec<_>> = needles
            .iter()
            .map(|needle| needle.halves.iter().map(memmem::Finder::new).collect())
            .collect();
        let id = self.child.id();
        let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
        let memory = File::open(format!("/proc/{id}/mem")).unwrap();
        let mut found = Vec::new();
        let mut bytes_read = 0;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, rights) = (words.next().unwrap(), words.next().unwrap());
            let mapping = words.nth(3).unwrap_or("anonymous");
            if !rights.starts_with('r') || mapping.starts_with("[v") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut at = from;
            // What lies across two reads is read twice.
            let overlap = 128;
            while at < to {
                let length = usize::try_from(to - at).unwrap().min(READ_BYTES + overlap);
                let mut bytes = vec![0; length];
                let read = memory.read_at(&mut bytes, at).unwrap_or(0);
                bytes.truncate(read);
                bytes_read += read;
                for (needle, finders) in needles.iter().zip(&finders) {
                    for finder in finders {
                        for place in finder.find_iter(&bytes) {
                            let near = around(&bytes, place);
                            found.push(format!("{} in {mapping} ({rights}): {near}", needle.name));
                        }
                    }
                }
                at += (READ_BYTES as u64).min(to - at);
            }
        }
        assert!(bytes_read > 1 << 20, "{}: only {bytes_read} bytes were read", self.place);
        found
    }

    /// Lets it go on; its exit code and what it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let code = self.child.wait().unwrap().code();
        (code, said(&self.output))
    }
}

fn said(output: &File) -> String {
    let mut bytes = vec![0; usize::try_from(output.metadata().unwrap().len()).unwrap()];
    output.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands around a finding, for whoever looks for its origin.
fn around(bytes: &[u8], place: usize) -> String {
    let begin = place.saturating_sub(48);
    let end = (place + 80).min(bytes.len());
    bytes[begin..end].escape_ascii().to_string()
}
