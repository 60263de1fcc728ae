//! `strongroom erase`: forgets one person in every backup that exists.

use super::context::Context;
use super::error::CliError;
use super::output::{Report, count, counted};
use super::prompt::confirm_by_typing;
use super::values::source_name;
use crate::crypto::SecretText;
use crate::ops::OpsError;
use crate::ops::erase::{EraseReport, EraseRequest, erase};

/// What `erase` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom erase --source finance --subject 48211 --reason \"request 2026-118\" --dry-run
  strongroom erase --source finance --subject 48211 --reason \"request 2026-118\"

An erasure cannot be undone. It is confirmed by typing, or with --yes where nobody can type. The
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

    /// Why, for the audit log; a case number, never personal data
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
        None => format!("{}\nNothing was erased: this was a dry run.\n", concerns(&report)),
        Some(number) => format!(
            "{}
Erasure {number} is confirmed ({}).

The key is destroyed, and with it every copy of the catalog from before: these
rows can no longer be restored from any backup. The live database, exports and
restored copies are not reached by this: delete the person there as well.
",
            concerns(&report),
            report.confirmed_at.as_deref().unwrap_or("just now"),
        ),
    };
    Report::new(&report, text)
}

/// What an erasure concerns, as a table.
fn concerns(report: &EraseReport) -> String {
    let mut text = format!(
        "Subject {} ({}, class {}): {} in {}.\n",
        report.subject_reference,
        report.source,
        report.class,
        counted(report.rows, "row", "rows"),
        counted(report.backups.len() as u64, "backup", "backups"),
    );
    for share in &report.backups {
        let tables: Vec<_> =
            share.tables.iter().map(|(table, rows)| format!("{table} {}", count(*rows))).collect();
        text.push_str(&format!("  {}  {}\n", share.backup, tables.join(", ")));
    }
    text
}
