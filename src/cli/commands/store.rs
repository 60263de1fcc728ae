//! `strongroom store`: lists, checks and fills the stores.

use crate::catalog::stores::CopyState;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, count, counted, when};
use crate::cli::values::BackupArgs;
use crate::ops::stores;
use crate::ops::stores::{CheckReport, ListReport, ReconcileReport};
use crate::store::Verdict;

/// What `store` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom store list
  strongroom store check offsite
  strongroom store reconcile")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List the stores, and count the copies in them
    #[command(after_help = "\
Example:
  strongroom store list --json

Tells what the catalog knows; no store is asked.")]
    List,
    /// See with real objects what stores can do, and take an empty one in
    #[command(after_help = "\
Example:
  strongroom store check
  strongroom store check offsite

The objects are removed again. The answer is kept, and later commands go by it.")]
    Check {
        /// Only this store
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Copy one backup to a store, whatever its class
    #[command(after_help = "\
Example:
  strongroom store copy latest --to offsite

Every object's digest is checked while it is copied.")]
    Copy {
        /// Which backup.
        #[command(flatten)]
        backup: BackupArgs,

        /// The store
        #[arg(long, value_name = "NAME")]
        to: String,
    },
    /// Copy to the stores what they lack, after an outage or in a new store
    #[command(after_help = "\
Example:
  strongroom store reconcile
  strongroom store reconcile offsite --verify

It can be broken off and run again: what is there is not copied twice. With --verify, what is there is \
read, and a wrong copy is made anew from a right one.")]
    Reconcile {
        /// Only this store
        #[arg(value_name = "NAME")]
        name: Option<String>,

        /// Read what is there already
        #[arg(long)]
        verify: bool,
    },
}

/// Does it.
///
/// # Errors
/// See [`Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    match &args.command {
        Command::List => {
            let list = stores::list(&vault)?;
            let text = listed(context, &list);
            Ok(Report::new(&list, text)?.as_product())
        }
        Command::Check { name } => {
            let checked = stores::check(&vault, name.as_deref()).await?;
            let well = checked.stores.iter().all(|store| store.fit);
            let exit = if well { Exit::Done } else { Exit::Store };
            Ok(Report::new(&checked, findings(&checked))?.with_exit(exit))
        }
        Command::Copy { backup, to } => {
            let credentials = context.credentials(&config)?;
            let progress = context.progress();
            let copied =
                stores::copy_to(&vault, &credentials, &backup.choice()?, to, &progress).await;
            progress.finish();
            let copied = copied?;
            let text = format!(
                "Backup {} of source {} is complete in store `{}`: {} copied, {}.\n",
                copied.backup,
                copied.source,
                copied.store,
                counted(copied.objects, "object", "objects"),
                bytes(copied.bytes)
            );
            Report::new(&copied, text)
        }
        Command::Reconcile { name, verify } => {
            let credentials = context.credentials(&config)?;
            let progress = context.progress();
            let name = name.as_deref();
            let done = stores::reconcile(&vault, &credentials, name, *verify, &progress).await;
            progress.finish();
            let done = done?;
            let complete = done.stores.iter().all(|store| store.state == CopyState::Complete);
            let exit = if complete { Exit::Done } else { Exit::Provisional };
            Ok(Report::new(&done, reconciled(&done))?.with_exit(exit))
        }
    }
}

fn listed(context: &Context, list: &ListReport) -> String {
    let row = |store: &stores::ListedStore| {
        vec![
            store.store.clone(),
            if store.classes.is_empty() { "all".to_owned() } else { store.classes.join(", ") },
            count(store.complete),
            count(store.behind),
            if store.has_newest_replica { "newest" } else { "behind" }.to_owned(),
            store.checked_at.as_deref().map_or_else(|| "never".to_owned(), when),
            store.location.clone(),
        ]
    };
    let rows: Vec<_> = list.stores.iter().map(row).collect();
    let headers = ["store", "classes", "complete", "behind", "catalog", "checked", "place"];
    let mut text = context.output.table(&headers, &["complete", "behind"], &rows);
    for backup in list.backups.iter().filter(|backup| !backup.behind.is_empty()) {
        text.push_str(&format!(
            "\n{} ({}): {}, missing in {}\n",
            backup.backup,
            backup.class,
            counted(backup.complete.len() as u64, "copy", "copies"),
            backup.behind.join(", ")
        ));
    }
    text
}

fn findings(checked: &CheckReport) -> String {
    let mut text = String::new();
    for store in &checked.stores {
        let standing = match (&store.failure, store.fit) {
            (Some(failure), _) => format!("could not be looked at: {failure}"),
            (None, true) => "is fit for a vault".to_owned(),
            (None, false) => "is NOT fit for a vault".to_owned(),
        };
        text.push_str(&format!("Store `{}` {standing}.\n", store.store));
        let findings = store.capabilities.iter().flat_map(|one| &one.findings);
        for (capability, finding) in findings {
            let verdict = match finding.verdict {
                Verdict::Yes => "yes",
                Verdict::No => "no",
                Verdict::Unknown => "unknown",
            };
            let name = capability.as_str();
            text.push_str(&format!("  {name:<22}  {verdict:<7}  {}\n", finding.consequence));
        }
        if store.taken {
            text.push_str(
                "It was empty and is this vault's now; `strongroom store reconcile` fills it.\n",
            );
        }
    }
    text
}

fn reconciled(done: &ReconcileReport) -> String {
    let mut text = String::new();
    for store in &done.stores {
        let copied = match store.objects {
            0 => "nothing was missing".to_owned(),
            objects => {
                format!("{} copied, {}", counted(objects, "object", "objects"), bytes(store.bytes))
            }
        };
        text.push_str(&format!(
            "Store `{}` is {}: {}, {copied}.\n",
            store.store,
            store.state,
            counted(store.backups, "backup", "backups"),
        ));
        for problem in &store.problems {
            text.push_str(&format!("  {problem}\n"));
        }
    }
    text
}
