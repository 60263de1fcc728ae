//! `pg_restore`: the schema of an archive into a database, section by section.
//!
//! The archive and the list of its entries are files in memory (`memfd_create`), handed over as the
//! child's standard input and output, which `pg_restore` does not use otherwise when it writes to a
//! database; so they never touch a disk, and no other child can inherit them.
//!
//! `pg_restore` is not told to stop at the first error, because a newer one sets a parameter that an
//! older server does not know (`transaction_timeout`). That one refusal means nothing; any other
//! fails the restore.

use std::fs::File;
use std::io::Write;
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
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { no_owner: false, no_privileges: false, jobs: 1, skip: Vec::new() }
    }
}

/// Restores one section of an archive that [`super::dump_schema`] made. The tool is killed when the
/// future is dropped.
pub async fn restore_section(
    tools: &Tools,
    settings: &ConnectionSettings,
    archive: &[u8],
    section: Section,
    options: &RestoreOptions,
) -> Result<(), PostgresError> {
    let restore = Restore { tools, settings, archive: in_memory("archive", archive)?, section };
    if options.jobs <= 1 && options.skip.is_empty() {
        return restore.run(options, None, 1).await;
    }
    let list = without(&restore.list().await?, &options.skip);
    // What comes before the data is done one by one in any case.
    if options.jobs <= 1 || section == Section::PreData {
        return restore.run(options, Some(&list), 1).await;
    }
    let (parallel, one_by_one) = split_parallel(&list);
    if !parallel.is_empty() {
        restore.run(options, Some(parallel), options.jobs).await?;
    }
    restore.run(options, Some(one_by_one), 1).await
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
struct Restore<'run> {
    tools: &'run Tools,
    settings: &'run ConnectionSettings,
    archive: File,
    section: Section,
}

impl Restore<'_> {
    /// Restores the entries of `list`, or all of the section.
    async fn run(
        &self,
        options: &RestoreOptions,
        list: Option<&str>,
        jobs: usize,
    ) -> Result<(), PostgresError> {
        let mut command = self.command()?;
        self.settings.apply_to(&mut command);
        command.arg(format!("--dbname={}", conninfo_database(self.settings.database())));
        command.args(["--no-password", self.section.argument()]);
        if options.no_owner {
            command.arg("--no-owner");
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
        let all_errors_are_benign =
            output.status.success() || ignored_errors(&printed).is_some_and(|all| all <= benign);
        let reason = match failures.as_slice() {
            [] if all_errors_are_benign => return Ok(()),
            [] => first_line(&printed),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        };
        Err(PostgresError::ToolFailed { tool: "pg_restore".to_owned(), reason })
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

/// What failed, one text for each error that matters, and the number of errors that do not.
///
/// An error is a line `pg_restore: error: …` and the lines that belong to it: `DETAIL`, `CONTEXT`,
/// and at last `Command was: …`, whose beginning tells the object.
fn failures(printed: &str, section: Section) -> (Vec<String>, usize) {
    let (mut failures, mut benign) = (Vec::new(), 0);
    let mut lines = printed.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(message) = line.strip_prefix("pg_restore: error: ") else { continue };
        let mut rest = Vec::new();
        while let Some(more) = lines.next_if(|next| !next.starts_with("pg_restore: ")) {
            rest.push(more);
        }
        let command = rest.iter().find_map(|line| line.strip_prefix("Command was: "));
        if command.is_some_and(|command| command.starts_with("SET transaction_timeout")) {
            benign += 1;
            continue;
        }
        let message = match section {
            // No row has been read by anything yet.
            Section::PreData => message.to_owned(),
            Section::PostData => without_values(message, &rest),
        };
        failures.push(match command {
            Some(command) => format!("{message} (in `{}`)", beginning(command)),
            None => message,
        });
    }
    (failures, benign)
}

fn beginning(command: &str) -> String {
    const CHARACTERS: usize = 100;
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
            assert_eq!(failures(&printed, Section::PostData).0, [reported]);
        }
        let printed = format!("{error}no bob\nCONTEXT:  PL/pgSQL function f()\nCommand was: X;\n");
        assert!(!failures(&printed, Section::PostData).0[0].contains("bob"));
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
    fn a_database_name_is_never_read_as_settings() {
        assert_eq!(conninfo_database("host=x it's"), "dbname='host=x it\\'s'");
    }
}
