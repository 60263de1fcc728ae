//! `strongroom audit`: reads and checks the audit log.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::audit::{Action, Entry, Filter};
use crate::base::ids::Digest;
use crate::cli::config::Config;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, counted, when};
use crate::cli::values::moment;
use crate::ops::audit_log;
use crate::vault::handle::Vault;

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
    Verify(VerifyArgs),
}

/// What `audit verify` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit verify
  strongroom audit verify --expect 1204:9f0c37d1…

Who holds the vault's keys could write the whole log anew, and nothing in it would tell. So note number \
and hash of the last entry in another place, as this command prints them, and give them later with \
--expect: the log must still have that entry, with everything before it unchanged.

Ends with exit code 3 if the log is not what was written.")]
pub struct VerifyArgs {
    /// The number and hash of an entry, as an earlier check printed them; repeatable
    #[arg(long, value_name = "SEQ:HASH", value_parser = expected)]
    pub expect: Vec<(u64, Digest)>,
}

/// Reads `SEQ:HASH`.
fn expected(text: &str) -> Result<(u64, Digest), String> {
    let read = || {
        let (seq, hash) = text.split_once(':')?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0)?;
        Some((seq, hash.to_ascii_lowercase().parse().ok()?))
    };
    read().ok_or_else(|| {
        "give the number of an entry and its hash, 64 hexadecimal digits, as `audit verify` printed \
         them: 1204:9f0c…"
            .to_owned()
    })
}

/// What `audit list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom audit list --since 2026-11-01 --action restore

Each entry has two lines: when it was, what was done, how it went and who did it; then what it was \
done to. A person appears as her subject reference only, as `erase --dry-run` prints it. `begun` is \
written before any key is released; `begun` that nothing follows means that the command was killed.")]
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
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let outcome = match &args.command {
        Command::List(args) => list(&vault, args),
        Command::Verify(args) => check(context, &config, &vault, args),
    };
    std::future::ready(outcome).await
}

fn list(vault: &Vault, args: &ListArgs) -> Result<Report, CliError> {
    let filter = Filter { since: args.since, action: args.action, ..Filter::default() };
    let entries = audit_log::list(vault, &filter)?;
    let text = if entries.is_empty() {
        "No entry fits.\n".to_owned()
    } else {
        format!("  NO  WHEN (UTC)           ACTION        OUTCOME  WHO\n{}", lines(&entries))
    };
    Ok(Report::new(&json!({ "entries": entries }), text)?.as_product())
}

/// Two lines an entry, so that references and ids are never broken and can be copied whole.
fn lines(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let when = when(&entry.at);
        let Entry { seq, actor, host, action, object, outcome, .. } = entry;
        let detail = entry.detail.as_ref().map(|detail| format!("  ({detail})"));
        let detail = detail.unwrap_or_default();
        text.push_str(&format!("{seq:>4}  {when}  {action:<12}  {outcome:<7}  {actor}@{host}\n"));
        text.push_str(&format!("      {object}{detail}\n"));
    }
    text
}

fn check(
    context: &Context,
    config: &Config,
    vault: &Vault,
    args: &VerifyArgs,
) -> Result<Report, CliError> {
    let credentials = context.credentials_if_any(config)?;
    let report = audit_log::verify(vault, credentials.as_ref(), &args.expect)?;
    let head = if report.head_authenticated {
        "The signature of its head was made with this vault's key."
    } else {
        "The signature of its head was not checked, for no passphrase or identity was given."
    };
    let text = match (&report.problem, report.entries, report.last_hash) {
        (None, Some(number), Some(hash)) => {
            let entries = counted(number, "entry follows", "entries follow");
            let expected = match args.expect.as_slice() {
                [] => String::new(),
                _ => "It has the entries that were expected.\n".to_owned(),
            };
            format!(
                "The audit log is intact: {entries} from one another.\n{head}\n{expected}\n\
                 Its last entry, to be noted elsewhere and given with --expect later:\n\
                 {number}:{hash}\n"
            )
        }
        (problem, _, _) => format!(
            "The audit log is NOT what was written: {}.\n",
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
        format!("the actions are {}", known.join(", "))
    })
}
