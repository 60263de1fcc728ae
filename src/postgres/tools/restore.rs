//! `pg_restore`: the schema of an archive into a database, section by section.
//!
//! The archive and the list of its entries are files in memory (`memfd_create`), handed over as the
//! child's standard input and output, which `pg_restore` does not use otherwise when it writes to a
//! database; so they never touch a disk, and no other child can inherit them.
//!
//! `pg_restore` is not told to stop at the first error, because a newer one sets a parameter that an
//! older server does not know (`transaction_timeout`). That one refusal means nothing; any other
//! is reported, and what follows is restored all the same.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::process::Command;

use super::{Tools, not_run};
use crate::postgres::connect::url::ConnectionSettings;
use crate::postgres::error::PostgresError;

/// A part of the schema, as `pg_restore` divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Types, functions, tables: what must be there before rows are.
    PreData,
    /// Indexes, constraints, triggers, policies: what comes after the rows.
    PostData,
}

/// How to restore a section.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Everything belongs to the restoring role.
    pub no_owner: bool,
    /// No rights are granted.
    pub no_privileges: bool,
    /// How many connections make indexes at the same time; at least 1.
    pub jobs: usize,
    /// Entries to leave out: the catalog's oid and the object's oid in the source (a foreign key is
    /// `(2606, oid)`, a table `(1259, oid)`).
    pub skip: Vec<(u32, u32)>,
    /// Everything goes into the database's own tablespace.
    pub no_tablespaces: bool,
}

/// A statement that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStatement {
    /// Its beginning.
    pub statement: String,
    /// What the server said, without what may be a row's value.
    pub reason: String,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            no_owner: false,
            no_privileges: false,
            jobs: 1,
            skip: Vec::new(),
            no_tablespaces: false,
        }
    }
}

/// Restores one section of an archive that [`super::dump_schema`] made; the statements that the server refused.
/// The tool is killed when the future is dropped.
pub async fn restore_section(
    tools: &Tools,
    settings: &ConnectionSettings,
    archive: &[u8],
    section: Section,
    options: &RestoreOptions,
) -> Result<Vec<FailedStatement>, PostgresError> {
    let restore = Restore::new(tools, settings, archive, section)?;
    if options.jobs <= 1 && options.skip.is_empty() {
        return restore.run(options, None, 1).await;
    }
    let list = without(&restore.list().await?, &options.skip);
    // What comes before the data is done one by one in any case.
    if options.jobs <= 1 || section == Section::PreData {
        return restore.run(options, Some(&list), 1).await;
    }
    let (parallel, one_by_one) = split_parallel(&list);
    let mut failed = Vec::new();
    if !parallel.is_empty() {
        failed = restore.run(options, Some(parallel), options.jobs).await?;
    }
    failed.extend(restore.run(options, Some(one_by_one), 1).await?);
    Ok(failed)
}

/// Splits the list after the indexes and unique constraints that it begins with: the longest work,
/// and the part that several connections can do without deadlocks.
///
/// Measured with 6 tables of 36 partitions and 6 jobs: in `ATTACH PARTITION` of indexes and in
/// foreign keys, whose locks `pg_restore` does not foresee, one restore in six ended with a deadlock;
/// none in fifty when split here. The list's order is one that works one by one, so both parts,
/// one after the other, find what they need.
fn split_parallel(list: &str) -> (&str, &str) {
    let parallel_bytes: usize = list
        .split_inclusive('\n')
        .take_while(|line| {
            let description = line.splitn(4, ' ').nth(3).unwrap_or_default();
            line.starts_with(';')
                || description.starts_with("CONSTRAINT ")
                || description.starts_with("COMMENT ")
                || (description.starts_with("INDEX ") && !description.starts_with("INDEX ATTACH "))
        })
        .map(str::len)
        .sum();
    list.split_at(parallel_bytes)
}

/// One section of one archive on its way into one database.
pub(super) struct Restore<'run> {
    tools: &'run Tools,
    settings: &'run ConnectionSettings,
    archive: File,
    section: Section,
}

impl<'run> Restore<'run> {
    /// A section of an archive, for a database.
    pub(super) fn new(
        tools: &'run Tools,
        settings: &'run ConnectionSettings,
        archive: &[u8],
        section: Section,
    ) -> Result<Self, PostgresError> {
        Ok(Self { tools, settings, archive: in_memory("archive", archive)?, section })
    }

