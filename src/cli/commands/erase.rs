//! `strongroom erase`: forgets people in every backup that exists.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, count, counted, shown, when, wrapped};
use crate::cli::prompt::confirm_by_typing;
use crate::cli::subject_list;
use crate::cli::values::{case_number, source_name};
use crate::ops::erase::{EraseReport, EraseRequest, ErasedSubject, Skipped, erase};
use crate::policy::free_text;
use crate::vault::OpsError;
use crate::vault::reasons::Reason;

/// What `erase` takes.
// Each is a flag of its own on the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(clap::Args)]
#[command(override_usage = "strongroom erase --source NAME --subject KEY --case NUMBER [OPTIONS]")]
#[command(after_help = "\
Example:
  strongroom erase --source finance --subject 48211 --case 2026-118 --dry-run
  strongroom erase --source finance --subject 48211 --case 2026-118 --reason \"by letter\"
  strongroom erase --source finance --subjects-from requests.txt --case 2026-118
  strongroom erase --source finance --subjects-from desk.csv --column id --case 2026-118

`strongroom erasure list` shows case and reason again.

Many people at once are one forgetting. What is on a command line, every process of the machine can \
read; --subjects-from - reads from standard input.

Where a custodian cannot be reached, the erasure is provisional (exit code 12): it is confirmed by \
the next command that reaches it. Where the test after it could not read everything, it is \
inconclusive (exit code 13): the same command makes up for it.

An erasure cannot be undone. It is confirmed by typing, or with --yes where nobody can type. The \
live database is not touched: delete the person there as well.")]
pub struct Args {
    /// The source's name
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: String,

    /// The person's primary key (the parts of a composite one joined by commas); repeatable
    #[arg(long, value_name = "KEY", required_unless_present = "subjects_from")]
    pub subject: Vec<String>,

    /// A file with one primary key a line, or - for standard input; lines that begin with # are
    /// comments
    #[arg(long, value_name = "FILE", conflicts_with = "subject")]
    pub subjects_from: Option<PathBuf>,

    /// The column with the primary key, where the file is CSV with a header; repeatable for a
    /// composite key, in its order
    #[arg(long, value_name = "NAME", requires = "subjects_from")]
    pub column: Vec<String>,

    /// Go on without those of the file whom the vault does not know or has forgotten already
    #[arg(long, requires = "subjects_from")]
    pub skip_unknown: bool,

    /// The subject class, where the map has several [default: the only one]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,

    /// The number of the case
    #[arg(long, value_name = "NUMBER", value_parser = case_number)]
    pub case: Option<String>,

    /// Why, in a few words, never with personal data. It is kept sealed in the catalog
    #[arg(long, value_name = "TEXT", required_unless_present = "case", value_parser = words)]
    pub reason: Option<String>,

    /// Take case and reason as they are: they hold no personal data, whatever they look like
    #[arg(long)]
    pub not_personal: bool,

    /// Only tell which backups and rows it concerns
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,

