//! `strongroom kit`: the recovery kit, on the screen or in a file.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use serde_json::json;

use crate::base::clock::timestamp;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::kit_files::{Format, free, write_file, written};
use crate::cli::output::{Output, Report};
use crate::ops::kit::{self, RecoveryKit};
use crate::vault::OpsError;

/// What `kit` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom kit print --format html --output kit.html")]
pub struct Args {
    /// What to do with the kit.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the recovery kit.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the recovery kit, which holds the master secret
    Print(PrintArgs),
}

/// What `kit print` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom kit print | lp
  strongroom kit print --format html --output kit.html

The kit holds the vault's master secret: whoever has lost the vault's machine recovers with it, the \
store and the custodians. By itself it opens nothing. It stays right until `keys rotate-master`. \
Print it, keep the paper in a safe, and destroy the file.")]
pub struct PrintArgs {
    /// As text, or as a page with a QR code to print from a browser
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Write to this file, readable by its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Prints the kit.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let Command::Print(args) = &args.command;
    let output = match &args.output {
        Some(file) => Some(free(file)?),
        None if context.output.is_json() => {
            let message = "a JSON document never holds the master secret, so the kit needs a file";
            return Err(CliError::new(Exit::Usage, message)
                .hint("name one with --output, or leave out --json"));
        }
        None => None,
    };
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let format = args.format;
    let write = |kit: &RecoveryKit| {
        let page = format.page(kit)?;
        match &output {
            Some(file) => write_file(file, &page)?,
            None => write_out(&context.output, &page)?,
        }
        Ok((kit.vault, kit.printed_at))
    };
    let (vault, printed_at) = kit::print(&vault, &credentials, format.name(), write).await?;
    let shown = output.map(|file| file.display().to_string());
    let document = json!({
        "vault": vault,
        "format": format.name(),
        "output": shown,
        "printed_at": timestamp(printed_at),
    });
    let text = shown.map_or_else(String::new, |file| written(&file));
    Report::new(&document, text)
}

/// Past the buffer of standard output, which would keep a copy of what it wrote.
fn write_out(output: &Output, page: &str) -> Result<(), OpsError> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        output.warning("the vault's master secret is on the screen: clear it afterwards");
    }
    let mut rest = page.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(&stdout, rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let what = "writing the kit to standard output".to_owned();
                return Err(OpsError::File { what, source: error.into() });
            }
        }
    }
    Ok(())
}
