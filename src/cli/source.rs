//! `strongroom source`: names the databases that are backed up.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::{ConnectionUrl, source_name};

/// What `source` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom source add finance --url env:FINANCE_URL
  strongroom source list")]
pub struct Args {
    /// What to do with sources.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with sources.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Name a database that is to be backed up
    Add(AddArgs),
    /// List the databases that have a name
    #[command(after_help = "\
Example:
  strongroom source list --json")]
    List,
}

/// What `source add` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom source add finance --url env:FINANCE_URL
  strongroom source add ledger --url postgresql://backup@db.example/ledger

A URL with a password is not taken on the command line, where every process of the machine can
read it: put it into an environment variable, or the password into a passfile (PGPASSFILE). With
env:VAR, the variable must be set for every later backup too; the URL itself is not kept.")]
pub struct AddArgs {
    /// The source's name: letters, digits, `-` and `_`
    #[arg(value_parser = source_name)]
    pub name: String,

    /// The database's URL, or the environment variable that holds it
    #[arg(long, value_name = "URL|env:VAR")]
    pub url: ConnectionUrl,
}

/// Names or lists sources.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom source` is not wired yet")))
        .await
}
