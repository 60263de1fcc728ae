//! `strongroom init`: begins a vault.

use std::path::PathBuf;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;

/// What `init` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom init --store /mnt/backups --custodian /media/safe/custodian
  strongroom init --store /mnt/backups --recipient \"$(cat operator.pub)\"

The configuration is written to --config (./strongroom.toml if it is not given), the catalog and
the master secret beside it. Without --recipient the master secret is encrypted to a passphrase,
from --passphrase-file or typed at the terminal.")]
pub struct Args {
    /// Where the backups go: a directory, made if it is not there
    #[arg(long, value_name = "DIR")]
    pub store: String,

    /// Encrypt the master secret to this age or SSH public key, instead of a passphrase; repeatable
    #[arg(long = "recipient", id = "recipient", value_name = "AGE1…")]
    pub recipients: Vec<String>,

    /// Where the epoch secret is kept, which erasures destroy [default: custodian, beside the
    /// configuration]
    #[arg(long, value_name = "DIR")]
    pub custodian: Option<PathBuf>,
}

/// Begins a vault.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom init` is not wired yet")))
        .await
}
