//! `strongroom expire`: forgets backups.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, counted, wrapped};
use crate::cli::prompt::confirm_by_typing;
use crate::cli::values::{of_source, source_name};
use crate::ops::expire::{ExpireReport, ExpiredBackup, expire, plan};
use crate::vault::OpsError;
use crate::vault::reader::select::Choice;

/// What `expire` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom expire 20261122T020000Z-3fa9c1
  strongroom expire 20260801 20260802 --dry-run
  strongroom expire 20260801 20260802 --yes

The backup's key is destroyed in every copy of the catalog, then its objects are removed, except \
those that another backup needs. It cannot be undone.")]
pub struct Args {
    /// The backups: their ids, the beginnings of them, or `SOURCE@2026-11-01`
    #[arg(required = true, value_name = "BACKUP")]
    pub backups: Vec<Choice>,

    /// The source of the backups
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,

    /// Only tell which backups it concerns and what it would free
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,

    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

/// Forgets backups.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let of_source = |choice| of_source(choice, args.source.as_deref());
    let choices = args.backups.iter().map(of_source).collect::<Result<Vec<_>, _>>()?;
    if args.dry_run {
        let plan = plan(&vault, &choices)?;
        return Report::new(&plan, planned(&plan));
    }
    let credentials = context.credentials(&config)?;
    // Why the person at the terminal did not confirm says more than that she did not.
    let mut refusal = None;
    let outcome = expire(&vault, &credentials, &choices, |backups| {
        if args.yes {
            return true;
        }
        let names = named(backups);
        let question = format!("These backups will be forgotten:\n{names}\nThis cannot be undone.");
        let words = format!("expire {}", counted(backups.len() as u64, "backup", "backups"));
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
    let exit = if report.state == "provisional" { Exit::Provisional } else { Exit::Done };
    Ok(Report::new(&report, text(&report))?.with_exit(exit))
}

fn planned(plan: &ExpireReport) -> String {
    format!(
        "These backups would be forgotten:\n{}\nIt would free {}, {}.\nThis was a dry run: nothing \
         was forgotten.\n",
        named(&plan.expired),
        counted(plan.objects_removed, "pack", "packs"),
        bytes(plan.bytes_removed),
    )
}

/// One line a backup, with its source.
fn named(backups: &[ExpiredBackup]) -> String {
    let line = |one: &ExpiredBackup| format!("  {} of source {}\n", one.backup, one.source);
    backups.iter().map(line).collect()
}

fn text(report: &ExpireReport) -> String {
    let mut text = format!(
        "{}Forgot {}; removed {}, {}.\n",
        named(&report.expired),
        counted(report.backups.len() as u64, "backup", "backups"),
        counted(report.objects_removed, "object", "objects"),
        bytes(report.bytes_removed),
    );
    for sentence in report.retained.iter().chain(&report.not_reached) {
        text.push_str(&wrapped("  ", sentence));
    }
    if !report.waiting.is_empty() {
        text.push_str("This is PROVISIONAL, not confirmed:\n");
        for sentence in &report.waiting {
            text.push_str(&wrapped("  ", sentence));
        }
    }
    text
}
