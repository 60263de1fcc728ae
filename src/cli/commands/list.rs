//! `strongroom list`: lists the backups.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{Report, bytes, count};
use crate::cli::values::source_name;
use crate::ops::inspect::{self, BackupSummary};

/// What `list` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom list
  strongroom list --source finance --json")]
pub struct Args {
    /// Only the backups of this source
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<String>,
}

/// Lists the backups.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let backups = inspect::list(&vault, args.source.as_deref())?;
    let row = |one: &BackupSummary| {
        vec![
            one.backup.to_string(),
            one.source.clone(),
            one.class.to_owned(),
            count(one.rows),
            bytes(one.stored_bytes),
            one.note.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = backups.iter().map(row).collect();
    let text = if rows.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else {
        let headers = ["backup", "source", "class", "rows", "stored", "note"];
        context.output.table(&headers, &["rows", "stored"], &rows)
    };
    std::future::ready(Report::new(&json!({ "backups": backups }), text)).await
}
