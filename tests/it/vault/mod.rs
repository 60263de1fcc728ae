//! A vault in a folder of its own, used through the program as a person would use it.

pub mod examine;
pub mod picture;
pub mod random;
pub mod reader;
pub mod rule;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use age::secrecy::ExposeSecret as _;
use serde_json::Value;
use strongroom::postgres::Session;
use tempfile::TempDir;

use crate::support::{self, TestDatabase};

/// The environment variable that holds the database to restore into.
const TARGET: &str = "STRONGROOM_TEST_TARGET";

/// A vault with everything that belongs to it: configuration, catalog, master secret, custodian,
/// maps, store, identity. All paths in it are relative, so that a copy of the folder is a vault too.
pub struct World {
    folder: TempDir,
}

/// How a command ended.
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its JSON document, if it printed one.
    pub document: Option<Value>,
    /// What it said besides.
    pub said: String,
}

impl Ran {
    /// What a process left.
    pub fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            signal: output.status.signal(),
            document: serde_json::from_slice(&output.stdout).ok(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything that it said, for a failing test's message.
    pub fn all(&self) -> String {
        let document = self.document.as_ref().map(|one| format!("{one:#}")).unwrap_or_default();
        format!("code {:?}, signal {:?}\n{document}\n{}", self.code, self.signal, self.said)
    }

    /// The error's code in the document, `refused` and so on.
    pub fn error_code(&self) -> String {
        let code = self.document.as_ref().and_then(|one| one.pointer("/error/code"));
        code.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The error's sentence.
    pub fn error_message(&self) -> String {
        let message = self.document.as_ref().and_then(|one| one.pointer("/error/message"));
        message.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl World {
    /// A folder with an identity and nothing else.
    pub fn empty() -> Self {
        support::prepare::prepared();
        let folder = tempfile::Builder::new().prefix("strongroom-world-").tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        fs::write(folder.path().join("identity"), identity.to_string().expose_secret()).unwrap();
        fs::write(folder.path().join("recipient"), identity.to_public().to_string()).unwrap();
        fs::create_dir(folder.path().join("spill")).unwrap();
        Self { folder }
    }

    /// A new vault.
    pub fn new() -> Self {
        let world = Self::empty();
        let ran = world.init();
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        world.settle_configuration();
        world
    }

    /// A new vault with one source, `main`, at this database.
    pub fn with_source(database: &TestDatabase) -> Self {
        let world = Self::new();
        world.ok(&["source", "add", "main", "--url", &database.url]);
        world
    }

    /// Runs `init`.
    pub fn init(&self) -> Ran {
        finished(self.init_command())
    }

    pub fn init_command(&self) -> Command {
        let recipient = fs::read_to_string(self.path().join("recipient")).unwrap();
        let store = self.path().join("store").display().to_string();
        self.command(&["init", "--store", &store, "--recipient", &recipient])
    }

    /// Makes the configuration portable, and rows spill into the world's own folder.
    pub fn settle_configuration(&self) {
        let file = self.path().join("strongroom.toml");
        let text = fs::read_to_string(&file).unwrap();
        let store = self.path().join("store").display().to_string();
        assert!(text.contains(&store));
        let text = text
            .replace(&store, "store")
            .replace("# spill = ", "spill = \"spill\" # ")
            .replace("memory_mib = 128", "memory_mib = 16")
            .replace("jobs = 4", "jobs = 1");
        fs::write(file, text).unwrap();
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A vault that is this one's twin in all its files.
    pub fn copy(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("strongroom-world-").tempdir().unwrap();
        copy_folder(self.path(), folder.path());
        Self { folder }
    }

    /// A vault that another version made, copied from `tests/fixtures`.
    pub fn of_fixture(name: &str) -> Self {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folder = tempfile::Builder::new().prefix("strongroom-world-").tempdir().unwrap();
        copy_folder(&fixtures.join(name), folder.path());
        fs::create_dir(folder.path().join("spill")).unwrap();
        Self { folder }
    }

    /// A vault that is a folder's twin in all its files.
    #[allow(dead_code, reason = "the tables of `steps` use it")]
    pub fn of_image(from: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("strongroom-world-").tempdir().unwrap();
        copy_folder(from, folder.path());
        Self { folder }
    }

    /// Puts one part (a file or folder) back from another copy of this vault.
    pub fn put_back(&self, part: &str, from: &Self) {
        let (old, here) = (from.path().join(part), self.path().join(part));
        if here.is_dir() {
            fs::remove_dir_all(&here).unwrap();
        } else if here.exists() {
            fs::remove_file(&here).unwrap();
        }
        if old.is_dir() {
            copy_folder(&old, &here);
        } else if old.exists() {
            fs::copy(old, here).unwrap();
        }
    }

    /// Puts the whole catalog back, write-ahead files included.
    pub fn put_back_catalog(&self, from: &Self) {
        for part in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
            self.put_back(part, from);
        }
    }

    /// A connection to the catalog behind the program's back.
    pub fn catalog(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("catalog.sqlite")).unwrap()
    }

    /// The program with these arguments, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .args(arguments)
            .arg("--json")
            .arg("--config")
            .arg(self.path().join("strongroom.toml"))
            .arg("--identity")
            .arg(self.path().join("identity"))
            .env_remove("STRONGROOM_STEP_LOG")
            .env_remove("STRONGROOM_CRASH_AT")
            .env_remove("STRONGROOM_FAIL_AT")
            .env_remove("STRONGROOM_WAIT_AT")
            .env_remove("STRONGROOM_PANIC_AT")
            .env_remove("STRONGROOM_EXAMINED")
            .env_remove("STRONGROOM_PASSPHRASE_FILE")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finished(self.command(arguments))
    }

    /// Runs the program, which must succeed; its JSON document.
    pub fn ok(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.all());
        ran.document.unwrap()
    }

    /// Runs the program, which must end with this exit code.
    pub fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.all());
        ran
    }

    /// Restores into this database with further arguments.
    pub fn restore(&self, backup: &str, to: &TestDatabase, arguments: &[&str]) -> Ran {
        let target = format!("env:{TARGET}");
        let mut all = vec!["restore", backup, "--to", target.as_str()];
        all.extend(arguments);
        let mut command = self.command(&all);
        command.env(TARGET, &to.url);
        finished(command)
    }

    /// Restores a backup into a database that the program creates.
    pub fn restored(&self, backup: &str, arguments: &[&str]) -> (TestDatabase, Value) {
        let database = uncreated_database();
        let ran = self.restore(backup, &database, &[&["--create"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        (database, ran.document.unwrap())
    }

    /// Erases a person; the report.
    pub fn erase(&self, class: Option<&str>, subject: &str) -> Value {
        self.ok(&erase_arguments(class, subject))
    }

    /// Writes the map with these flags and with every flag that is offered for what stays open;
    /// all flags together.
    pub fn map(&self, flags: &[&str]) -> Vec<String> {
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for _ in 0..100 {
            let mut arguments = vec!["map", "main"];
            arguments.extend(flags.iter().map(String::as_str));
            let ran = self.run(&arguments);
            let document = ran.document.as_ref().unwrap_or_else(|| panic!("{}", ran.all()));
            let undecided = document["undecided"].as_array().unwrap_or_else(|| {
                panic!("{}", ran.all());
            });
            let Some(one) = undecided.iter().find(|one| one["flags"][0].is_string()) else {
                assert!(undecided.is_empty(), "{}", ran.all());
                arguments.push("--write");
                self.ok(&arguments);
                return flags;
            };
            flags.extend(shell_words(one["flags"][0].as_str().unwrap()));
        }
        panic!("the map is never complete: {flags:?}");
    }

    /// The saved map's text.
    pub fn map_text(&self) -> String {
        fs::read_to_string(self.path().join("maps/main.toml")).unwrap()
    }

    /// The custodians' folders: `custodian` and whatever begins so.
    pub fn custodians(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_one = |path: &PathBuf| {
            path.is_dir() && path.file_name().unwrap().to_str().unwrap().starts_with("custodian")
        };
        let mut folders: Vec<_> = entries.filter(is_one).collect();
        folders.sort();
        folders
    }

    /// The epoch secrets, or shares of them, that the custodians hold. A secret whose file was never
    /// finished is none: nothing was wrapped under it.
    pub fn epoch_secrets(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            self.custodians().iter().flat_map(|folder| files_below(folder)).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "secret"));
        files
    }

    /// Shares the epoch secret among so many custodians, any `threshold` of which make it.
    pub fn share_among(&self, custodians: u8, threshold: u8) {
        for number in 2..=custodians {
            let name = format!("custodian-{number}");
            let mut arguments = vec!["custody", "add", &name, "--folder", &name];
            let threshold = threshold.min(number).to_string();
            arguments.extend(["--threshold", &threshold]);
            self.ok(&arguments);
        }
        assert_eq!(self.custodians().len(), usize::from(custodians));
    }

    /// Prints the recovery kit to `kit.txt`, once.
    pub fn print_kit(&self) {
        if !self.path().join("kit.txt").exists() {
            self.ok(&["kit", "print", "--output", "kit.txt"]);
        }
    }

    /// What `recover` makes on an empty machine of copies of the store and the custodians, with the
    /// kit that was printed.
    #[allow(dead_code, reason = "the tables of `steps` use it")]
    pub fn recover(&self, arguments: &[&str]) -> (Self, Ran) {
        let empty = self.emptied();
        let folders = empty.custodians();
        let folders = folders.iter().map(|folder| folder.display().to_string());
        let custodians: Vec<_> =
            folders.flat_map(|folder| ["--custodian".to_owned(), folder]).collect();
        let ran = empty.run_recover(&custodians, arguments);
        if ran.code == Some(0) {
            empty.settle_configuration();
        }
        (empty, ran)
    }

    /// A machine that has nothing of the vault, but copies of the store, the custodians and the kit
    /// at hand.
    pub fn emptied(&self) -> Self {
        let empty = Self::empty();
        for part in ["identity", "recipient", "kit.txt", "store"] {
            empty.put_back(part, self);
        }
        for folder in self.custodians() {
            empty.put_back(folder.file_name().unwrap().to_str().unwrap(), self);
        }
        empty
    }

    /// Runs `recover` here, with these arguments for custodians and others.
    pub fn run_recover(&self, custodians: &[String], arguments: &[&str]) -> Ran {
        let recipient = fs::read_to_string(self.path().join("recipient")).unwrap();
        let store = self.path().join("store").display().to_string();
        let mut all = vec!["recover", "--store", &store, "--kit", "kit.txt"];
        all.extend(["--recipient", &recipient]);
        all.extend(custodians.iter().map(String::as_str));
        all.extend(arguments);
        self.run(&all)
    }

    /// All backups of the list, the newest first.
    pub fn backups(&self) -> Vec<String> {
        let list = self.ok(&["list"]);
        let ids = list["backups"].as_array().unwrap();
        ids.iter().map(|one| one["backup"].as_str().unwrap().to_owned()).collect()
    }
}

