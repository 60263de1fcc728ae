//! `strongroom erase`: forgets people in every backup that exists.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, count, counted, when, wrapped};
use crate::cli::prompt::confirm_by_typing;
use crate::cli::values::source_name;
use crate::crypto::SecretText;
use crate::ops::erase::{EraseReport, EraseRequest, ErasedSubject, erase};
use crate::vault::OpsError;

/// What `erase` takes.
#[derive(clap::Args)]
#[command(override_usage = "strongroom erase --source NAME --subject KEY --reason TEXT [OPTIONS]")]
#[command(after_help = "\
Example:
  strongroom erase --source finance --subject 48211 --reason 2026-118 --dry-run
  strongroom erase --source finance --subject 48211 --reason 2026-118
  strongroom erase --source finance --subjects-from requests.txt --reason 2026-118

Many people at once are one forgetting. What is on a command line, every process of the machine can \
read; --subjects-from - reads from standard input.

Where a custodian cannot be reached, the erasure is provisional (exit code 12): it is confirmed by \
the next command that reaches it.

An erasure cannot be undone. It is confirmed by typing, or with --yes where nobody can type. The \
live database is not touched: delete the person there as well.")]
pub struct Args {
    /// The source's name
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: String,

    /// The person's primary key (the parts of a composite one joined by commas); repeatable
    #[arg(long, value_name = "KEY", required_unless_present = "subjects_from")]
    pub subject: Vec<String>,

    /// A file with one primary key a line, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "subject")]
    pub subjects_from: Option<PathBuf>,

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

/// Forgets people.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let request = EraseRequest {
        source: args.source.clone(),
        class: args.class.clone(),
        subjects: subjects(args)?,
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
        let words = match report.subjects.as_slice() {
            [only] => format!("erase {}", &only.subject_reference.to_string()[..8]),
            several => format!("erase {} people", several.len()),
        };
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
    let text = match report.state {
        "dry-run" => format!(
            "{}\nThis was a dry run: nothing was erased, and the audit log says so.\n",
            concerns(&report)
        ),
        _ => erased(&report),
    };
    let exit = if report.state == "provisional" { Exit::Provisional } else { Exit::Done };
    Ok(Report::new(&report, text)?.with_exit(exit))
}

/// The keys of the people, from the arguments or the file that they name.
fn subjects(args: &Args) -> Result<Vec<SecretText>, CliError> {
    let Some(path) = &args.subjects_from else {
        return Ok(args.subject.iter().cloned().map(SecretText::new).collect());
    };
    let mut text = Zeroizing::new(String::new());
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        fs::read_to_string(path).map(|read| text = Zeroizing::new(read))
    };
    let shown = path.display();
    read.map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot read the subjects from {shown}: {error}"))
            .hint("give a text file (UTF-8) with one primary key a line")
    })?;
    let keys: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(|line| SecretText::new(line.to_owned()))
        .collect();
    if keys.is_empty() {
        let message = format!("{shown} names nobody");
        return Err(CliError::new(Exit::Usage, message).hint("put one primary key on each line"));
    }
    Ok(keys)
}

/// What an erasure concerns: who, and where their rows are.
fn concerns(report: &EraseReport) -> String {
    let mut text = String::new();
    for (number, subject) in report.subjects.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(&format!(
            "Subject {}\nof source {}, class {}, has {} in {}.\n",
            subject.subject_reference,
            report.source,
            report.class,
            counted(subject.rows, "row", "rows"),
            counted(subject.backups.len() as u64, "backup", "backups"),
        ));
        text.push_str(&shares(subject));
    }
    text
}

/// What an erasure did.
fn erased(report: &EraseReport) -> String {
    let mut text = String::new();
    for subject in &report.subjects {
        let number = subject.erasure.map_or_else(String::new, |number| number.to_string());
        text.push_str(&format!(
            "Subject {}\nof source {}, class {}, is erased.\n\n  erasure     number {number}\n",
            subject.subject_reference, report.source, report.class,
        ));
        text.push_str(&match &report.confirmed_at {
            Some(moment) => format!("  confirmed   {} UTC\n", when(moment)),
            None => "  provisional until its custodians have destroyed their shares\n".to_owned(),
        });
        text.push_str(&format!(
            "  forgotten   {} in {}\n{}\n",
            counted(subject.rows, "row", "rows"),
            counted(subject.backups.len() as u64, "backup", "backups"),
            shares(subject),
        ));
    }
    if let Some(proof) = &report.proof {
        text.push_str(&format!(
            "Tried after it: {} of the erased, of which {} opened; {} of\nother people, of which {} \
             opened.\n\n",
            counted(proof.segments_tried, "segment", "segments"),
            proof.segments_opened,
            counted(proof.bystanders_opened + proof.bystanders_failed, "segment", "segments"),
            proof.bystanders_opened,
        ));
    }
    if report.waiting.is_empty() {
        text.push_str(
            "The key is destroyed. No backup, and no copy of the catalog from before, can\n\
             bring these rows back; the backups stay as they are for everybody else.\n",
        );
    } else {
        text.push_str("The erasure is PROVISIONAL, not confirmed:\n");
        for sentence in &report.waiting {
            text.push_str(&wrapped("  ", sentence));
        }
        text.push_str(
            "Until then, a copy of the catalog from before could still open these rows.\n\
             Every later command tries again; `strongroom custody reconcile` does so now.\n",
        );
    }
    text.push_str(
        "\nNot reached: the live database, exports handed out and copies restored earlier.\n\
         Delete the person there as well.\n",
    );
    text
}

/// Backup by backup, table by table, how many rows are hers.
fn shares(subject: &ErasedSubject) -> String {
    let mut text = String::new();
    for share in &subject.backups {
        text.push_str(&format!("\n  {}, {}\n", share.backup, counted(share.rows, "row", "rows")));
        for (table, rows) in &share.tables {
            text.push_str(&format!("    {:>9}  {table}\n", count(*rows)));
        }
    }
    text
}
