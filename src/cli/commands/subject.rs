//! `strongroom subject`: what concerns one person and is no erasure.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, when};
use crate::cli::values::source_name;
use crate::crypto::SecretText;
use crate::ops::erase::readmit::{ReadmitRequest, readmit};

/// What `subject` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom subject readmit --source finance --subject 48211")]
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
    let Command::Readmit(args) = &args.command;
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let request = ReadmitRequest {
        source: args.source.clone(),
        class: args.class.clone(),
        subject: SecretText::new(args.subject.clone()),
    };
    let report = readmit(&vault, &credentials, &request).await?;
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
