//! What the independent reader needs besides this project: a Python with its packages, and `age`.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Debian's packages of it.
const PACKAGES: [&str; 4] = ["python3", "python3-cryptography", "python3-zstandard", "age"];

/// A Python that can run the reader, on a machine that has `age`. Where something is missing,
/// Debian's packages are installed, never silently.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        find().unwrap_or_else(|missing| {
            install(&missing);
            find().unwrap_or_else(|missing| {
                panic!("the reader's test needs {missing}, which Debian's packages did not bring")
            })
        })
    })
}

/// Looks at every `python3` in `PATH`, and at the one that sees Debian's packages.
fn find() -> Result<PathBuf, String> {
    if in_path("age").is_empty() && in_path("rage").is_empty() {
        return Err("the tool `age`".to_owned());
    }
    let mut candidates = in_path("python3");
    candidates.push(PathBuf::from("/usr/bin/python3"));
    let imports = if in_path("zstd").is_empty() {
        "import cryptography, zstandard, sqlite3"
    } else {
        "import cryptography, sqlite3"
    };
    let can_import = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", imports]).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    candidates.into_iter().find(can_import).ok_or_else(|| {
        "a python3 with the package `cryptography`, and `zstandard` or the tool `zstd`".to_owned()
    })
}

fn in_path(tool: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let files = std::env::split_paths(&path).map(|folder| folder.join(tool));
    files.filter(|file| file.is_file()).collect()
}

#[allow(clippy::print_stderr, reason = "an installation is never silent")]
fn install(missing: &str) {
    let root = rustix::process::geteuid().is_root();
    let install = [&["install", "--yes", "--no-install-recommends"][..], &PACKAGES].concat();
    for arguments in [&["update"][..], &install] {
        let mut words = if root { vec![] } else { vec!["sudo", "-n"] };
        words.push("apt-get");
        words.extend(arguments);
        let line = words.join(" ");
        eprintln!("{missing} is not on this machine; running `{line}`");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let said = match command.output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let last = said.lines().last().unwrap_or("no reason given");
        panic!("the reader's test needs {missing}; `{line}` did not bring it: {last}");
    }
}
