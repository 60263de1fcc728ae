//! PostgreSQL's own client tools: where they are, and running them.
//!
//! They know PostgreSQL's DDL better than anything else ever will. They learn where to connect, and
//! the password, by their environment alone; what they print and what they are given stays in memory.

mod database;
mod dump;
mod restore;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub use database::{DatabaseStatement, DatabaseStatementKind, database_statements};
pub use dump::{Dumped, dump_schema};
pub use restore::{FailedStatement, RestoreOptions, Section, restore_section};

use super::error::PostgresError;

/// The environment variable that names the folders to look in, instead of all others.
pub const FOLDERS_VARIABLE: &str = "STRONGROOM_PG_BIN";

/// A folder with a `pg_dump` and a `pg_restore` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    folder: PathBuf,
    major: u32,
    version: String,
}

impl Tools {
    /// The oldest tools on this machine that are at least as new as the server: `pg_dump` refuses
    /// a server newer than itself, and what an older one writes more servers can read.
    pub fn find(server_major: u32) -> Result<Self, PostgresError> {
        let all = Self::all();
        let newest_found = all.last().map(|tools| tools.major);
        all.into_iter()
            .find(|tools| tools.major >= server_major)
            .ok_or(PostgresError::ToolsMissing { major: server_major, newest_found })
    }

    /// The newest tools on this machine: they read every archive that any of them wrote.
    pub fn newest(major_needed: u32) -> Result<Self, PostgresError> {
        Self::find(major_needed)?;
        Self::all()
            .pop()
            .ok_or(PostgresError::ToolsMissing { major: major_needed, newest_found: None })
    }

    /// All tools on this machine, the oldest first, one of each major version.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut by_major = BTreeMap::new();
        for folder in folders("pg_dump") {
            if let Some(tools) = Self::in_folder(&folder) {
                by_major.entry(tools.major).or_insert(tools);
            }
        }
        by_major.into_values().collect()
    }

    /// The tools in this folder, if both are there and tell their version.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Option<Self> {
        if !folder.join("pg_restore").is_file() {
            return None;
        }
        let output = std::process::Command::new(folder.join("pg_dump"))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let (major, version) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { folder: folder.to_owned(), major, version })
    }

    /// The major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The whole version, `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, also `18beta1` and `18devel`.
fn parse_version(printed: &str) -> Option<(u32, String)> {
    let version = printed.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version[..digits].parse().ok()?, version.to_owned()))
}

/// The folders in which a tool of this name is: those of `STRONGROOM_PG_BIN` alone if it is set,
/// else `PATH` and the places where packages put PostgreSQL, the newest version first.
#[must_use]
pub fn folders(tool: &str) -> Vec<PathBuf> {
    if let Some(given) = std::env::var_os(FOLDERS_VARIABLE).filter(|given| !given.is_empty()) {
        return std::env::split_paths(&given).filter(|folder| is_tool(folder, tool)).collect();
    }
    let mut found: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for (parent, before, after) in PACKAGE_FOLDERS {
        found.extend(versioned_folders(Path::new(parent), before, after));
    }
    found.extend(["/opt/homebrew/opt/libpq/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    found.retain(|folder| is_tool(folder, tool));
    found
}

/// Parent, what a folder's name begins with before the version, and where the tools are below it.
const PACKAGE_FOLDERS: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

fn versioned_folders(parent: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(before)?.parse().ok()?;
            Some((version, entry.path().join(after)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Debian's `/usr/bin/pg_dump` is a script that picks a version by itself: not a tool of a version.
fn is_tool(folder: &Path, tool: &str) -> bool {
    folder
        .join(tool)
        .canonicalize()
        .is_ok_and(|path| path.is_file() && !path.ends_with("pg_wrapper"))
}

fn not_run(tool: &str, error: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::ToolNotRun { tool: tool.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        for (printed, major) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15),
            ("pg_dump (PostgreSQL) 18beta1\n", 18),
            ("pg_dump (PostgreSQL) 13.2", 13),
        ] {
            assert_eq!(parse_version(printed).unwrap().0, major);
        }
        assert_eq!(parse_version("pg_dump 1"), None);
    }

    #[test]
    fn a_server_newer_than_all_tools_is_told_with_the_package_to_install() {
        let message = Tools::find(99).unwrap_err().to_string();
        assert!(message.contains("postgresql-client-99"), "{message}");
    }
}
