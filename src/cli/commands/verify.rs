//! `strongroom verify`: reads everything in a backup and authenticates it.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, count, counted, shown};
use crate::cli::values::{of_source, source_name};
use crate::ops::verify::{self, CopyHealth, Subset, VerifyReport};
use crate::vault::reader::select::Choice;
use crate::vault::replica::{ReplicaCopy, ReplicaHealth};

/// What `verify` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom verify latest --source finance
  strongroom verify latest --each-source
  strongroom verify --all
  strongroom verify --all --read-data-subset 1/12

Ends with exit code 3 if anything is damaged, a copy in one of several stores included, and says what \
of it still restores; with 7 if a backup is only in stores that cannot be reached.")]
pub struct Args {
    /// A backup's id, the beginning of one, or `latest`; `SOURCE:latest`, `SOURCE@2026-11-01` (the
    /// newest of that day)
    #[arg(value_name = "BACKUP", required_unless_present = "all")]
    pub backup: Option<Choice>,

    /// Every backup, or every one of --source
    #[arg(long, conflicts_with = "backup")]
    pub all: bool,

    /// The newest backup of every source: for the daily job
    #[arg(long, requires = "backup", conflicts_with = "source")]
    pub each_source: bool,

    /// Read only a part of the packs: the n-th of t (`1/12`, another each month), or a share drawn at
    /// random (`5%`). Of the others, header and length are looked at
    #[arg(long, value_name = "n/t|x%")]
    pub read_data_subset: Option<Subset>,

    /// The source of the backup; needed for `latest` where there are several
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,
}

/// Reads everything in a backup and authenticates it.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let of_source = |choice| of_source(choice, args.source.as_deref());
    let choice = args.backup.as_ref().map(of_source).transpose()?;
    if args.each_source && choice != Some(Choice::LATEST) {
        let message = "--each-source verifies the newest backup of every source";
        return Err(CliError::new(Exit::Usage, message)
            .hint("write `strongroom verify latest --each-source`"));
    }
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let progress = context.progress();
    let source = args.source.as_deref();
    let subset = args.read_data_subset;
    let outcome = match &choice {
        Some(_) if args.each_source => {
            let newest = verify::verify_newest(&vault, &credentials, subset, &progress).await;
            newest.map(|(reports, without)| (reports, without, Vec::new()))
        }
        Some(choice) => {
            let one = verify::verify(&vault, &credentials, choice, subset, &progress).await;
            one.map(|report| (vec![report], Vec::new(), Vec::new()))
        }
        None => {
            let all = verify::verify_all(&vault, &credentials, source, subset, &progress).await;
            all.map(|all| (all.backups, Vec::new(), all.replica))
        }
    };
    progress.finish();
    let (reports, without, replica) = outcome?;
    for source in &without {
        context.output.warning(&format!("source {source} has no backup yet"));
    }
    let replica_intact = replica.iter().all(|copy| copy.state != ReplicaHealth::Damaged);
    let intact = reports.iter().all(|report| report.intact) && replica_intact;
    let copies_intact = reports.iter().all(VerifyReport::copies_are_intact);
    let mut text: String = if reports.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else {
        reports.iter().map(describe).collect()
    };
    text.extend(replica.iter().map(describe_replica));
    if !replica.is_empty() {
        text.push_str(
            "\nRead: every backup, and the catalog's replica that a recovery needs. Not read: the\n\
             custodians' shares (`strongroom custody check`) and the recovery kit.\n",
        );
    }
    let report = Report::new(
        &json!({
            "intact": intact,
            "backups": reports,
            "sources_without_backup": without,
        "replica": replica,
        }),
        text,
    )?;
    let away = |report: &VerifyReport| report.intact || report.copies_are_out_of_reach();
    let exit = match (
        intact && copies_intact,
        replica_intact && copies_intact && reports.iter().all(away),
    ) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Store,
        (false, false) => Exit::Integrity,
    };
    Ok(report.with_exit(exit))
}

fn describe_replica(copy: &ReplicaCopy) -> String {
    let name = format!("catalog's replica in store `{}`", copy.store);
    let problem = copy.problem.as_deref().unwrap_or_default();
    match copy.state {
        ReplicaHealth::Intact => format!("{name}  intact: {}\n", bytes(copy.bytes)),
        ReplicaHealth::Behind if problem.is_empty() => {
            format!("{name}  behind: the next command that writes brings it up to date\n")
        }
        ReplicaHealth::Behind => format!("{name}  behind: {problem}\n"),
        ReplicaHealth::Damaged => format!("{name}  DAMAGED: {problem}\n"),
        ReplicaHealth::Unreachable => format!("{name}  OUT OF REACH: {problem}\n"),
    }
}

fn describe(report: &VerifyReport) -> String {
    let rows = counted(report.rows, "row restores", "rows restore");
    let forgotten = match report.rows_forgotten {
        0 => String::new(),
        rows => format!(", {} of forgotten people", counted(rows, "row", "rows")),
    };
    let name = format!("{}  {}", report.backup, report.source);
    let mut copies = String::new();
    for copy in report.copies.iter().filter(|copy| copy.state != CopyHealth::Intact) {
        copies.push_str(&format!("  the copy in store `{}` is {}\n", copy.store, copy.state));
        for problem in copy.problems.iter().filter(|_| report.copies.len() > 1) {
            copies.push_str(&format!("    {}\n", shown(problem)));
        }
    }
    if report.intact && report.packs_read < report.packs {
        let read = format!("{} of {}", report.packs_read, counted(report.packs, "pack", "packs"));
        return format!("{name}  read in part, {read}: nothing is damaged there\n{copies}");
    }
    if report.intact {
        return format!("{name}  intact: {rows}{forgotten}\n{copies}");
    }
    if report.copies_are_out_of_reach() {
        return format!("{name}  OUT OF REACH\n{copies}");
    }
    let damaged = counted(report.rows_damaged, "row is lost", "rows are lost");
    let mut text = format!("{name}  DAMAGED: {damaged}, {rows}{forgotten}\n");
    for problem in &report.problems {
        text.push_str(&format!("  {}\n", shown(problem)));
    }
    for relation in &report.damaged {
        text.push_str(&format!(
            "  {}: {} of {} lost\n",
            shown(&relation.relation),
            count(relation.rows_damaged),
            counted(relation.rows_damaged + relation.rows, "row", "rows")
        ));
    }
    text
}
