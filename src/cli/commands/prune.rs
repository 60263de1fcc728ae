//! `strongroom prune`: removes what a crash left in the stores.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Report, bytes, counted};
use crate::ops::prune;

/// What `prune` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom prune --dry-run
  strongroom prune

Removes objects that no backup in the catalog needs. A backup is never touched.")]
pub struct Args {
    /// Only tell what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// Removes what no backup needs.
///
/// # Errors
/// See [`crate::cli::exit::Exit`].
pub async fn run(context: &Context, args: &Args) -> Result<Report, CliError> {
    let config = context.config()?;
    let vault = context.vault(&config)?;
    let report = prune::prune(&vault, args.dry_run).await?;
    let objects = counted(report.objects.len() as u64, "object", "objects");
    let mut text = match (report.objects.is_empty(), report.removed) {
        (true, _) => "Nothing to remove: every object is needed by a backup.\n".to_owned(),
        (false, true) => format!("Removed {objects}, {}.\n", bytes(report.bytes)),
        (false, false) => {
            let names = report.objects.iter().map(|object| format!("  {}\n", object.name));
            let names: String = names.collect();
            format!("Would remove {objects}, {}:\n{names}", bytes(report.bytes))
        }
    };
    for sentence in report.retained.iter().chain(&report.not_reached) {
        text.push_str(&format!("  {sentence}\n"));
    }
    let exit = if report.not_reached.is_empty() { Exit::Done } else { Exit::Provisional };
    Ok(Report::new(&report, text)?.with_exit(exit))
}
