//! `pg_dump`: the schema of a database at a snapshot.

use std::process::Stdio;

use tokio::process::Command;

use super::{Tools, not_run};
use crate::postgres::connect::locks::milliseconds;
use crate::postgres::connect::session::SnapshotId;
use crate::postgres::connect::url::ConnectionSettings;
use crate::postgres::error::PostgresError;

/// What `pg_dump` wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// The archive.
    pub archive: Vec<u8>,
    /// What it warned of, a sentence each.
    pub warnings: Vec<String>,
}

/// The schema as an archive in `pg_dump`'s custom format, without any row. Held in memory: it is as
/// large as the DDL.
///
/// The tool is killed when the future is dropped. Nothing that it prints is a row's value: it reads
/// no rows.
pub async fn dump_schema(
    tools: &Tools,
    settings: &ConnectionSettings,
    snapshot: &SnapshotId,
) -> Result<Dumped, PostgresError> {
    let mut command = Command::new(tools.folder().join("pg_dump"));
    settings.apply_to(&mut command);
    command
        .env("LC_ALL", "C")
        // Compressed by whoever stores it, and the same schema is then the same bytes for longer.
        .args(["--schema-only", "--format=custom", "--compress=0", "--no-password"])
        .arg(format!("--snapshot={}", snapshot.as_str()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if tools.major() >= 18 {
        command.arg("--no-statistics");
    }
    if let Some(wait) = settings.lock_wait {
        command.arg(format!("--lock-wait-timeout={}", milliseconds(wait)));
    }
    let output = command.output().await.map_err(|error| not_run("pg_dump", &error))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(Dumped { warnings: warnings(&printed), archive: output.stdout });
    }
    // It bounds its locks by the statement's time, and nothing else.
    if settings.lock_wait.is_some() && printed.contains("due to statement timeout") {
        return Err(PostgresError::LockNotHad { who: "pg_dump".to_owned() });
    }
    Err(PostgresError::ToolFailed { tool: "pg_dump".to_owned(), reason: errors(&printed) })
}

/// The warnings, each with the details that belong to it. Hints are about flags of `pg_dump`.
fn warnings(printed: &str) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    let mut is_in_warning = false;
    for line in printed.lines() {
        let said = line.strip_prefix("pg_dump: ").unwrap_or(line).trim();
        if let Some(warning) = said.strip_prefix("warning: ") {
            warnings.push(warning.to_owned());
            is_in_warning = true;
        } else if let (Some(last), true) = (warnings.last_mut(), said.starts_with("detail: ")) {
            if is_in_warning {
                last.push_str("; ");
                last.push_str(said.trim_start_matches("detail: "));
            }
        } else {
            is_in_warning = false;
        }
    }
    warnings
}

/// The lines that say what failed, in one.
fn errors(printed: &str) -> String {
    const LINES: usize = 4;
    let lines: Vec<&str> = printed
        .lines()
        .map(|line| line.strip_prefix("pg_dump: ").unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !line.starts_with("warning:"))
        // Its own query over the system's tables says nothing to whoever runs a backup.
        .take_while(|line| !line.starts_with("detail: Query was:"))
        .take(LINES)
        .collect();
    let said = lines.join("; ").replace(".;", ";");
    match said.trim_end_matches('.') {
        "" => "it said nothing".to_owned(),
        said => said.strip_prefix("error: ").unwrap_or(said).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_warning_is_kept_with_its_details() {
        let printed = "pg_dump: warning: subscriptions not dumped\npg_dump: warning: circular keys:\n\
            pg_dump: detail: categories\npg_dump: hint: Use a flag.\npg_dump: detail: x\n";
        assert_eq!(warnings(printed), ["subscriptions not dumped", "circular keys:; categories"]);
    }

    #[test]
    fn only_errors_are_reported() {
        let printed = "pg_dump: warning: w\npg_dump: error: no\npg_dump: detail: more\n\n";
        assert_eq!(errors(printed), "no; detail: more");
        let lost =
            "pg_dump: error: query failed: closed.\n\tBefore.\npg_dump: detail: Query was: S";
        assert_eq!(errors(lost), "query failed: closed; Before");
        assert_eq!(errors(""), "it said nothing");
    }
}
