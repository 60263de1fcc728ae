//! `strongroom kit`: the recovery kit, on the screen or in a file.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use zeroize::Zeroizing;

use crate::base::clock::timestamp;
use crate::base::durable;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Report};
use crate::ops::init::Begun;
use crate::ops::kit::{self, RecoveryKit};
use crate::vault::OpsError;

mod page;

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

/// The forms of a kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text
    Text,
    /// A page of A4 with a QR code
    Html,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
        }
    }

    fn page(self, kit: &RecoveryKit) -> Result<Zeroizing<String>, OpsError> {
        match self {
            Self::Text => Ok(page::text(kit)),
            Self::Html => page::html(kit),
        }
    }
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

/// Writes the first kit of a vault that was just begun; a page where the file is named so.
///
/// # Errors
/// `Vault`: the vault is there all the same.
pub async fn write_first(begun: &Begun, file: &Path) -> Result<(), CliError> {
    let is_html = file.extension().is_some_and(|name| name == "html" || name == "htm");
    let format = if is_html { Format::Html } else { Format::Text };
    let write = |kit: &RecoveryKit| write_file(file, &format.page(kit)?);
    kit::print_first(begun, format.name(), write).await.map_err(|error| {
        let error = CliError::from(error);
        CliError::new(error.exit(), format!("the vault was begun, but not its kit: {error}"))
            .hint("print the kit with `strongroom kit print --output FILE`")
    })
}

/// The file's absolute path, when nothing has it yet.
///
/// # Errors
/// `Refused`.
pub fn free(file: &Path) -> Result<PathBuf, CliError> {
    if file.symlink_metadata().is_ok() {
        let message =
            format!("{} already exists; a kit is never written over a file", file.display());
        return Err(CliError::new(Exit::Refused, message).hint("name another file"));
    }
    std::path::absolute(file).map_err(|error| CliError::from_error(Exit::Usage, &error))
}

/// What to say of a kit in a file.
#[must_use]
pub fn written(file: &str) -> String {
    format!(
        "The recovery kit is in {file}. Print it, keep the paper in a safe place,
and destroy the file: it holds the vault's master secret.
"
    )
}

fn write_file(file: &Path, page: &str) -> Result<(), OpsError> {
    durable::create_file(file, page.as_bytes())
        .map_err(|source| OpsError::File { what: format!("writing {}", file.display()), source })
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
