//! `strongroom demo`: all of it on a temporary database.

use std::path::PathBuf;

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;

/// What `demo` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom demo
  strongroom demo --keep /tmp/strongroom-demo

Starts a PostgreSQL of its own in a temporary folder, fills it, backs it up, forgets one customer, \
restores, compares, and removes everything again.")]
pub struct Args {
    /// How many customers the database has
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub customers: u32,

    /// Keep the vault in this folder, to look around in it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Shows all of it on a temporary database.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom demo` is not wired yet")))
        .await
}