/// Runs a command to its end.
pub fn finished(mut command: Command) -> Ran {
    Ran::new(&command.output().unwrap())
}

/// The arguments of an erasure.
pub fn erase_arguments<'a>(class: Option<&'a str>, subject: &'a str) -> Vec<&'a str> {
    let mut arguments =
        vec!["erase", "--source", "main", "--subject", subject, "--reason", "case 7", "--yes"];
    if let Some(class) = class {
        arguments.extend(["--class", class]);
    }
    arguments
}

/// A database's name and URL before it exists; dropped like any other.
pub fn uncreated_database() -> TestDatabase {
    let database = support::database();
    support::cluster().drop_database(&database.name).unwrap();
    database
}

/// A database that holds what this one holds. Nobody may be connected to it.
pub async fn twin(of: &TestDatabase) -> TestDatabase {
    let database = uncreated_database();
    let maintenance = of.settings().with_database("postgres");
    let session = Session::connect(&maintenance).await.unwrap();
    let statement = format!("CREATE DATABASE {} TEMPLATE {}", database.name, of.name);
    for _ in 0..100 {
        match session.batch("a twin", &statement).await {
            Ok(()) => return database,
            // Who has just closed a connection may still be leaving.
            Err(error) if error.sqlstate() == Some("55006") => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("somebody is still connected to {}", of.name);
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Splits a line as a shell does, as far as single quotes and backslashes before them go.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => quoted = !quoted,
            '\\' if !quoted => word.extend(characters.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}
