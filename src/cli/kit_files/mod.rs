//! The pages of a recovery kit, and the files that they are written to.

mod page;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::CliError;
use super::exit::Exit;
use crate::base::durable;
use crate::ops::kit::{self, RecoveryKit};
use crate::vault::OpsError;
use crate::vault::unlock::Begun;

/// The forms of a kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text
    Text,
    /// A page of A4 with a QR code
    Html,
}

impl Format {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
        }
    }

    pub fn page(self, kit: &RecoveryKit) -> Result<Zeroizing<String>, OpsError> {
        match self {
            Self::Text => Ok(page::text(kit)),
            Self::Html => page::html(kit),
        }
    }
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
        CliError::new(error.exit(), format!("no vault was begun, for its kit failed: {error}"))
            .hint("name another file with --kit, or print the kit afterwards")
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

/// Writes a kit to a file that nothing has yet, readable by its owner only.
pub fn write_file(file: &Path, page: &str) -> Result<(), OpsError> {
    durable::create_file(file, page.as_bytes()).map_err(|source| {
        // A step that failed at its end may have left it, and it holds the master secret.
        if source.kind() != std::io::ErrorKind::AlreadyExists {
            let _ = durable::destroy_file(file);
        }
        OpsError::File { what: format!("writing {}", file.display()), source }
    })
}
