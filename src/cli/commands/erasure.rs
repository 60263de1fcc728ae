//! `strongroom erasure`: the record of erasures, and the end of tombstones.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, count, counted, when, wrapped};
use crate::cli::prompt::confirm_by_typing;
use crate::ops::erasures::{self as verbs, ErasureReport, ErasuresReport};
use crate::vault::OpsError;

/// What `erasure` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom erasure list
  strongroom erasure show 7")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List erasures, the newest first, with case and reason
    #[command(after_help = "\
Example:
  strongroom erasure list --json

Needs the vault's keys: case and reason are sealed. Nothing here says who was erased.")]
    List,
    /// Tell everything about one erasure
    #[command(after_help = "\
Example:
  strongroom erasure show 7")]
    Show(ShowArgs),
    /// Let backups take in again the people whose erasure is long ago
    #[command(after_help = "\
Example:
  strongroom erasure forget-tombstones

A tombstone is the mark by which a backup knows somebody who was erased, and leaves her out. Its time is \
over when she was neither erased nor met in the database for `tombstone_days` (section [erasure] of the \
configuration file), and no backup is left from before her erasure. Nothing else ends it. Without it, a \
backup that meets her again takes her in as somebody new.")]
    ForgetTombstones(ForgetArgs),
}

/// What `erasure show` takes.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// The erasure's number
    pub number: u64,
}

/// What `erasure forget-tombstones` takes.
#[derive(clap::Args)]
pub struct ForgetArgs {
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

/// Does it.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let days = config.erasure.tombstone_days;
    match &args.command {
        Command::List => {
            let report = verbs::list(&vault, &credentials, days).await?;
            let text = table(context, &report);
            Report::new(&report, text)
        }
        Command::Show(args) => {
            let report = verbs::list(&vault, &credentials, days).await?;
            let one = report.erasures.into_iter().find(|one| one.erasure == args.number);
            let one = one.ok_or_else(|| {
                CliError::new(Exit::NotFound, format!("there is no erasure {}", args.number))
                    .hint("see `strongroom erasure list`")
            })?;
            let text = page(&one);
            Report::new(&one, text)
        }
        Command::ForgetTombstones(args) => {
            let mut refusal = None;
            let outcome = verbs::forget_tombstones(&vault, &credentials, days, |tombstones| {
                if args.yes {
                    return true;
                }
                let people = counted(tombstones, "person", "people");
                let question = format!(
                    "The tombstones of {people} go. A backup that meets one of them in the database \
                     takes\nher in again, as somebody new. What was erased stays closed.\nThis cannot \
                     be undone."
                );
                match confirm_by_typing(&question, &format!("forget {tombstones}")) {
                    Ok(()) => true,
                    Err(error) => {
                        refusal = Some(error);
                        false
                    }
                }
            })
            .await;
            let report = match (outcome, refusal) {
                (Err(OpsError::NotConfirmed), Some(error)) => return Err(error),
                (outcome, _) => outcome?,
            };
            let mut text = match report.tombstones {
                0 => "There is no tombstone whose time is over.\n".to_owned(),
                number => format!(
                    "{} gone: so many people could come back.\n",
                    counted(number, "tombstone is", "tombstones are")
                ),
            };
            for sentence in &report.waiting {
                text.push_str(&wrapped("  ", sentence));
            }
            let exit = if report.state == "provisional" { Exit::Provisional } else { Exit::Done };
            Ok(Report::new(&report, text)?.with_exit(exit))
        }
    }
}

fn table(context: &Context, report: &ErasuresReport) -> String {
    if report.erasures.is_empty() {
        return "Nobody was erased.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = report
        .erasures
        .iter()
        .map(|one| {
            let words = one.reason.lines().next().unwrap_or_default();
            vec![
                one.erasure.to_string(),
                when(&one.requested_at),
                one.source.clone(),
                one.state.to_owned(),
                count(one.rows),
                [one.case.as_deref().unwrap_or_default(), words].join(" ").trim().to_owned(),
            ]
        })
        .collect();
    let headers = ["no", "asked for (utc)", "source", "state", "rows", "case, reason"];
    let mut text = context.output.table(&headers, &["no", "rows"], &rows);
    let met = report.erasures.iter().filter(|one| one.met_at.is_some()).count() as u64;
    if met > 0 {
        text.push_str(&format!(
            "\n{} met in the database after the erasure: `strongroom subject met --backup latest`.\n",
            counted(met, "person was", "people were")
        ));
    }
    if report.tombstones_over > 0 {
        text.push_str(&format!(
            "\nThe time of {} over: `strongroom erasure forget-tombstones`.\n",
            counted(report.tombstones_over, "tombstone is", "tombstones is")
        ));
    }
    text
}

fn page(one: &ErasureReport) -> String {
    let mut text = format!("Erasure {} of source {}\n\n", one.erasure, one.source);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<12}{value}\n"));
    if let Some(case) = &one.case {
        line("case", case);
    }
    for (number, words) in one.reason.lines().enumerate() {
        line(if number == 0 { "reason" } else { "" }, words);
    }
    line("asked for", &format!("{} UTC", when(&one.requested_at)));
    match &one.confirmed_at {
        Some(moment) => line("confirmed", &format!("{} UTC", when(moment))),
        None => line("provisional", "see `strongroom custody list`"),
    }
    let (rows, backups) =
        (counted(one.rows, "row", "rows"), counted(one.backups, "backup", "backups"));
    line("forgotten", &format!("{rows} in {backups}"));
    if let Some(proof) = &one.proof {
        line(
            "tried",
            &format!(
                "{}, of which {} opened",
                counted(proof.segments_tried, "segment", "segments"),
                proof.segments_opened
            ),
        );
    }
    line(
        "tombstone",
        match (one.tombstone, one.tombstone_over) {
            (true, false) => "backups leave her out",
            (true, true) => "backups leave her out; its time is over",
            (false, _) => "none: a backup that meets her takes her in",
        },
    );
    if let Some(moment) = &one.met_at {
        line("met", &format!("in the database, last in the backup of {} UTC", when(moment)));
    }
    text
}
