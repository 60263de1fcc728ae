//! What the independent reader needs besides this project: a Python with its packages, and `age`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::prepare::{needed, prepared};

/// A Python that can run the reader, on a machine that has `age`. `tests/prepare` installs
/// what is missing.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        prepared();
        let found = find();
        let missing = found.as_ref().err().cloned().unwrap_or_default();
        needed(&missing, found.ok())
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
