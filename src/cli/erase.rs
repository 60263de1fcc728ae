//! `strongroom erase`: forgets one person in every backup that exists.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::source_name;

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
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom erase` is not wired yet")))
        .await
}
