//! `strongroom source`: names the databases that are backed up.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, counted, when};
use crate::cli::values::{ConnectionUrl, source_name};
use crate::crypto::SecretText;
use crate::ops::sources::{self, NewUrl};

/// What `source` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom source add finance --url env:FINANCE_URL
  strongroom source test finance
  strongroom source set-url finance --url env:FINANCE_URL_2027
  strongroom source list")]
pub struct Args {
    /// What to do with sources.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with sources.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Name a database that is to be backed up
    Add(AddArgs),
    /// Give a source another URL, for a server that has moved
    #[command(after_help = "\
Example:
  strongroom source set-url finance --url env:FINANCE_URL_2027

Its backups, its people and its subject map stay its own. A source that was removed is taken up again.")]
    SetUrl(AddArgs),
    /// Give a source another name
    #[command(after_help = "\
Example:
  strongroom source rename finance finance-eu

Its backups and its people stay its own; the file of its subject map gets the new name too.")]
    Rename {
        /// The source's name
        #[arg(value_parser = source_name)]
        name: String,

        /// Its new name
        #[arg(value_parser = source_name)]
        new_name: String,
    },
    /// Stop backing up a source; its backups stay
    #[command(after_help = "\
Example:
  strongroom source remove finance

Its URL is forgotten. Its backups are listed, verified and restored as before, and people are erased in \
them; `expire` forgets them.")]
    Remove {
        /// The source's name
        #[arg(value_parser = source_name)]
        name: String,
    },
    /// Connect to a source as a backup would
    #[command(after_help = "\
Example:
  strongroom source test finance

Ends with exit code 6 if it cannot be reached, or if there are tables that its role may not read.")]
    Test {
        /// The source's name
        #[arg(value_parser = source_name)]
        name: String,
    },
    /// List the databases that have a name
    #[command(after_help = "\
Example:
  strongroom source list --json")]
    List,
}

/// What `source add` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom source add finance --url env:FINANCE_URL
  strongroom source add ledger --url postgresql://backup@db.example/ledger

A URL with a password does not belong on the command line, where every process of the machine can \
read it: put it into an environment variable, or the password into a passfile (PGPASSFILE). With \
env:VAR, the variable must be set for every later backup too; the URL itself is not kept.")]
pub struct AddArgs {
    /// The source's name: letters, digits, `-` and `_`
    #[arg(value_parser = source_name)]
    pub name: String,

    /// The database's URL, or the environment variable that holds it
    #[arg(long, value_name = "URL|env:VAR")]
    pub url: ConnectionUrl,
}

/// Names or lists sources.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    match &args.command {
        Command::Add(args) => {
            let url = new_url(context, &args.url)?;
            let credentials = context.credentials(&config)?;
            let source = sources::add(&vault, &credentials, &args.name, url).await?;
            let text = format!(
                "Source {} is known (URL: {}).\n\nNext: strongroom map {} --root SCHEMA.TABLE\n",
                source.name, source.url, source.name
            );
            Report::new(&source, text)
        }
        Command::SetUrl(args) => {
            let url = new_url(context, &args.url)?;
            let credentials = context.credentials(&config)?;
            let source = sources::set_url(&vault, &credentials, &args.name, url).await?;
            let text = format!(
                "Source {} has another URL ({}).\n\nNext: strongroom source test {}\n",
                source.name, source.url, source.name
            );
            Report::new(&source, text)
        }
        Command::Rename { name, new_name } => {
            let credentials = context.credentials(&config)?;
            let source = sources::rename(&vault, &credentials, name, new_name).await?;
            Report::new(&source, format!("Source {name} is named {} now.\n", source.name))
        }
        Command::Remove { name } => {
            let credentials = context.credentials(&config)?;
            let removed = sources::remove(&vault, &credentials, name).await?;
            let text = format!(
                "Source {name} is removed: nothing more is backed up. Its {} stay.\n",
                counted(removed.backups, "backup", "backups")
            );
            Report::new(&removed, text)
        }
        Command::Test { name } => {
            let credentials = context.credentials(&config)?;
            let tested = sources::test(&vault, &credentials, name).await?;
            let mut text = format!(
                "Source {} can be reached: {}, PostgreSQL {}, as role {}.\n",
                tested.name, tested.target, tested.server_version, tested.role
            );
            for table in &tested.not_readable {
                text.push_str(&format!("  {table} may not be read by that role\n"));
            }
            let exit = if tested.not_readable.is_empty() { Exit::Done } else { Exit::Source };
            Ok(Report::new(&tested, text)?.with_exit(exit))
        }
        Command::List => {
            let sources = sources::list(&vault)?;
            let rows: Vec<_> = sources
                .iter()
                .map(|one| vec![one.name.clone(), one.url.clone(), when(&one.created_at)])
                .collect();
            let text = if rows.is_empty() {
                "There is no source yet.\n".to_owned()
            } else {
                context.output.table(&["name", "url", "since (utc)"], &[], &rows)
            };
            Ok(Report::new(&json!({ "sources": sources }), text)?.as_product())
        }
    }
}

fn new_url(context: &Context, url: &ConnectionUrl) -> Result<NewUrl, CliError> {
    Ok(match url {
        ConnectionUrl::Environment(variable) => NewUrl::Variable(variable.clone()),
        literal @ ConnectionUrl::Literal(_) => {
            let url = literal.resolve("--url", &context.output)?;
            NewUrl::Sealed(SecretText::new(url.to_string()))
        }
    })
}
