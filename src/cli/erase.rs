//! `strongroom erase`: forgets one person in every backup that exists.

use super::context::Context;
use super::error::CliError;
use super::output::{Report, count, counted, when};
use super::prompt::confirm_by_typing;
use super::values::source_name;
use crate::crypto::SecretText;
use crate::ops::OpsError;
use crate::ops::erase::{EraseReport, EraseRequest, erase};

/// What `erase` takes.
#[derive(clap::Args)]
#[command(override_usage = "strongroom erase --source NAME --subject KEY --reason TEXT [OPTIONS]")]
#[command(after_help = "\
Example:
  strongroom erase --source finance --subject 48211 --reason 2026-118 --dry-run
  strongroom erase --source finance --subject 48211 --reason 2026-118

An erasure cannot be undone. It is confirmed by typing, or with --yes where nobody can type. The \
live database is not touched: delete the person there as well.")]
pub struct Args {
    /// The source's name
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: String,

    /// The person's primary key (the parts of a composite one joined by commas)
    #[arg(long, value_name = "KEY")]
    pub subject: String,

    /// The subject class, where the map has several [default: the only one]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,

    /// Why: a case number, never personal data. It is kept sealed in the catalog
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Only tell which backups, tables and rows it concerns
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,

    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

/// Forgets one person.
///
/// # Errors
/// See [`super::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let request = EraseRequest {
        source: args.source.clone(),
        class: args.class.clone(),
        subject: SecretText::new(args.subject.clone()),
        reason: args.reason.clone(),
        dry_run: args.dry_run,
    };
    // Why the person at the terminal did not confirm says more than that she did not.
    let mut refusal = None;
    let outcome = erase(&vault, &credentials, &request, |report| {
        if args.yes {
            return true;
        }
        let question = format!("{}\nThis cannot be undone.", concerns(report));
        let words = format!("erase {}", &report.subject_reference.to_string()[..8]);
        match confirm_by_typing(&question, &words) {
            Ok(()) => true,
            Err(error) => {
                refusal = Some(error);
                false
            }
        }
    })
    .await;
    let report = match (outcome, refusal) {
        (Err(OpsError::NotConfirmed), Some(error)) => return Err(error),
        (outcome, _) => outcome?,
    };
    let text = match report.erasure {
        None => format!(
            "{}\nThis was a dry run: nothing was erased, and the audit log says so.\n",
            concerns(&report)
        ),
        Some(number) => erased(number, &report),
    };
    Report::new(&report, text)
}

/// What an erasure concerns: who, and where her rows are.
fn concerns(report: &EraseReport) -> String {
    let mut text = format!(
        "Subject {}
of source {}, class {}, has {} in {}.
",
        report.subject_reference,
        report.source,
        report.class,
        counted(report.rows, "row", "rows"),
        counted(report.backups.len() as u64, "backup", "backups"),
    );
    text.push_str(&shares(report));
    text
}

/// What an erasure did.
fn erased(number: u64, report: &EraseReport) -> String {
    let confirmed = report.confirmed_at.as_deref().map_or_else(|| "now".to_owned(), when);
    format!(
        "Subject {}
of source {}, class {}, is erased.

  erasure     number {number}
  confirmed   {confirmed} UTC
  forgotten   {} in {}
{}
Her key is destroyed. No backup, and no copy of the catalog from before, can
bring these rows back; the backups stay as they are for everybody else.

Not reached: the live database, exports handed out and copies restored earlier.
Delete the person there as well.
",
        report.subject_reference,
        report.source,
        report.class,
        counted(report.rows, "row", "rows"),
        counted(report.backups.len() as u64, "backup", "backups"),
        shares(report),
    )
}

/// Backup by backup, table by table, how many rows are hers.
fn shares(report: &EraseReport) -> String {
    let mut text = String::new();
    for share in &report.backups {
        text.push_str(&format!("\n  {}, {}\n", share.backup, counted(share.rows, "row", "rows")));
        for (table, rows) in &share.tables {
            text.push_str(&format!("    {:>9}  {table}\n", count(*rows)));
        }
    }
    text
}
