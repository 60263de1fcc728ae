//! `strongroom show`: shows what a backup holds.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, bytes, count, counted, shown, when};
use crate::cli::values::BackupArgs;
use crate::ops::inspect;

/// What `show` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom show latest
  strongroom show 20261122T02 --json")]
pub struct Args {
    /// Which backup.
    #[command(flatten)]
    pub backup: BackupArgs,
}

/// Shows what a backup holds.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let credentials = context.credentials(&config)?;
    let details = inspect::show(&vault, &credentials, &args.backup.choice()?).await?;
    let rows: Vec<_> = details
        .relations
        .iter()
        .map(|one| {
            vec![
                one.relation.clone(),
                count(one.rows),
                count(one.subjects),
                bytes(one.raw_bytes),
                bytes(one.stored_bytes),
            ]
        })
        .collect();
    let headers = ["table", "rows", "people", "raw", "stored"];
    let table = context.output.table(&headers, &headers[1..], &rows);
    let summary = &details.summary;
    let text = format!(
        "Backup {}

  source      {} (PostgreSQL {})
  class       {}, {}
  note        {}
  snapshot    {} UTC
  complete    {} UTC
  rows        {}
  stored      {}, and {} of earlier backups referred to; {} in all

{table}",
        summary.backup,
        summary.source,
        shown(&details.server_version),
        summary.class,
        summary.contents,
        summary.note.as_deref().map_or_else(|| "none".to_owned(), shown),
        when(&summary.snapshot_at),
        when(&details.finished_at),
        count(summary.rows),
        bytes(summary.stored_bytes),
        bytes(summary.referenced_bytes),
        counted(details.packs, "pack", "packs"),
    );
    Ok(Report::new(&details, text)?.as_product())
}