    /// Restores the entries of `list`, or all of the section.
    async fn run(
        &self,
        options: &RestoreOptions,
        list: Option<&str>,
        jobs: usize,
    ) -> Result<Vec<FailedStatement>, PostgresError> {
        let mut command = self.command()?;
        self.settings.apply_to(&mut command);
        command.arg(format!("--dbname={}", conninfo_database(self.settings.database())));
        command.args(["--no-password", self.section.argument()]);
        if options.no_owner {
            command.arg("--no-owner");
        }
        if options.no_tablespaces {
            command.arg("--no-tablespaces");
        }
        if options.no_privileges {
            command.arg("--no-privileges");
        }
        if jobs > 1 {
            command.arg(format!("--jobs={jobs}"));
        }
        if let Some(list) = list {
            command.stdout(in_memory("list", list.as_bytes())?).arg("--use-list=/proc/self/fd/1");
        }
        let output = finished(command).await?;
        let printed = String::from_utf8_lossy(&output.stderr);
        let (failures, benign) = failures(&printed, self.section);
        let ignored = ignored_errors(&printed);
        if let Some(ignored) = ignored.filter(|_| jobs > 1 && !failures.is_empty()) {
            // It went on to the end. Each error is counted twice, by its process and by the first one.
            let failed = (ignored.saturating_sub(2 * benign) / 2).max(1);
            return Ok(of_several(failures, &printed, failed));
        }
        // It went on to the end, and each of its errors is a statement that is known.
        let counted = if jobs > 1 { 2 } else { 1 } * (benign + failures.len());
        let is_complete = output.status.success() || ignored.is_some_and(|all| all <= counted);
        if is_complete && failures.iter().all(|failed| !failed.statement.is_empty()) {
            return Ok(failures);
        }
        let reason = match failures.as_slice() {
            [] => first_line(&printed),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        };
        Err(PostgresError::ToolFailed { tool: "pg_restore".to_owned(), reason })
    }

    /// The archive's statements about the database itself, as a script.
    pub(super) async fn database_script(&self) -> Result<String, PostgresError> {
        let mut command = self.command()?;
        command.args(["--list", "--create"]).stdout(Stdio::piped());
        let output = finished(command).await?;
        let list = String::from_utf8_lossy(&output.stdout);
        let about_database = list.lines().filter(|line| {
            line.splitn(4, ' ').nth(3).is_some_and(super::database::is_about_database)
        });
        let list: String = about_database.flat_map(|line| [line, "\n"]).collect();
        if list.is_empty() {
            return Ok(String::new());
        }
        let script = in_memory("script", b"")?;
        let written = script.try_clone().map_err(|error| not_run("pg_restore", &error))?;
        let mut command = self.command()?;
        command
            .args(["--create", "--file=/proc/self/fd/2", "--use-list=/proc/self/fd/1"])
            .stdout(in_memory("list", list.as_bytes())?)
            .stderr(written);
        let output = finished(command).await?;
        let mut text = String::new();
        let mut script = script;
        let read = script.rewind().and_then(|()| script.read_to_string(&mut text));
        read.map_err(|error| not_run("pg_restore", &error))?;
        if output.status.success() {
            return Ok(text);
        }
        let reason = first_line(&text);
        Err(PostgresError::ToolFailed { tool: "pg_restore --create".to_owned(), reason })
    }

