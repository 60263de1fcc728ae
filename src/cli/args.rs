//! The command line as types: what every command takes, and the commands.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::commands::{
    audit, backup, completions, custody, doctor, erase, erasure, expire, export, init, keys, kit,
    list, man, map, prune, recover, restore, show, source, store, subject, verify,
};
use super::demo;
use super::error::CliError;
use super::exit::Exit;
use super::global_args::GlobalArgs;
use super::values::without_passwords;

/// The encrypted backup vault for PostgreSQL that can forget one person.
///
/// strongroom backs up PostgreSQL databases so that one person can later be forgotten in every
/// backup at once, while everybody else's rows still restore.
#[derive(Parser)]
#[command(name = "strongroom", version, arg_required_else_help = true, after_help = EXAMPLE)]
#[command(subcommand_required = true, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLE: &str = "\
Example:
  strongroom demo                        # all of it, on a database of its own
  strongroom init --store /mnt/backups   # begin a vault
  strongroom source add finance --url env:FINANCE_URL
  strongroom map finance --root public.users --write
  strongroom backup finance";

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Begin a vault: its keys, catalog, store and configuration
    Init(init::Args),
    /// Name the databases that are backed up
    Source(source::Args),
    /// Decide which row belongs to whom
    Map(map::Args),
    /// Back up a database
    Backup(backup::Args),
    /// List the backups
    #[command(visible_alias = "snapshots")]
    List(list::Args),
    /// Show what a backup holds
    Show(show::Args),
    /// Read everything in a backup and authenticate it
    #[command(visible_alias = "check")]
    Verify(verify::Args),
    /// Restore a backup into a database
    Restore(restore::Args),
    /// Hand out one person's rows, encrypted
    Export(export::Args),
    /// Forget one person in every backup that exists
    Erase(erase::Args),
    /// Read the record of erasures
    Erasure(erasure::Args),
    /// Back up people again who were erased, and see whom a backup met
    Subject(subject::Args),
    /// Forget backups
    Expire(expire::Args),
    /// Tell and change who holds the epoch secret
    Custody(custody::Args),
    /// Rotate the vault's own keys
    Keys(keys::Args),
    /// Look at everything that the vault stands on
    Doctor(doctor::Args),
    /// List, check and fill the stores
    Store(store::Args),
    /// Remove what a crash left in the stores
    Prune(prune::Args),
    /// Print the recovery kit
    Kit(kit::Args),
    /// Make a lost vault anew from its store
    Recover(recover::Args),
    /// Read and check the audit log
    Audit(audit::Args),
    /// Back up, forget and restore on a temporary database
    Demo(demo::Args),
    /// Print a script that completes commands in a shell
    Completions(completions::Args),
    /// Write the manual's pages
    Man(man::Args),
}

/// What to do with a command line.
pub enum Parsed {
    /// Run a command.
    Run(Box<Cli>),
    /// Print what was asked for (`--help`, `--version`) and end well.
    Print(clap::Error),
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// `Usage`, without any password that was part of the arguments.
pub fn parse(arguments: Vec<OsString>) -> Result<Parsed, CliError> {
    let help = help_of(&arguments);
    let matches = match Cli::command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Parsed::Print(error)),
        Err(error) => return Err(usage_error(&error, &help)),
    };
    // Only both on the command line are a contradiction: the variable may be set for good.
    if let Some(("init", init)) = matches.subcommand()
        && init.contains_id("recipient")
        && init.value_source("passphrase_file") == Some(ValueSource::CommandLine)
    {
        let message = "a vault opens with a passphrase or to recipients, not both";
        return Err(CliError::new(Exit::Usage, message)
            .hint("leave out either --passphrase-file or --recipient"));
    }
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        Err(error) => Err(usage_error(&error, &help)),
    }
}

/// The command whose help explains a command line: as far as its words name commands.
fn help_of(arguments: &[OsString]) -> String {
    let mut command = Cli::command();
    let mut path = "strongroom".to_owned();
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(inner) = command.find_subcommand(word) {
            path = format!("{path} {word}");
            command = inner.clone();
        }
    }
    format!("{path} --help")
}

