//! `strongroom man`: the manual's pages, one for every command.

use std::path::{Path, PathBuf};

use serde_json::json;

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

/// Writes the pages of `commands`.
///
/// # Errors
/// `Vault` (the local disk) when a page cannot be written.
pub fn run(args: &Args, commands: clap::Command) -> Result<Report, CliError> {
    let pages = write_pages(&args.folder, commands).map_err(|error| {
        let message =
            format!("cannot write the manual's pages to {}: {error}", args.folder.display());
        CliError::new(Exit::Vault, message).hint("name a folder that you may write to")
    })?;
    let text =
        format!("{} in {}\n", counted(pages.len() as u64, "page", "pages"), args.folder.display());
    Report::new(&json!({"folder": args.folder, "pages": pages}), text)
}

fn write_pages(folder: &Path, commands: clap::Command) -> std::io::Result<Vec<String>> {
    std::fs::create_dir_all(folder)?;
    let mut command = commands.disable_help_subcommand(true);
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
    let page = clap_mangen::Man::new(command.clone()).manual("strongroom");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // Letters beyond ASCII in the form that every roff reads.
    let mut plain = String::with_capacity(text.len());
    for letter in with_sections(&text).chars() {
        if letter.is_ascii() {
            plain.push(letter);
        } else {
            plain.push_str(&format!("\\[u{:04X}]", u32::from(letter)));
        }
    }
    std::fs::write(folder.join(page.get_filename()), plain)?;
    pages.push(page.get_filename());
    command.get_subcommands().try_for_each(|inner| write_page(folder, inner, pages))
}

/// The page with what follows a command's help under headings that manuals have: the lines of the
/// example as they are, and paragraphs instead of empty lines.
fn with_sections(page: &str) -> String {
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let (extra, after) = match extra.find("\n.SH ") {
        Some(end) => extra.split_at(end + 1),
        None => (extra, ""),
    };
    let mut text = before.to_owned();
    let mut paragraphs = extra.trim_end().split("\n\n");
    if let Some(example) = paragraphs.next() {
        let lines = example.strip_prefix("Example:\n").unwrap_or(example);
        text.push_str(&format!(".SH EXAMPLES\n.nf\n{lines}\n.fi\n"));
    }
    for (number, paragraph) in paragraphs.enumerate() {
        text.push_str(if number == 0 { ".SH NOTES\n" } else { ".PP\n" });
        text.push_str(paragraph.trim());
        text.push('\n');
    }
    text + after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let pages = write_pages(&folder.path().join("man1"), Cli::command()).unwrap();
        for page in ["strongroom.1", "strongroom-backup.1", "strongroom-audit-list.1"] {
            assert!(pages.iter().any(|name| name == page), "{page} in {pages:?}");
            let text = std::fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
            assert!(text.contains(".SH EXAMPLES\n.nf\n  strongroom "), "{page}: {text}");
            assert!(text.is_ascii(), "{page}: {text}");
            assert!(!text.contains("EXTRA"), "{page}: {text}");
        }
        assert!(!pages.iter().any(|name| name.contains("help")), "{pages:?}");
    }
}
