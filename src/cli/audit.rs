//! `strongroom audit`: reads and checks the audit log.

use chrono::{DateTime, Utc};

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::moment;

/// What `audit` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit list --since 2026-11-01
  strongroom audit verify")]
pub struct Args {
    /// What to do with the log.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the audit log.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List entries, the oldest first
    List(ListArgs),
    /// Check that no entry was changed, removed or moved
    #[command(after_help = "\
Example:
  strongroom audit verify --json

Ends with exit code 3 if the log is not what was written.")]
    Verify,
}

/// What `audit list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit list --since 2026-11-01 --action restore")]
pub struct ListArgs {
    /// Only entries from this day or moment on (UTC unless it says otherwise)
    #[arg(long, value_name = "T", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,

    /// Only entries of this action, such as `backup`
    #[arg(long, value_name = "A")]
    pub action: Option<String>,
}

/// Lists or checks the audit log.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom audit` is not wired yet")))
        .await
}
