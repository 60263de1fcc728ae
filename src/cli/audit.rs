//! `strongroom audit`: reads and checks the audit log.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::config::Config;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::{Report, counted};
use super::values::moment;
use crate::audit::{Action, Filter};
use crate::ops::audit_log;
use crate::ops::vault::Vault;

/// What `audit` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit list --since 2026-11-01
  strongroom audit verify")]
pub struct Args {
    /// What to do with the log.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the audit log.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List entries, the oldest first
    List(ListArgs),
    /// Check that no entry was changed, removed or moved
    #[command(after_help = "\
Example:
  strongroom audit verify --json

Ends with exit code 3 if the log is not what was written.")]
    Verify,
}

/// What `audit list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit list --since 2026-11-01 --action restore")]
pub struct ListArgs {
    /// Only entries from this day or moment on (UTC unless it says otherwise)
    #[arg(long, value_name = "T", value_parser = moment)]
    pub since: Option<DateTime<Utc>>,

    /// Only entries of this action, such as `backup`
    #[arg(long, value_name = "A", value_parser = action)]
    pub action: Option<Action>,
}

/// Lists or checks the audit log.
///
/// # Errors
/// See [`super::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let outcome = match &args.command {
        Command::List(args) => list(context, &vault, args),
        Command::Verify => check(context, &config, &vault),
    };
    std::future::ready(outcome).await
}

fn list(context: &Context, vault: &Vault, args: &ListArgs) -> Result<Report, CliError> {
    let filter = Filter { since: args.since, action: args.action, ..Filter::default() };
    let entries = audit_log::list(vault, &filter)?;
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            vec![
                entry.seq.to_string(),
                entry.at.get(..19).unwrap_or(&entry.at).replace('T', " "),
                format!("{}@{}", entry.actor, entry.host),
                entry.action.clone(),
                entry.object.clone(),
                match &entry.detail {
                    Some(detail) => format!("{} ({detail})", entry.outcome),
                    None => entry.outcome.clone(),
                },
            ]
        })
        .collect();
    let headers = ["no", "when (utc)", "who", "action", "object", "outcome"];
    let text = if rows.is_empty() {
        "No entry fits.\n".to_owned()
    } else {
        context.output.table(&headers, &["no"], &rows)
    };
    Report::new(&json!({ "entries": entries }), text)
}

fn check(context: &Context, config: &Config, vault: &Vault) -> Result<Report, CliError> {
    let credentials = context.credentials_if_any(config)?;
    let report = audit_log::verify(vault, credentials.as_ref())?;
    let head = if report.head_authenticated {
        "The signature of its head was made with this vault's key."
    } else {
        "The signature of its head was not checked, for no passphrase or identity was given."
    };
    let text = match (&report.problem, report.entries) {
        (None, Some(entries)) => {
            let entries = counted(entries, "entry follows", "entries follow");
            format!("The audit log is intact: {entries} from one another.\n{head}\n")
        }
        (problem, _) => format!(
            "The audit log is NOT what was written. {}\n",
            problem.as_deref().unwrap_or_default()
        ),
    };
    let exit = if report.intact { Exit::Done } else { Exit::Integrity };
    Ok(Report::new(&report, text)?.with_exit(exit))
}

/// Reads an action's name; one that does not exist is an error, not an empty list.
fn action(text: &str) -> Result<Action, String> {
    text.parse().map_err(|_| {
        let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        format!("there is {}", known.join(", "))
    })
}
