//! `strongroom verify`: reads everything in a backup and authenticates it.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::BackupSelector;

/// What `verify` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom verify latest
  strongroom verify --all

Ends with exit code 3 if anything is damaged, and says what of it still restores.")]
#[group(required = true, multiple = false)]
pub struct Args {
    /// A backup's id, the beginning of one, or `latest`
    #[arg(value_name = "BACKUP")]
    pub backup: Option<BackupSelector>,

    /// Every backup
    #[arg(long)]
    pub all: bool,
}

/// Reads everything in a backup and authenticates it.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom verify` is not wired yet")))
        .await
}
