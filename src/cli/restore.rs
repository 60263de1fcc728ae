//! `strongroom restore`: restores a backup into a database.

use super::backup::PartArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::{BackupSelector, ConnectionUrl, OnGoneChoice};
use crate::schema::QualifiedName;

/// What `restore` takes.
// Each is a flag of its own on the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom restore latest --to postgresql://postgres@localhost/finance_copy --create
  strongroom restore 20261122T02 --to env:TARGET_URL --table public.accounts

People who were erased do not come back: their rows are skipped and counted. References to them
follow the subject map, or --on-gone. A URL with a password goes into an environment variable.")]
pub struct Args {
    /// A backup's id, the beginning of one, or `latest`
    #[arg(value_name = "BACKUP")]
    pub backup: BackupSelector,

    /// The database to restore into: its URL, or the environment variable that holds it
    #[arg(long, value_name = "URL|env:VAR")]
    pub to: ConnectionUrl,

    /// Create the database first
    #[arg(long)]
    pub create: bool,

    /// Only this table; repeatable
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<QualifiedName>,

    /// Which part of the database.
    #[command(flatten)]
    pub part: PartArgs,

    /// Leave out who owns what; all belongs to the role that connects
    #[arg(long)]
    pub no_owner: bool,

    /// Leave out GRANT and REVOKE
    #[arg(long)]
    pub no_privileges: bool,

    /// Connections that write at the same time [default: as configured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,

    /// What to do with references to people who are gone, instead of what the map says; repeatable
    #[arg(long = "on-gone", value_name = "TABLE.COLUMN=null|drop|placeholder")]
    pub on_gone: Vec<OnGoneChoice>,

    /// Restore even if the database has tables already
    #[arg(long, conflicts_with = "create")]
    pub into_non_empty: bool,
}

/// Restores a backup into a database.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom restore` is not wired yet")))
        .await
}
