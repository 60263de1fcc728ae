//! strongroom as an operator uses it: the release program, a vault that opens with an age identity,
//! a directory as its store, a file custodian.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret as _;

use crate::measure::{self, Cost, bytes_below, files_below};
use crate::server::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_strongroom");
pub const SOURCE: &str = "ledger";

/// What is run, for whoever wants to do it by hand.
pub const LINES: &[(&str, &str)] = &[
    ("a vault", "strongroom init --store store --recipient $RECIPIENT"),
    ("its source", "strongroom source add ledger --url env:SOURCE_URL"),
    ("its map", "strongroom map ledger --root public.users --shared public.categories --write"),
    ("backup", "strongroom backup ledger --jobs $JOBS"),
    ("restore", "strongroom restore latest --to env:TARGET_URL --create --jobs $JOBS"),
    (
        "export",
        "strongroom export --source ledger --subject $KEY --recipient $RECIPIENT --output $FILE",
    ),
    ("erase", "strongroom erase --source ledger --subject $KEY --reason 2026-118 --yes"),
];

/// A vault in a folder of its own with one source.
pub struct Vault<'a> {
    folder: PathBuf,
    server: &'a Server,
    jobs: u16,
    recipient: String,
    source_url: String,
}

/// Every file of the store and the catalog, with its length.
type Files = BTreeMap<PathBuf, u64>;

impl<'a> Vault<'a> {
    /// Begins a vault for a database. What it takes is not measured.
    pub fn begin(folder: PathBuf, server: &'a Server, database: &str, jobs: u16) -> Self {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let identity = age::x25519::Identity::generate();
        std::fs::write(folder.join("identity"), identity.to_string().expose_secret()).unwrap();
        let recipient = identity.to_public().to_string();
        let source_url = format!("postgresql:///{database}");
        let vault = Self { folder, server, jobs, recipient, source_url };
        let store = vault.folder.join("store").display().to_string();
        vault.do_it(&["init", "--store", &store, "--recipient", &vault.recipient]);
        vault.do_it(&["source", "add", SOURCE, "--url", "env:SOURCE_URL"]);
        let shared = ["--shared", "public.categories", "--write"];
        vault.do_it(&[&["map", SOURCE, "--root", "public.users"], &shared[..]].concat());
        vault
    }

    /// Backs up; the bytes are those that came to be in the store and the catalog.
    pub fn backup(&self, more: &[&str]) -> Cost {
        let before = self.files();
        let jobs = self.jobs.to_string();
        let mut cost = self.measured(&[&["backup", SOURCE, "--jobs", &jobs], more].concat());
        cost.bytes = written(&before, &self.files());
        cost
    }

    pub fn restore(&self, database: &str) -> Cost {
        let jobs = self.jobs.to_string();
        let to = ["restore", "latest", "--to", "env:TARGET_URL", "--create", "--jobs", &jobs];
        let mut command = self.command(&to);
        command.env("TARGET_URL", format!("postgresql:///{database}"));
        self.run(&mut command)
    }

    /// Exports one person from the newest backup; the bytes are those of the file.
    pub fn export(&self, key: &str) -> Cost {
        let file = self.folder.join("export");
        let _ = std::fs::remove_file(&file);
        let output = file.display().to_string();
        let whom = ["export", "--source", SOURCE, "--subject", key];
        let mut cost = self.measured(
            &[&whom[..], &["--recipient", &self.recipient, "--output", &output]].concat(),
        );
        cost.bytes = bytes_below(&file);
        cost
    }

    pub fn erase(&self, key: &str) -> Cost {
        let whom = ["erase", "--source", SOURCE, "--subject", key];
        self.measured(&[&whom[..], &["--reason", "2026-118", "--yes"]].concat())
    }

    /// All bytes that are stored: packs, indexes, manifests, schemas, the catalog and its replica.
    pub fn bytes(&self) -> u64 {
        self.files().values().sum()
    }

    /// The same by kind: the store's folders, and the catalog.
    pub fn bytes_by_kind(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for (path, length) in self.files() {
            let path = path.strip_prefix(&self.folder).unwrap();
            let mut parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            // `packs`, `catalog`; but the files of a backup by their own names.
            let kind = if parts[0] != "store" {
                "the catalog".to_owned()
            } else if parts[1] == "catalog" {
                "the catalog's replica".to_owned()
            } else if parts[1] == "backups" {
                parts.pop().unwrap().into_owned()
            } else {
                parts[1].clone().into_owned()
            };
            *kinds.entry(kind).or_default() += length;
        }
        kinds
    }

    fn files(&self) -> Files {
        let catalog = ["catalog.sqlite", "catalog.sqlite-wal", "store"];
        catalog.iter().flat_map(|part| files_below(&self.folder.join(part))).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.server.reached_by(&mut command);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("strongroom.toml"))
            .arg("--identity")
            .arg(self.folder.join("identity"))
            .env("SOURCE_URL", &self.source_url)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn measured(&self, arguments: &[&str]) -> Cost {
        self.run(&mut self.command(arguments))
    }

    fn run(&self, command: &mut Command) -> Cost {
        measure::run(command, self.server, &self.folder).unwrap()
    }

    fn do_it(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "strongroom {arguments:?}: {said}");
    }
}

/// Whether this version has a command, or a command this flag.
pub fn has(command: &str, flag: Option<&str>) -> bool {
    let help = Command::new(PROGRAM).args([command, "--help"]).output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout);
    let words: BTreeSet<_> = text.split_whitespace().collect();
    help.status.success() && flag.is_none_or(|flag| words.contains(flag))
}

/// What was written between two looks: new files, and what old ones grew by.
fn written(before: &Files, after: &Files) -> u64 {
    after.iter().map(|(path, length)| length.saturating_sub(*before.get(path).unwrap_or(&0))).sum()
}

/// Where the vaults of a measurement lie.
pub fn folder(work: &Path, name: &str) -> PathBuf {
    work.join(format!("vault-{name}"))
}
