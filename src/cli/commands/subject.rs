//! `strongroom subject`: what concerns one person and is no erasure.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, counted, when};
use crate::cli::subject_list;
use crate::cli::values::source_name;
use crate::crypto::SecretText;
use crate::keys::master::Credentials;
use crate::ops::erase::readmit::{ReadmitRequest, readmit};
use crate::ops::erasures::met;
use crate::vault::handle::Vault;
use crate::vault::reader::select::Choice;

/// What `subject` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom subject readmit --source finance --subject 48211
  strongroom subject met --backup latest")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Back up someone again who was erased and has lawfully come back
    Readmit(ReadmitArgs),
    /// Tell which erased people a backup met in the database
    Met(MetArgs),
}

/// What `subject met` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom subject met --backup latest
  strongroom subject met --backup latest --subjects-from open-cases.txt

A backup leaves out the rows of people who were erased and are still in the database. This names them by \
erasure and case; whoever has their keys (from the case files) can ask for these people one by one.")]
pub struct MetArgs {
    /// The backup: its id, the beginning of it, `latest` or `SOURCE:latest`
    #[arg(long, value_name = "BACKUP")]
    pub backup: Choice,

    /// A person's primary key, to be told whether she was met; repeatable
    #[arg(long, value_name = "KEY")]
    pub subject: Vec<String>,

    /// A file with one primary key a line, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "subject")]
    pub subjects_from: Option<PathBuf>,

    /// The column with the primary key, where the file is CSV with a header; repeatable
    #[arg(long, value_name = "NAME", requires = "subjects_from")]
    pub column: Vec<String>,

    /// The subject class, where the map has several [default: the only one]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
}

/// What `subject readmit` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom subject readmit --source finance --subject 48211

Backups from now on hold her rows, under a new key. What was sealed before her erasure stays closed.")]
pub struct ReadmitArgs {
    /// The source's name
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: String,

    /// The person's primary key (the parts of a composite one joined by commas)
    #[arg(long, value_name = "KEY")]
    pub subject: String,

    /// The subject class, where the map has several [default: the only one]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
}

/// Does it.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    match &args.command {
        Command::Readmit(args) => let_in(&vault, &credentials, args).await,
        Command::Met(args) => tell_met(&vault, &credentials, args).await,
    }
}

async fn tell_met(
    vault: &Vault,
    credentials: &Credentials,
    args: &MetArgs,
) -> Result<Report, CliError> {
    let subjects = subject_list::asked(&args.subject, args.subjects_from.as_deref(), &args.column)?;
    let subjects: Vec<_> = subjects.into_iter().map(|one| one.key).collect();
    let class = args.class.as_deref();
    let report = met(vault, credentials, &args.backup, class, &subjects).await?;
    let mut text = format!("Backup {} of {}", report.backup, report.source);
    if report.met.is_empty() {
        text.push_str(" met nobody who was erased.\n");
    } else {
        text.push_str(" left out:\n\n");
    }
    for one in &report.met {
        let case = one.case.as_ref().map(|case| format!(", case {case}")).unwrap_or_default();
        let rows = counted(one.rows, "row", "rows");
        text.push_str(&format!("  erasure {}{case}: {rows}\n", one.erasure));
    }
    if !report.subjects.is_empty() {
        text.push_str("\nOf those asked for:\n\n");
    }
    for one in &report.subjects {
        let standing = match (one.erasure, one.met) {
            (Some(number), true) => format!("erasure {number}, and still in the database"),
            (Some(number), false) => format!("erasure {number}, not met"),
            (None, _) => "not erased, as far as the record goes".to_owned(),
        };
        text.push_str(&format!("  {:>4}. {}: {standing}\n", one.number, one.subject_reference));
    }
    Report::new(&report, text)
}

async fn let_in(
    vault: &Vault,
    credentials: &Credentials,
    args: &ReadmitArgs,
) -> Result<Report, CliError> {
    let request = ReadmitRequest {
        source: args.source.clone(),
        class: args.class.clone(),
        subject: SecretText::new(args.subject.clone()),
    };
    let report = readmit(vault, credentials, &request).await?;
    let text = format!(
        "Person {}\nof source {}, class {}, erased on {} UTC, is readmitted.\n\nThe next backup holds \
         her rows again. What was sealed before stays closed.\n",
        report.subject_reference,
        report.source,
        report.class,
        when(&report.erased_at),
    );
    Report::new(&report, text)
}
