//! `strongroom backup`: backs up a database.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::output::Report;
use super::values::source_name;

/// What `backup` takes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strongroom backup finance
  strongroom backup finance --class pre-migration --note \"before release 4.2\"

A table that the subject map does not know stops the backup. Rows of people who were erased from
this vault are never sealed again: they are counted, and named in a warning.")]
pub struct Args {
    /// The source's name
    #[arg(value_parser = source_name)]
    pub name: String,

    /// What kind of backup it is
    #[arg(long, value_enum, default_value_t = Class::Manual)]
    pub class: Class,

    /// A word for those who read the list later; never a person's data
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Which part of the database.
    #[command(flatten)]
    pub part: PartArgs,

    /// Connections that read at the same time [default: as configured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,

    /// End with exit code 11 if a person erased from this vault is still in the database
    #[arg(long)]
    pub strict: bool,
}

/// What kind of backup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Class {
    /// One of every day.
    Daily,
    /// One of every week.
    Weekly,
    /// Before a change of the schema.
    PreMigration,
    /// Made by hand.
    Manual,
}

impl Class {
    /// The name as the catalog and the command line write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::PreMigration => "pre-migration",
            Self::Manual => "manual",
        }
    }
}

/// Which part of a database.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PartArgs {
    /// Only the schema, no rows
    #[arg(long, conflicts_with = "data_only")]
    pub schema_only: bool,

    /// Only the rows, no schema
    #[arg(long)]
    pub data_only: bool,
}

/// Backs up a database.
///
/// # Errors
/// See [`Exit`].
pub async fn run(_context: &Context, _args: &Args) -> Result<Report, CliError> {
    std::future::ready(Err(CliError::new(Exit::Internal, "`strongroom backup` is not wired yet")))
        .await
}
