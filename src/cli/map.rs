//! `strongroom map`: decides which row belongs to whom.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::{LargeObjectsChoice, OwnerChoice, source_name};
use crate::schema::QualifiedName;

/// What `map` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom map finance --root public.users
  strongroom map finance --root public.users --owner notes=author_id --shared currencies --write
  strongroom map finance --check

Ownership is inferred from foreign keys; what they leave open is listed with the flag that decides
it. --write saves the map as a file to review and edit. --check fails once the database has a
table or column that the map does not know, or lacks one that it names.")]
pub struct Args {
    /// The source's name
    #[arg(value_parser = source_name)]
    pub name: String,

    /// A table whose rows are people, one row a person; repeatable
    #[arg(long = "root", value_name = "SCHEMA.TABLE")]
    pub roots: Vec<QualifiedName>,

    /// The column that says whose a table's rows are (several, by commas, for a composite key);
    /// repeatable
    #[arg(long = "owner", value_name = "TABLE=COLUMN")]
    pub owners: Vec<OwnerChoice>,

    /// A table whose rows are nobody's own; repeatable
    #[arg(long = "shared", value_name = "TABLE")]
    pub shared: Vec<QualifiedName>,

    /// A column that names large objects, which belong to its row's owner, or `shared`; repeatable
    #[arg(long = "large-objects", value_name = "TABLE.COLUMN|shared")]
    pub large_objects: Vec<LargeObjectsChoice>,

    /// Save the map
    #[arg(long)]
    pub write: bool,

    /// Compare the saved map with the database
    #[arg(long, conflicts_with_all = ["write", "roots", "owners", "shared", "large_objects"])]
    pub check: bool,
}

/// Infers, saves or checks a subject map.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom map` is not wired yet")))
        .await
}
