//! `strongroom show`: shows what a backup holds.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::BackupSelector;

/// What `show` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom show latest
  strongroom show 20261122T02 --json")]
pub struct Args {
    /// A backup's id, the beginning of one, or `latest`
    #[arg(value_name = "BACKUP")]
    pub backup: BackupSelector,
}

/// Shows what a backup holds.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom show` is not wired yet")))
        .await
}
