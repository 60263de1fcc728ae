//! `strongroom expire`: forgets backups.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, counted, wrapped};
use crate::cli::prompt::confirm_by_typing;
use crate::ops::expire::{ExpireReport, expire};
use crate::vault::OpsError;

/// What `expire` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom expire 20261122T020000Z-3fa9c1
  strongroom expire 20260801 20260802 --yes

The backup's key is destroyed in every copy of the catalog, then its objects are removed, except \
those that another backup needs. It cannot be undone.")]
pub struct Args {
    /// The backups: their ids, or the beginnings of them
    #[arg(required = true, value_name = "BACKUP")]
    pub backups: Vec<String>,

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
    let credentials = context.credentials(&config)?;
    // Why the person at the terminal did not confirm says more than that she did not.
    let mut refusal = None;
    let outcome = expire(&vault, &credentials, &args.backups, |backups| {
        if args.yes {
            return true;
        }
        let names: Vec<String> = backups.iter().map(ToString::to_string).collect();
        let names = names.join("\n  ");
        let question =
            format!("These backups will be forgotten:\n  {names}\n\nThis cannot be undone.");
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

fn text(report: &ExpireReport) -> String {
    let mut text = format!(
        "Forgot {}; removed {}, {}.\n",
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