    /// The section's table of contents.
    async fn list(&self) -> Result<String, PostgresError> {
        let mut command = self.command()?;
        command.args(["--list", self.section.argument()]).stdout(Stdio::piped());
        let output = finished(command).await?;
        if !output.status.success() {
            return Err(PostgresError::ToolFailed {
                tool: "pg_restore --list".to_owned(),
                reason: first_line(&String::from_utf8_lossy(&output.stderr)),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self) -> Result<Command, PostgresError> {
        let archive = self.archive.try_clone().map_err(|error| not_run("pg_restore", &error))?;
        let mut command = Command::new(self.tools.folder().join("pg_restore"));
        command
            .env("LC_ALL", "C")
            .stdin(archive)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // By its name, not as the standard input: several jobs open it once each.
            .arg("/proc/self/fd/0");
        Ok(command)
    }
}

impl Section {
    fn argument(self) -> &'static str {
        match self {
            Self::PreData => "--section=pre-data",
            Self::PostData => "--section=post-data",
        }
    }
}

/// The list without some entries. A line is `dump id; catalog oid object oid DESCRIPTION …`.
fn without(list: &str, skip: &[(u32, u32)]) -> String {
    let kept = list.lines().filter(|line| {
        let oids = line.split_once("; ").and_then(|(_, rest)| {
            let mut numbers = rest.split(' ').map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        !oids.is_some_and(|oids| skip.contains(&oids))
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

async fn finished(mut command: Command) -> Result<Output, PostgresError> {
    let child = command.spawn().map_err(|error| not_run("pg_restore", &error))?;
    child.wait_with_output().await.map_err(|error| not_run("pg_restore", &error))
}

fn in_memory(name: &str, contents: &[u8]) -> Result<File, PostgresError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let mut file = file.map_err(|error| not_run("pg_restore", &error))?;
    file.write_all(contents).map_err(|error| not_run("pg_restore", &error))?;
    Ok(file)
}

/// `--dbname` is read as connection settings if it looks like some; a quoted setting always is one.
fn conninfo_database(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl fmt::Display for FailedStatement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.statement.as_str() {
            "" => formatter.write_str(&self.reason),
            statement => write!(formatter, "{} (in `{statement}`)", self.reason),
        }
    }
}

/// What failed, one for each error that matters, and the number of errors that do not.
///
/// An error is a line `pg_restore: error: …` and the lines that belong to it: `DETAIL`, `CONTEXT`,
/// and at last `Command was: …`, whose beginning tells the object.
fn failures(printed: &str, section: Section) -> (Vec<FailedStatement>, usize) {
    let (mut failures, mut benign) = (Vec::new(), 0);
    let mut lines = printed.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(message) = line.strip_prefix("pg_restore: error: ") else { continue };
        let mut rest = Vec::new();
        while let Some(more) = lines.next_if(|next| !next.starts_with("pg_restore: ")) {
            rest.push(more);
        }
        let command = command_of(&rest);
        if command.as_deref().is_some_and(|one| one.starts_with("SET transaction_timeout")) {
            benign += 1;
            continue;
        }
        let message = match section {
            // No row has been read by anything yet.
            Section::PreData => message.to_owned(),
            Section::PostData => without_values(message, &rest),
        };
        let statement = command.as_deref().map(beginning).unwrap_or_default();
        failures.push(FailedStatement { statement, reason: message });
    }
    (failures, benign)
}

/// The command of an error, on one line.
fn command_of(rest: &[&str]) -> Option<String> {
    let at = rest.iter().position(|line| line.starts_with("Command was: "))?;
    let words = rest[at..].iter().flat_map(|line| line.split_whitespace());
    Some(words.skip(2).collect::<Vec<_>>().join(" "))
}

fn beginning(command: &str) -> String {
    const CHARACTERS: usize = 200;
    match command.char_indices().nth(CHARACTERS) {
        None => command.to_owned(),
        Some((end, _)) => format!("{}…", &command[..end]),
    }
}

/// The message without what may be a row's value: an index or a check reads the rows. What PostgreSQL
/// says of a value stands after a colon (`invalid input syntax for type integer: "…"`), or in fields
/// of its own; what a function raises can be anything, and then there is a field of context.
fn without_values(message: &str, rest: &[&str]) -> String {
    // A field begins with its name, a colon and two spaces; the names are the server's language's.
    let raised_by_a_function = rest
        .iter()
        .take_while(|line| !line.starts_with("Command was:"))
        .filter_map(|line| line.split_once(":  "))
        .any(|(name, _)| !name.contains(' ') && !["DETAIL", "HINT"].contains(&name));
    if raised_by_a_function {
        return "a function of the database raised an error; its message is withheld, for it may \
                hold personal data"
            .to_owned();
    }
    match message.strip_prefix("could not execute query: ") {
        None => message.to_owned(),
        Some(said) => {
            let (_, text) = said.split_once(":  ").unwrap_or(("", said));
            text.split(": ").next().unwrap_or(text).to_owned()
        }
    }
}

/// The statements that failed, so many, where several processes printed what `failures` was read from: what they
/// print at the same time is mixed up.
fn of_several(
    mut failures: Vec<FailedStatement>,
    printed: &str,
    failed: usize,
) -> Vec<FailedStatement> {
    if failures.len() < failed || failures.iter().any(|one| one.statement.is_empty()) {
        let reason = "the server refused it; its log says why";
        failures = printed
            .split("Command was: ")
            .skip(1)
            .filter_map(|rest| rest.split(['\n', ';']).next())
            .filter(|command| !command.starts_with("SET transaction_timeout"))
            .map(|command| FailedStatement {
                statement: beginning(command),
                reason: reason.to_owned(),
            })
            .collect();
    }
    if failures.len() < failed {
        failures.push(FailedStatement {
            statement: format!("{} more indexes or constraints", failed - failures.len()),
            reason: "the server refused them; its log says which and why".to_owned(),
        });
    }
    failures
}

/// How many errors `pg_restore` counted, if it went on to the end in spite of them.
fn ignored_errors(printed: &str) -> Option<usize> {
    printed.lines().find_map(|line| {
        let count = line.strip_prefix("pg_restore: warning: errors ignored on restore: ")?;
        count.trim().parse().ok()
    })
}

fn first_line(printed: &str) -> String {
    printed.lines().next().unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENIGN: &str = "pg_restore: while INITIALIZING:\n\
        pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \
        \"transaction_timeout\"\n\
        Command was: SET transaction_timeout = 0;\n\n\
        pg_restore: warning: errors ignored on restore: 1\n";

    #[test]
    fn a_parameter_that_an_older_server_does_not_know_is_no_failure() {
        assert_eq!(failures(BENIGN, Section::PreData), (vec![], 1));
        assert_eq!(ignored_errors(BENIGN), Some(1));
    }

    #[test]
    fn every_other_error_is_a_failure_that_names_its_command() {
        let printed = format!(
            "{BENIGN}pg_restore: while PROCESSING TOC:\n\
             pg_restore: from TOC entry 215; 1259 16385 TABLE users alice\n\
             pg_restore: error: could not execute query: ERROR:  type \"x\" does not exist\n\
             LINE 1: x\n\
             Command was: CREATE TABLE app.users (a x);\n"
        );
        let (found, _) = failures(&printed, Section::PreData);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "could not execute query: ERROR:  type \"x\" does not exist (in `CREATE TABLE app.users (a x);`)"
            ]
        );
    }

    #[test]
    fn no_row_value_is_reported() {
        let error = "pg_restore: error: could not execute query: ERROR:  ";
        for (said, reported) in [
            (
                "could not create unique index \"i\"\nDETAIL:  Key (email)=(bob) is duplicated.",
                "could not create unique index \"i\"",
            ),
            (
                "deadlock detected\nDETAIL:  Process 1 waits.\nProcess 2 waits.\nHINT:  See.",
                "deadlock detected",
            ),
            (
                "invalid input syntax for type integer: \"bob\"",
                "invalid input syntax for type integer",
            ),
        ] {
            let printed = format!("{error}{said}\nCommand was: CREATE INDEX;\n");
            let reported = format!("{reported} (in `CREATE INDEX;`)");
            assert_eq!(failures(&printed, Section::PostData).0[0].to_string(), reported);
        }
        let printed = format!("{error}no bob\nCONTEXT:  PL/pgSQL function f()\nCommand was: X;\n");
        assert!(!failures(&printed, Section::PostData).0[0].to_string().contains("bob"));
    }

    #[test]
    fn entries_are_left_out_of_the_list_by_their_oids() {
        let list = ";\n; x\n5; 2606 7 FK CONSTRAINT a b c\n6; 2606 77 FK CONSTRAINT a b c\n";
        assert_eq!(without(list, &[(2606, 7)]), ";\n; x\n6; 2606 77 FK CONSTRAINT a b c\n");
    }

    #[test]
    fn several_connections_make_only_the_indexes_at_the_beginning() {
        let parallel =
            ";\n1; 2606 1 CONSTRAINT a b c\n2; 1259 2 INDEX a b c\n3; 0 0 COMMENT a b c\n";
        let one_by_one =
            "4; 0 0 INDEX ATTACH a b c\n5; 1259 3 INDEX a b c\n6; 2606 1 FK CONSTRAINT a b c\n";
        let list = format!("{parallel}{one_by_one}");
        assert_eq!(split_parallel(&list), (parallel, one_by_one));
    }

    #[test]
    fn statements_are_found_however_their_errors_are_mixed() {
        let printed = "pg_restore: error: a\npg_restore: error: b\nDETAIL:  bob\nCommand was: CREATE INDEX i;\n\n\
            Command was: CREATE INDEX j;\n";
        let (read, _) = failures(printed, Section::PostData);
        assert!(read[0].statement.is_empty());
        let found: Vec<_> =
            of_several(read.clone(), printed, 2).into_iter().map(|one| one.statement).collect();
        assert_eq!(found, ["CREATE INDEX i", "CREATE INDEX j"]);
        assert_eq!(of_several(read, printed, 4)[2].statement, "2 more indexes or constraints");
    }

    #[test]
    fn a_database_name_is_never_read_as_settings() {
        assert_eq!(conninfo_database("host=x it's"), "dbname='host=x it\\'s'");
    }
}
