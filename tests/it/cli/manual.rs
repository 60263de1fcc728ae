//! Every command that README and docs show: all are taken as written, and the README's are run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom::cli::args;

use crate::support::database;
use crate::support::sandbox::{Sandbox, existing, sql};

/// A database such as the README supposes: its first `map` leaves open what the second decides.
const README_DATABASE: &str = "
    SET search_path = public;
    CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
    CREATE TABLE accounts (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
    CREATE TABLE notes (id bigint PRIMARY KEY, author_id bigint NOT NULL REFERENCES users,
                        about_id bigint REFERENCES users, text text);
    CREATE TABLE currencies (code text PRIMARY KEY, digits integer);
    INSERT INTO users SELECT id, id || '@example.org' FROM generate_series(48210, 48220) AS id;
    INSERT INTO accounts SELECT id, id FROM users;
    INSERT INTO notes SELECT id, id, NULL, 'note' FROM users;
    INSERT INTO currencies VALUES ('EUR', 2);";

/// A document's command lines with the numbers of their lines: indented by four, or in a fence. Lines
/// that end in a backslash go on.
fn command_lines(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced, mut open): (Vec<(usize, String)>, bool, bool) = Default::default();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced && !line.starts_with("    ") && !open {
            continue;
        }
        let line = line.trim();
        let goes_on = line.ends_with('\\');
        let line = line.trim_end_matches('\\').trim();
        match found.last_mut().filter(|_| open) {
            Some((_, begun)) => *begun = format!("{begun} {line}"),
            None => found.push((number, line.to_owned())),
        }
        open = goes_on;
    }
    found
}

/// The part of a line that is `strongroom`'s: no comment, and only up to the next command.
fn of_strongroom(line: &str) -> Option<&str> {
    let begin = line.strip_prefix("strongroom ").map(|_| 0).or_else(|| {
        let at = line.find("/usr/local/bin/strongroom ")?;
        Some(at + "/usr/local/bin/".len())
    })?;
    let line = &line[begin..];
    let ends = [" #", " | ", " > ", "; ", " && "];
    let end = ends.iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
    Some(line[..end].trim())
}

/// The words of a command line: double and single quotes keep what is between them together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote): (Vec<String>, String, Option<char>) = Default::default();
    for letter in line.chars().chain([' ']) {
        match (letter, quote) {
            (mark, Some(open)) if mark == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            (other, _) => word.push(other),
        }
    }
    words
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let mut all: Vec<_> = docs.filter(is_page).chain([root.join("README.md")]).collect();
    all.sort();
    all
}

#[test]
fn every_command_of_the_documents_is_taken_as_written() {
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let name = document.file_name().unwrap().to_string_lossy().into_owned();
        let blocks = command_lines(&text);
        // In running text a command stands for its name; the table of habits has them whole.
        let whole = if name == "habits.md" { text.as_str() } else { "" };
        let inline = (1..).zip(whole.lines()).flat_map(|(number, line)| {
            let spans = line.split('`').skip(1).step_by(2);
            spans.map(move |span| (number, span.to_owned())).collect::<Vec<_>>()
        });
        for (number, line) in blocks.into_iter().chain(inline) {
            let Some(command) = of_strongroom(&line) else { continue };
            // Ways of writing that stand for several commands, and names of none.
            // Variables of a script, in which a backup's id is; and labels of the format's keys.
            let command = command.replace("$BACKUP", "20261122T020000Z-3fa9c1");
            if name == "format.md" || command.ends_with(" v1") {
                continue;
            }
            let plain = command.replace("age1…", "age1");
            let is_sketch = ["|", "...", "[", "…"].iter().any(|mark| plain.contains(mark));
            let is_name = command.split(' ').count() < 3 && name == "habits.md";
            if is_sketch || is_name {
                continue;
            }
            let words: Vec<OsString> = words(&command).into_iter().map(OsString::from).collect();
            if let Err(error) = args::parse(words) {
                panic!("{name}, line {number}: `{command}`: {error}");
            }
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} commands were found");
}

#[test]
fn the_readmes_five_minutes_are_run_as_written() {
    let mut sandbox = Sandbox::new();
    let database = database();
    sql(&database, README_DATABASE);
    let copy = existing(&format!("{}_copy", database.name));
    fs::write(sandbox.path("passphrase"), "correct horse battery staple\n").unwrap();
    sandbox.set("STRONGROOM_PASSPHRASE_FILE", "passphrase");
    let recipient = sandbox.words("$RECIPIENT").remove(0);
    let replaced = [
        ("/mnt/backups", sandbox.path("backups").display().to_string()),
        ("/media/custodian/strongroom", sandbox.path("custodian").display().to_string()),
        ("age1…", recipient),
        ("postgresql://strongroom@db.example/finance", database.url.clone()),
        ("postgresql://postgres@localhost/finance_copy", copy.url.clone()),
    ];
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = text.split("## Five minutes").nth(1).unwrap().split("\n## ").next().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_strongroom")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let (mut ran, mut exported) = (0, Vec::new());
    for (number, line) in command_lines(section) {
        let mut line = line;
        for (shown, real) in &replaced {
            line = line.replace(shown, real);
        }
        if let Some(variable) = line.strip_prefix("export ") {
            let (name, value) = variable.split_once('=').unwrap();
            exported.push((name.to_owned(), value.to_owned()));
            continue;
        }
        // Where a person would type what is asked for.
        if line.starts_with("strongroom erase") && !line.contains("--dry-run") {
            line.push_str(" --yes");
        }
        let output = Command::new("sh")
            .args(["-ec", &line])
            .current_dir(sandbox.path("."))
            .env("PATH", &path)
            .env("HOME", sandbox.path("."))
            .env("STRONGROOM_PASSPHRASE_FILE", sandbox.path("passphrase"))
            .envs(exported.iter().cloned())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        // The first `map` asks: that is its end.
        let asks = line.starts_with("strongroom map") && !line.contains("--write");
        let expected = if asks { Some(4) } else { Some(0) };
        assert_eq!(output.status.code(), expected, "README, {number}: {line}\n{out}{told}");
        ran += 1;
    }
    assert!(ran >= 13, "only {ran} commands were found");
}
