//! A folder of its own in which the real program runs, and a transcript of what was typed there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use age::secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::prepare::prepared;
use crate::support::redact;
use crate::support::{PASSWORD, TestDatabase, cluster, database};

/// What must never be printed: the server's password in its two forms, the passphrases, and what
/// is in the fixture's rows.
pub const CANARIES: &[&str] =
    &[PASSWORD, "only%20for%20tests", "sparrow", "correct horse battery staple", "AGE-SECRET-KEY-"];

/// A database of people: what a small application has.
pub const FINANCE: &str = include_str!("finance.sql");

/// The flags that decide what foreign keys leave open in [`FINANCE`].
pub const DECIDED: &str = "--root public.users --owner notes=author --owner referrals=referrer_id \
                           --shared currencies";

/// A folder with one vault at most.
pub struct Sandbox {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
    transcript: RefCell<String>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty folder with an identity in `identity.txt`, whose recipient is `$RECIPIENT`.
    pub fn new() -> Self {
        prepared();
        let folder = tempfile::Builder::new().prefix("strongroom-test-").tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let text = identity.to_string();
        fs::write(folder.path().join("identity.txt"), text.expose_secret()).unwrap();
        let mut sandbox =
            Self { folder, environment: BTreeMap::new(), transcript: RefCell::default() };
        sandbox.set("RECIPIENT", &identity.to_public().to_string());
        sandbox
    }

    /// A sandbox whose vault opens with `identity.txt`, not in the transcript.
    pub fn with_vault() -> Self {
        let sandbox = Self::new();
        let line = "strongroom init --store backups --recipient $RECIPIENT --identity identity.txt";
        sandbox.quietly(line).done();
        sandbox.one_connection();
        sandbox
    }

    /// Lets backups read through one connection, so that their packs are the same in every run.
    pub fn one_connection(&self) {
        let file = self.path("strongroom.toml");
        let config = fs::read_to_string(&file).unwrap();
        fs::write(file, config.replace("jobs = 4", "jobs = 1")).unwrap();
    }

    /// A sandbox with a vault, the database [`FINANCE`] as source `finance`, and its map.
    pub fn with_source() -> (Self, TestDatabase) {
        let mut sandbox = Self::with_vault();
        let database = finance();
        sandbox.set("FINANCE_URL", &database.url);
        sandbox.quietly("strongroom source add finance --url env:FINANCE_URL").done();
        sandbox.quietly(&format!("strongroom map finance {DECIDED} --write")).done();
        (sandbox, database)
    }

