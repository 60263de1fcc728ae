//! `strongroom keys`: rotates the vault's own keys.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, wrapped};
use crate::crypto::SecretText;
use crate::keys::master::Protection;
use crate::ops::keys;
use crate::vault::OpsError;
use crate::vault::forget::rotation::RotateReport;

/// What `keys` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom keys rotate
  strongroom keys rotate-master --recipient \"$(cat operator.pub)\"")]
pub struct Args {
    /// What to do with the keys.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the keys.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Wrap every key anew under fresh ones; no backup is touched
    #[command(after_help = "\
Example:
  strongroom keys rotate

Every shard gets a fresh key, every key of a person or a backup is wrapped anew, and backups from \
now on seal what is nobody's under a new key. What is stored stays as it is and restores as before.")]
    Rotate,
    /// Replace the master secret, for other recipients or another passphrase
    RotateMaster(RotateMasterArgs),
}

/// What `keys rotate-master` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom keys rotate-master --recipient age1… --recipient age1…
  strongroom keys rotate-master --new-passphrase-file new-passphrase

The recipients named here are all that there are from now on: leave one out to remove her, name one \
more to add him. Recovery kits printed before are void; print a new one.")]
pub struct RotateMasterArgs {
    /// Encrypt the new master secret to this age or SSH public key; repeatable
    #[arg(long = "recipient", id = "recipient", value_name = "AGE1…")]
    pub recipients: Vec<String>,

    /// Encrypt it to the passphrase in the first line of this file; without either, it is typed
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    pub new_passphrase_file: Option<std::path::PathBuf>,

    /// Take a passphrase that is easy to guess
    #[arg(long)]
    pub weak: bool,
}

/// Rotates keys.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let (report, told) = match &args.command {
        Command::Rotate => {
            let report = keys::rotate_keys(&vault, &credentials).await?;
            (report, "Every key is wrapped anew.")
        }
        Command::RotateMaster(args) => {
            let protection = if args.recipients.is_empty() {
                let file = args.new_passphrase_file.as_deref();
                let passphrase = context.another_passphrase(file, args.weak)?;
                Protection::Passphrase(SecretText::new(passphrase.to_string()))
            } else {
                Protection::recipients(&args.recipients).map_err(OpsError::from)?
            };
            let report = keys::rotate_master(&vault, &credentials, &protection).await?;
            (
                report,
                "The master secret is a new one. Recovery kits printed before are void:\nprint a \
                      new one with `strongroom kit print`.",
            )
        }
    };
    rotated(&report, told)
}

fn rotated(report: &RotateReport, told: &str) -> Result<Report, CliError> {
    let mut text =
        format!("{told}\n\n  epoch   {}\n  state   {}\n", report.epoch_after, report.state);
    for sentence in &report.waiting {
        text.push_str(&wrapped("  ", sentence));
    }
    let exit = if report.state == "provisional" { Exit::Provisional } else { Exit::Done };
    Ok(Report::new(report, text)?.with_exit(exit))
}