    /// List the tables, backup by backup
    #[arg(long)]
    pub details: bool,

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
        subjects: subject_list::asked(&args.subject, args.subjects_from.as_deref(), &args.column)?,
        skip_unknown: args.skip_unknown,
        reason: Reason { case: args.case.clone(), text: args.reason.clone().unwrap_or_default() },
        dry_run: args.dry_run,
    };
    if !args.not_personal {
        let keys: Vec<&str> = request.subjects.iter().map(|one| one.key.expose()).collect();
        for (option, text) in [("--case", &args.case), ("--reason", &args.reason)] {
            refuse_personal(option, text.as_deref().unwrap_or_default(), &keys)?;
        }
    }
    // Why the person at the terminal did not confirm says more than that she did not.
    let mut refusal = None;
    let outcome = erase(&vault, &credentials, &request, |report| {
        if args.yes {
            return true;
        }
        let question = format!("{}\nThis cannot be undone.", concerns(report, args.details));
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
    for Skipped { line, reason } in &report.skipped {
        context.output.warning(&format!("line {line} was left out: {reason}"));
    }
    let text = match report.state {
        "dry-run" => format!(
            "{}\nThis was a dry run: nothing was erased, and the audit log says so.\n",
            concerns(&report, args.details)
        ),
        _ => erased(&report, args.details),
    };
    let exit = match report.state {
        "dry-run" => Exit::Done,
        "provisional" => Exit::Provisional,
        _ if report.is_proven() => Exit::Done,
        _ => Exit::Inconclusive,
    };
    Ok(Report::new(&report, text)?.with_exit(exit))
}

/// Refuses words that look as if they named somebody: what is written there stays.
fn refuse_personal(option: &str, text: &str, keys: &[&str]) -> Result<(), CliError> {
    let Some(why) = free_text::looks_personal(text, keys) else { return Ok(()) };
    let message = format!("the text of {option} {why}; nothing was changed");
    Err(CliError::new(Exit::Refused, message).hint(
        "it stays when she is forgotten: use a case number, and keep the rest in the case file; with \
         --not-personal it is taken as it is",
    ))
}

/// Words, not empty.
fn words(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty; a case number says enough".to_owned()),
        text if text.len() > 8000 => Err("give at most 8,000 characters".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// What an erasure concerns: who, and where their rows are.
fn concerns(report: &EraseReport, details: bool) -> String {
    let mut text = String::new();
    for (number, subject) in report.subjects.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(&format!(
            "Person {}\nof source {}, class {}, has {} in {}.\n",
            subject.subject_reference,
            report.source,
            report.class,
            counted(subject.rows, "row", "rows"),
            counted(subject.backups.len() as u64, "backup", "backups"),
        ));
        text.push_str(&found(subject, details));
    }
    text
}

/// What an erasure did.
fn erased(report: &EraseReport, details: bool) -> String {
    let mut text = String::new();
    for subject in &report.subjects {
        let number = subject.erasure.map_or_else(String::new, |number| number.to_string());
        text.push_str(&format!(
            "Person {}\nof source {}, class {}, is erased.\n\n  erasure     number {number}\n",
            subject.subject_reference, report.source, report.class,
        ));
        text.push_str(&match &report.confirmed_at {
            Some(moment) => format!("  confirmed   {} UTC\n", when(moment)),
            None => "  provisional, not confirmed yet: see below\n".to_owned(),
        });
        text.push_str(&format!(
            "  forgotten   {} in {}\n{}\n",
            counted(subject.rows, "row", "rows"),
            counted(subject.backups.len() as u64, "backup", "backups"),
            found(subject, details),
        ));
    }
    if let Some(proof) = &report.proof {
        text.push_str(&format!(
            "Tried afterwards: {} of theirs, of which {} opened; {} of other people,\nof which {} \
             opened.\n\n",
            counted(proof.segments_tried, "sealed part", "sealed parts"),
            proof.segments_opened,
            counted(proof.bystanders_opened + proof.bystanders_failed, "part", "parts"),
            proof.bystanders_opened,
        ));
    }
    if !report.is_proven() {
        text.push_str(&inconclusive(report));
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

/// Why the test proves nothing yet, and what makes up for it.
fn inconclusive(report: &EraseReport) -> String {
    let mut text = "The test is INCONCLUSIVE: not everything could be read.\n".to_owned();
    for sentence in report.proof.iter().flat_map(|proof| &proof.unread) {
        text.push_str(&wrapped("  ", sentence));
    }
    text.push_str(
        "That changes nothing about what is destroyed. Once it can be read again, the\n\
         same command makes up for the test. Objects in an archive (Glacier) come back\n\
         with `aws s3api restore-object`.\n\n",
    );
    text
}

/// Backup by backup how many rows are hers; with `details`, table by table too. Without, no more
/// backups than a screen has room for.
fn found(subject: &ErasedSubject, details: bool) -> String {
    const BACKUPS_MAX: usize = 8;
    let mut text = String::new();
    if details {
        for share in &subject.backups {
            let rows = counted(share.rows, "row", "rows");
            text.push_str(&format!("\n  {}, {rows}\n", share.backup));
            for (table, rows) in &share.tables {
                let table = shown(table);
                text.push_str(&format!("    {:>9}  {table}\n", count(*rows)));
            }
        }
        return text;
    }
    for share in subject.backups.iter().take(BACKUPS_MAX) {
        let tables = counted(share.tables.len() as u64, "table", "tables");
        let rows = counted(share.rows, "row", "rows");
        text.push_str(&format!("  {}  {rows} in {tables}\n", share.backup));
    }
    let more = subject.backups.len().saturating_sub(BACKUPS_MAX);
    if more > 0 {
        text.push_str(&format!("  and {}\n", counted(more as u64, "more", "more")));
    }
    if !subject.backups.is_empty() {
        text.push_str("  (--details lists the tables)\n");
    }
    text
}