    /// The same with one backup.
    pub fn with_backup() -> (Self, TestDatabase) {
        let (sandbox, database) = Self::with_source();
        sandbox.quietly("strongroom backup finance").done();
        (sandbox, database)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable of the program's environment and of the command lines.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// The command, ready to be started: nothing of this process's environment but `PATH`.
    pub fn command(&self, words: &[String]) -> Command {
        assert_eq!(words[0], "strongroom");
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin")))
            .env("HOME", self.folder.path())
            .env("COLUMNS", "80")
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A line as its words: double quotes keep spaces, `$NAME` is a variable that was set.
    pub fn words(&self, line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for character in line.chars().chain([' ']) {
            match character {
                '"' => quoted = !quoted,
                ' ' if !quoted && !word.is_empty() => words.push(std::mem::take(&mut word)),
                ' ' if !quoted => {}
                other => word.push(other),
            }
        }
        for word in &mut words {
            // The longest name first, lest `$AB` be read as `$A`.
            for (name, value) in self.environment.iter().rev() {
                *word = word.replace(&format!("${name}"), value);
            }
        }
        words
    }

    /// Runs a line and writes it and what it printed into the transcript.
    pub fn run(&self, line: &str) -> Ended {
        let ended = self.quietly(line);
        self.write(&format!("$ {line}\n{}\n", ended.told()));
        ended
    }

    /// Runs a line, out of the transcript.
    pub fn quietly(&self, line: &str) -> Ended {
        Ended::new(line, self.command(&self.words(line)).output().unwrap())
    }

    /// Runs a line that must fail as every failure does: one sentence, one hint, the exit code.
    pub fn fails(&self, line: &str, exit: i32) -> Ended {
        self.run(line).failed(exit)
    }

    /// Writes a remark into the transcript.
    pub fn remark(&self, text: &str) {
        self.write(&format!("# {text}\n\n"));
    }

    /// Puts what was printed into the transcript.
    pub fn show(&self, text: &str) {
        self.write(text);
        self.write("\n");
    }

    fn write(&self, text: &str) {
        self.transcript.borrow_mut().push_str(text);
    }

    /// The transcript with everything replaced that differs from run to run.
    pub fn transcript(&self) -> String {
        let mut text = self.transcript.borrow().clone();
        for (name, value) in &self.environment {
            if name == "RECIPIENT" {
                text = text.replace(value, &format!("${name}"));
            }
        }
        redact::stable(&text, self.folder.path())
    }

    /// The entries of the audit log, the oldest first: action, object, outcome, detail.
    pub fn audit(&self) -> Vec<[String; 4]> {
        let document = self.quietly("strongroom audit list --json").json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entries = document["entries"].as_array().unwrap();
        let mut entries: Vec<_> = entries
            .iter()
            .map(|one| ["action", "object", "outcome", "detail"].map(|field| text(&one[field])))
            .collect();
        // The reading itself.
        entries.pop();
        entries
    }

    /// Requires that the last access on record is this one, with this end.
    pub fn last_access(&self, action: &str, outcome: &str, detail: &str) {
        let entries = self.audit();
        let last = entries.iter().rev().find(|entry| entry[0] != "audit-list").unwrap();
        let [found, _, ended, facts] = last;
        assert_eq!((found.as_str(), ended.as_str()), (action, outcome), "{entries:#?}");
        assert!(facts.contains(detail), "{facts}");
    }

    /// Requires that every backup is whole and the log unbroken.
    pub fn nothing_lost(&self) {
        let verified = self.quietly("strongroom verify --all").done();
        assert!(!verified.stdout.contains("DAMAGED"));
        self.quietly("strongroom audit verify").done();
    }

    /// The only backup's id, or the newest's.
    pub fn backup(&self) -> String {
        let list = self.quietly("strongroom list --json").json();
        list["backups"][0]["backup"].as_str().unwrap().to_owned()
    }

    /// The store's objects below a folder, ordered.
    pub fn objects(&self, below: &str) -> Vec<PathBuf> {
        files(&self.path("backups").join(below))
    }

    /// Lets every file of the folder pass that may hold what was printed or written.
    pub fn no_canary_on_disk(&self) {
        for file in files(self.folder.path()) {
            if file.ends_with("identity.txt") || file.ends_with("passphrase") {
                continue;
            }
            let bytes = fs::read(&file).unwrap();
            for canary in CANARIES {
                let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!found, "{} holds {canary}", file.display());
            }
        }
    }
}

/// All files below a folder, ordered.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A database with [`FINANCE`] in it.
pub fn finance() -> TestDatabase {
    let database = database();
    sql(&database, FINANCE);
    database
}

/// Runs statements as the superuser.
pub fn sql(database: &TestDatabase, statements: &str) {
    runtime().block_on(async {
        database.session().await.batch("a test's statements", statements).await.unwrap();
    });
}

/// The first column of a query's rows, as text.
pub fn rows(database: &TestDatabase, query: &str) -> Vec<String> {
    runtime().block_on(async {
        let rows = database.session().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect()
    })
}

/// The database of that name on the shared server, for one that the program created. It is dropped
/// with the value.
pub fn existing(name: &str) -> TestDatabase {
    TestDatabase { name: name.to_owned(), url: cluster().url(name) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub line: String,
    pub stdout: String,
    pub stderr: String,
    pub exit: i32,
}

impl Ended {
    /// Whatever it was: no canary is in it, and no terminal is commanded by it.
    pub fn new(line: &str, output: Output) -> Self {
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        for canary in CANARIES {
            assert!(!stdout.contains(canary), "{line} printed {canary}:\n{stdout}");
            assert!(!stderr.contains(canary), "{line} printed {canary}:\n{stderr}");
        }
        for text in [&stdout, &stderr] {
            let control = text.chars().find(|c| c.is_control() && *c != '\n');
            // Completion scripts are for shells; some have tabs.
            assert!(control.is_none_or(|c| c == '\t'), "{line}: {control:?}");
        }
        let exit = output.status.code().unwrap_or(-1);
        Self { line: line.to_owned(), stdout, stderr, exit }
    }

    /// What the transcript shows.
    pub fn told(&self) -> String {
        let exit = if self.exit == 0 { String::new() } else { format!("[exit {}]\n", self.exit) };
        format!("{}{}{exit}", self.stdout, self.stderr)
    }

    /// Requires success.
    #[track_caller]
    pub fn done(self) -> Self {
        self.ended(0)
    }

    /// Requires an exit code.
    #[track_caller]
    pub fn ended(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{}\n{}{}", self.line, self.stdout, self.stderr);
        self
    }

    /// Requires a failure with its one sentence and one hint, and nothing else.
    #[track_caller]
    pub fn failed(self, exit: i32) -> Self {
        let ended = self.ended(exit);
        let lines: Vec<_> = ended.stderr.lines().collect();
        let errors: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("error: ")).collect();
        let hints = lines.iter().filter(|line| line.starts_with("hint: ")).count();
        assert_eq!((errors.len(), hints), (1, 1), "{}\n{}", ended.line, ended.stderr);
        let sentence = errors[0];
        assert!(!sentence.ends_with('.') && !sentence.is_empty(), "{sentence}");
        // What a `{:?}` leaves in a message.
        for debug in ["Some(", "Error {", "Os {", "kind: ", "\\\""] {
            assert!(!ended.stderr.contains(debug), "{}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "{}", ended.line);
        ended
    }

    /// Standard output as exactly one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => document,
            Err(error) => panic!("{}: {error}\n{}{}", self.line, self.stdout, self.stderr),
        }
    }
}