/// The parser's complaint as one sentence and a hint.
fn usage_error(error: &clap::Error, help: &str) -> CliError {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CliError::new(Exit::Usage, "no command was given")
            .hint("`strongroom --help` lists the commands, `strongroom demo` shows all of it");
    }
    let text = without_passwords(&error.to_string());
    let lines = text.lines().map(str::trim);
    let sentence: Vec<_> = lines.clone().take_while(|line| !line.is_empty()).collect();
    let sentence = sentence.join(" ");
    let sentence = sentence.strip_prefix("error: ").unwrap_or(&sentence);
    let tip = lines.clone().find_map(|line| line.strip_prefix("tip: "));
    let usage = lines.clone().find_map(|line| line.strip_prefix("Usage: "));
    let hint = match (tip, error.get(ContextKind::InvalidSubcommand), usage) {
        (Some(tip), ..) => tip.to_owned(),
        (None, Some(ContextValue::String(_)), _) => {
            "`strongroom --help` lists the commands".to_owned()
        }
        (None, _, None) => format!("`{help}` explains it"),
        (None, _, Some(usage)) => format!("usage: {usage}"),
    };
    CliError::new(Exit::Usage, sentence).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> CliError {
        match parse(line.split(' ').map(OsString::from).collect()) {
            Err(error) => error,
            Ok(_) => panic!("`{line}` was accepted"),
        }
    }

    fn accepted(line: &str) -> Cli {
        match parse(line.split(' ').map(OsString::from).collect()) {
            Ok(Parsed::Run(cli)) => *cli,
            Ok(Parsed::Print(text)) => panic!("{text}"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("Example:\n  {}", &path[1..])), "{path}: {example}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: {argument}");
            }
            command.get_subcommands().for_each(|inner| check(inner, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn the_documented_command_lines_are_accepted() {
        for line in [
            "strongroom init --store DIR --config FILE --passphrase-file F",
            "strongroom init --store DIR --recipient age1x --recipient age1y --custodian C",
            "strongroom source add NAME --url env:VAR",
            "strongroom source list --json",
            "strongroom map NAME --root public.users --owner a=b --owner c=d --shared e --write",
            "strongroom map NAME --root a --large-objects t.c --large-objects shared",
            "strongroom map NAME --check",
            "strongroom backup NAME --class pre-migration --note TEXT --schema-only",
            "strongroom backup NAME --data-only --jobs 2 --strict",
            "strongroom list",
            "strongroom show latest",
            "strongroom verify --all",
            "strongroom verify latest --each-source",
            "strongroom verify --all --source NAME",
            "strongroom show NAME:latest",
            "strongroom restore NAME@2026-11-01 --to env:X --create",
            "strongroom expire 20261122T --source NAME",
            "strongroom verify 20261122T",
            "strongroom restore latest --to postgres:///x --create --table a --table b.c --jobs 3",
            "strongroom restore latest --to env:X --on-gone a.b=null --into-non-empty --no-owner",
            "strongroom export --source NAME --subject 7 --recipient age1x --output FILE",
            "strongroom export latest --source NAME --subject 7 --class c --recipient a --output F",
            "strongroom erase --source NAME --subject 7 --class users --reason TEXT --dry-run",
            "strongroom erase --source NAME --subject 7 --reason TEXT --yes",
            "strongroom erase --source NAME --subject 7 --case 2026-118 --yes",
            "strongroom erasure list",
            "strongroom erasure forget-tombstones --yes",
            "strongroom subject met --backup latest --subject 7",
            "strongroom init --store DIR --kit kit.html",
            "strongroom kit print",
            "strongroom kit print --format html --output FILE",
            "strongroom store list",
            "strongroom store check offsite",
            "strongroom store copy latest --to offsite",
            "strongroom store reconcile --verify",
            "strongroom audit list --since 2026-01-01 --action backup",
            "strongroom audit verify --config FILE",
            "strongroom demo",
            "strongroom completions bash",
            "strongroom man DIR",
        ] {
            accepted(line);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "strongroom",
            "strongroom bakup x",
            "strongroom init",
            "strongroom init --store D --recipient age1x --passphrase-file F",
            "strongroom map NAME --write --check",
            "strongroom backup NAME --schema-only --data-only",
            "strongroom backup NAME --jobs 0",
            "strongroom backup ../x",
            "strongroom verify",
            "strongroom verify latest --all",
            "strongroom verify --each-source",
            "strongroom verify latest --each-source --source NAME",
            "strongroom restore NAME@yesterday --to env:X",
            "strongroom restore latest",
            "strongroom erase --source NAME --subject 7",
            "strongroom erase --source NAME --subject 7 --reason TEXT --dry-run --yes",
            "strongroom audit list --since yesterday",
            "strongroom kit print --format pdf",
            "strongroom completions tcl",
        ] {
            let error = refused(line);
            assert_eq!(error.exit(), Exit::Usage, "{line}");
            assert!(error.what_to_do().is_some(), "{line}");
            assert!(!error.message().contains('\n'), "{line}");
        }
    }

    #[test]
    fn complaints_are_one_sentence_with_a_hint_and_no_password() {
        let error = refused("strongroom bakup x");
        assert_eq!(error.message(), "unrecognized subcommand 'bakup'");
        assert_eq!(error.what_to_do(), Some("a similar subcommand exists: 'backup'"));
        let error = refused("strongroom source add x");
        assert!(error.message().ends_with("not provided: --url <URL|env:VAR>"), "{error}");
        let error = refused("strongroom list postgres://u:hunter2@h/d");
        assert!(error.message().contains("postgres://…@h/d"), "{error}");
        assert!(!format!("{error} {:?}", error.what_to_do()).contains("hunter2"));
    }
}
