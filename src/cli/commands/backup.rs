//! `strongroom backup`: backs up a database.

use std::time::Duration;

use crate::catalog::backups::BackupClass;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, count, counted, when};
use crate::cli::part_args::PartArgs;
use crate::cli::values::{DurationOrNever, duration, jobs, source_name};
use crate::ops::backup::{BackupRequest, ErasedMet, LockRules, Waited, backup};
use crate::policy::free_text;
use crate::policy::subject_map::{TableOwners, Unknown};

/// What `backup` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom backup finance
  strongroom backup finance --class pre-migration --note \"before release 4.2\"

A table that the subject map does not know stops the backup. Rows of people who were erased from \
this vault are never sealed again: they are counted, and named in a warning.")]
pub struct Args {
    /// The source's name
    #[arg(value_parser = source_name)]
    pub name: String,

    /// What kind of backup it is
    #[arg(long, value_enum, default_value_t = Class::Manual)]
    pub class: Class,

    /// A word for those who read the list later; never a person's data
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Take the note as it is: it holds no personal data, whatever it looks like
    #[arg(long, requires = "note")]
    pub not_personal: bool,

    /// Which part of the database.
    #[command(flatten)]
    pub part: PartArgs,

    /// Store everything anew, instead of referring to what earlier backups hold unchanged
    #[arg(long)]
    pub full: bool,

    /// Connections that read at the same time [default: as configured]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<u16>,

    /// How long to wait for a lock on a table that others have
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub lock_wait: Duration,

    /// Give way when someone has waited so long behind the backup: release everything, try again later
    #[arg(long, value_name = "DURATION", default_value = "never")]
    pub yield_after: DurationOrNever,

    /// How often to try again after giving way, or when a lock was not to be had
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub retries: u32,

    /// End with exit code 11 if a person erased from this vault is still in the database
    #[arg(long)]
    pub strict: bool,
}

/// What kind of backup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Class {
    /// One of every day.
    Daily,
    /// One of every week.
    Weekly,
    /// Before a change of the schema.
    PreMigration,
    /// Made by hand.
    Manual,
}

/// Backs up a database.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let note = args.note.as_deref().filter(|_| !args.not_personal).unwrap_or_default();
    if let Some(why) = free_text::looks_personal(note, &[]) {
        // A nightly job must not stop because of a word.
        context.output.alert(&format!(
            "the text of --note {why}; it stays when that person is forgotten. With --not-personal \
             it is taken without this warning"
        ));
    }
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let request = BackupRequest {
        source: args.name.clone(),
        class: args.class.into(),
        note: args.note.clone(),
        contents: args.part.contents(),
        jobs: args.jobs.map_or(config.backup.jobs.into(), usize::from),
        memory_bytes: usize::try_from(config.backup.memory_mib).unwrap_or(usize::MAX) << 20,
        full: args.full,
        strict: args.strict,
        locks: LockRules {
            lock_wait: args.lock_wait,
            yield_after: args.yield_after.0,
            retries: args.retries,
        },
    };
    let progress = context.progress();
    let outcome = backup(&vault, &credentials, &request, &progress).await;
    progress.finish();
    let report = outcome?;
    for notice in &report.notices {
        context.output.note(&format!("note: {notice}"));
    }
    for waited in &report.waited {
        context.output.note(&format!("note: {}", told(waited)));
    }
    if report.rows_of_erased > 0 {
        context.output.warning(&format!(
            "{} of people who were erased from this vault are still in the source. They were left \
             out of the backup; delete them in the live database too. {} (`strongroom subject met \
             --backup {}` has their cases)",
            counted(report.rows_of_erased, "row", "rows"),
            met(&report.erased_met),
            report.backup,
        ));
    }
    let mut exit = Exit::Done;
    for table in &report.owners {
        if let Some(warning) = unknown_owners(table) {
            context.output.warning(&warning);
            if table.unknown == Unknown::Warn {
                exit = Exit::Attention;
            }
        }
        if table.rows_gone_from_root > 0 {
            context.output.note(&format!(
                "note: {} has {} of people who have no row of their own in the database any more. \
                 They are in earlier backups, and the rows stay theirs",
                table.table,
                counted(table.rows_gone_from_root, "row", "rows")
            ));
        }
    }
    let nobodys: Vec<_> = report.owners.iter().filter(|table| table.nobodys_rows > 0).collect();
    let nobodys = match nobodys.iter().map(|table| table.nobodys_rows).sum() {
        0 => String::new(),
        rows => {
            let listed = nobodys.iter().take(3).map(|table| table.table.to_string());
            let more = if nobodys.len() > 3 { ", …" } else { "" };
            let listed = listed.collect::<Vec<_>>().join(", ");
            let rows = counted(rows, "row", "rows");
            format!("  nobody's    {rows} in tables of people ({listed}{more})\n")
        }
    };
    let seconds = report.seconds.max(0.001);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rate = (report.rows as f64 / seconds) as u64;
    let left_out = match report.rows_of_erased {
        0 => String::new(),
        rows => format!("  left out    {} of erased people\n", counted(rows, "row", "rows")),
    };
    let mut copies = String::new();
    for copy in report.copies.iter().filter(|_| report.copies.len() > 1) {
        copies.push_str(&format!("  store       `{}`: {}\n", copy.store, copy.state));
        if let Some(reason) = &copy.reason {
            context.output.warning(&format!(
                "the copy in store `{}` is behind: {reason}; `strongroom store reconcile` makes it \
                 once the store can be reached",
                copy.store
            ));
            exit = Exit::Provisional;
        }
    }
    let text = format!(
        "Backup {} of {} is complete.

  snapshot    {} UTC
  tables      {}
  rows        {}
  people      {}
{left_out}{nobodys}  stored      {} (rows before sealing: {})
{copies}  time        {seconds:.1} s ({} rows/s)
",
        report.backup,
        report.source,
        when(&report.snapshot_at),
        count(report.tables),
        count(report.rows),
        count(report.subjects),
        bytes(report.stored_bytes),
        bytes(report.raw_bytes),
        count(rate),
    );
    Ok(Report::new(&report, text)?.with_exit(exit))
}

