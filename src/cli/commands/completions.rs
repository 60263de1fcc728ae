//! `strongroom completions`: a script that completes commands in a shell.

use clap_complete::Shell;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Report;

/// What `completions` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom completions bash > ~/.local/share/bash-completion/completions/strongroom
  strongroom completions zsh > ~/.local/share/zsh/site-functions/_strongroom
  strongroom completions fish > ~/.config/fish/completions/strongroom.fish")]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Makes the script for `commands`.
///
/// # Errors
/// Internal, when a name is not UTF-8.
pub fn run(args: &Args, mut commands: clap::Command) -> Result<Report, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut commands, "strongroom", &mut script);
    let script =
        String::from_utf8(script).map_err(|error| CliError::from_error(Exit::Internal, &error))?;
    let document = json!({"shell": args.shell.to_string(), "script": script});
    Ok(Report::new(&document, script)?.as_product())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::{CommandFactory as _, ValueEnum as _};

    #[test]
    fn every_shell_has_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let report = run(&Args { shell: *shell }, Cli::command()).unwrap();
            assert!(format!("{report:?}").contains("passphrase-file"), "{shell}");
        }
    }
}
