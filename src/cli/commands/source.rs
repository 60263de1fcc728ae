//! `strongroom source`: names the databases that are backed up.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, when};
use crate::cli::values::{ConnectionUrl, source_name};
use crate::crypto::SecretText;
use crate::ops::sources::{self, NewUrl};

/// What `source` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom source add finance --url env:FINANCE_URL
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
            let url = match &args.url {
                ConnectionUrl::Environment(variable) => NewUrl::Variable(variable.clone()),
                literal @ ConnectionUrl::Literal(_) => {
                    let url = literal.resolve("--url", &context.output)?;
                    NewUrl::Sealed(SecretText::new(url.to_string()))
                }
            };
            let credentials = context.credentials(&config)?;
            let source = sources::add(&vault, &credentials, &args.name, url).await?;
            let text = format!(
                "Source {} is known (URL: {}).\n\nNext: strongroom map {} --root SCHEMA.TABLE\n",
                source.name, source.url, source.name
            );
            Report::new(&source, text)
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
            Report::new(&json!({ "sources": sources }), text)
        }
    }
}
