//! `strongroom list`: lists the backups.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::source_name;

/// What `list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom list
  strongroom list --source finance --json")]
pub struct Args {
    /// Only the backups of this source
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,
}

/// Lists the backups.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom list` is not wired yet")))
        .await
}
