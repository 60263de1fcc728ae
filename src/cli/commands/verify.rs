//! `strongroom verify`: reads everything in a backup and authenticates it.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, count, counted};
use crate::cli::values::BackupSelector;
use crate::ops::verify::{self, CopyHealth, VerifyReport};

/// What `verify` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom verify latest
  strongroom verify --all

Ends with exit code 3 if anything is damaged, a copy in one of several stores included, and says what \
of it still restores; with 7 if a backup is only in stores that cannot be reached.")]
#[group(required = true, multiple = false)]
pub struct Args {
    /// A backup's id, the beginning of one, or `latest`
    #[arg(value_name = "BACKUP")]
    pub backup: Option<BackupSelector>,

    /// Every backup
    #[arg(long)]
    pub all: bool,
}

/// Reads everything in a backup and authenticates it.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let progress = context.progress();
    let outcome = match &args.backup {
        Some(backup) => verify::verify(&vault, &credentials, backup.as_str(), &progress)
            .await
            .map(|one| vec![one]),
        None => verify::verify_all(&vault, &credentials, &progress).await,
    };
    progress.finish();
    let reports = outcome?;
    let intact = reports.iter().all(|report| report.intact);
    let copies_intact = reports.iter().all(VerifyReport::copies_are_intact);
    let text: String = if reports.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else {
        reports.iter().map(describe).collect()
    };
    let report = Report::new(&json!({ "intact": intact, "backups": reports }), text)?;
    let away = |report: &VerifyReport| report.intact || report.copies_are_out_of_reach();
    let exit = match (intact && copies_intact, copies_intact && reports.iter().all(away)) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Store,
        (false, false) => Exit::Integrity,
    };
    Ok(report.with_exit(exit))
}

fn describe(report: &VerifyReport) -> String {
    let rows = counted(report.rows, "row restores", "rows restore");
    let forgotten = match report.rows_forgotten {
        0 => String::new(),
        rows => format!(", {} of forgotten people", counted(rows, "row", "rows")),
    };
    let mut copies = String::new();
    for copy in report.copies.iter().filter(|copy| copy.state != CopyHealth::Intact) {
        copies.push_str(&format!("  the copy in store `{}` is {}\n", copy.store, copy.state));
        for problem in copy.problems.iter().filter(|_| report.copies.len() > 1) {
            copies.push_str(&format!("    {problem}\n"));
        }
    }
    if report.intact {
        return format!("{}  intact: {rows}{forgotten}\n{copies}", report.backup);
    }
    if report.copies_are_out_of_reach() {
        return format!("{}  OUT OF REACH\n{copies}", report.backup);
    }
    let damaged = counted(report.rows_damaged, "row is lost", "rows are lost");
    let mut text = format!("{}  DAMAGED: {damaged}, {rows}{forgotten}\n", report.backup);
    for problem in &report.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    for relation in &report.damaged {
        text.push_str(&format!(
            "  {}: {} of {} lost\n",
            relation.relation,
            count(relation.rows_damaged),
            counted(relation.rows_damaged + relation.rows, "row", "rows")
        ));
    }
    text
}