/// Someone who waited, as a sentence.
fn told(waited: &Waited) -> String {
    let Waited { table, session, who, statement, seconds, others, gave_way } = waited;
    let table = table.as_ref().map_or("its end".to_owned(), |table| format!("table {table}"));
    let statement =
        if statement.is_empty() { String::new() } else { format!(" with `{statement}`") };
    let others = match others {
        0 => String::new(),
        others => format!(", {} behind it", counted(*others, "more session", "more sessions")),
    };
    let end = if *gave_way { "; the backup gave way" } else { "" };
    format!(
        "session {session} ({who}) waited {seconds:.1} s behind the backup for {table}{statement}{others}{end}"
    )
}

/// What there is to say of rows whose owner nobody knows.
fn unknown_owners(table: &TableOwners) -> Option<String> {
    let nowhere = match table.rows_that_lead_nowhere {
        0 => None,
        rows => Some(format!("{} to nothing that is there", counted(rows, "leads", "lead"))),
    };
    let keys = match table.rows_of_unknown_keys {
        0 => None,
        rows => Some(format!(
            "{} a key that neither the database nor the vault knows",
            counted(rows, "has", "have")
        )),
    };
    let what: Vec<String> = [nowhere, keys].into_iter().flatten().collect();
    if what.is_empty() {
        return None;
    }
    let done = match table.unknown {
        Unknown::Drop => "They were left out, as the subject map says",
        Unknown::Commons => "They are nobody's, as the subject map says: no erasure reaches them",
        Unknown::Warn | Unknown::Refuse => {
            "They are nobody's, and no erasure reaches them. Decide what they are with \
             `strongroom map --unknown`; a map that is written anew refuses a backup until then"
        }
    };
    Some(format!("of the rows of {}, {}. {done}", table.table, what.join(", and ")))
}

/// Whom the backup met, by erasure, as one sentence.
fn met(met: &[ErasedMet]) -> String {
    const SHOWN_MAX: usize = 20;
    let unknown: u64 = met.iter().filter(|one| one.erasure.is_none()).map(|one| one.rows).sum();
    let mut named: Vec<String> = met
        .iter()
        .filter_map(|one| {
            let number = one.erasure?;
            Some(format!("erasure {number}: {}", counted(one.rows, "row", "rows")))
        })
        .collect();
    let more = named.len().saturating_sub(SHOWN_MAX);
    named.truncate(SHOWN_MAX);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    if unknown > 0 {
        let rows = counted(unknown, "row", "rows");
        named.push(format!("erasures of an older strongroom that has no number for them: {rows}"));
    }
    format!("By erasure: {}", named.join("; "))
}

impl From<Class> for BackupClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Daily => Self::Daily,
            Class::Weekly => Self::Weekly,
            Class::PreMigration => Self::PreMigration,
            Class::Manual => Self::Manual,
        }
    }
}
