//! `strongroom man`: the manual's pages, one for every command.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use serde_json::json;

use crate::cli::args::Cli;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, counted};

/// What `man` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom man ~/.local/share/man/man1 && man strongroom-backup")]
pub struct Args {
    /// The folder to write to; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// `Vault` (the local disk) when a page cannot be written.
pub fn run(args: &Args) -> Result<Report, CliError> {
    let pages = write_pages(&args.folder).map_err(|error| {
        let message =
            format!("cannot write the manual's pages to {}: {error}", args.folder.display());
        CliError::new(Exit::Vault, message).hint("name a folder that you may write to")
    })?;
    let text =
        format!("{} in {}\n", counted(pages.len() as u64, "page", "pages"), args.folder.display());
    Report::new(&json!({"folder": args.folder, "pages": pages}), text)
}

fn write_pages(folder: &Path) -> std::io::Result<Vec<String>> {
    std::fs::create_dir_all(folder)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write_page(folder, &command, &mut pages)?;
    pages.sort();
    Ok(pages)
}

fn write_page(
    folder: &Path,
    command: &clap::Command,
    pages: &mut Vec<String>,
) -> std::io::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    page.generate_to(folder)?;
    pages.push(page.get_filename());
    command.get_subcommands().try_for_each(|inner| write_page(folder, inner, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let pages = write_pages(&folder.path().join("man1")).unwrap();
        for page in ["strongroom.1", "strongroom-backup.1", "strongroom-audit-list.1"] {
            assert!(pages.iter().any(|name| name == page), "{page} in {pages:?}");
            let text = std::fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
            assert!(text.contains("Example:"), "{page}");
        }
        assert!(!pages.iter().any(|name| name.contains("help")), "{pages:?}");
    }
}
