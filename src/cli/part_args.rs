//! Which part of a database a backup or a restore takes.

use crate::container::manifest::Contents;

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

impl PartArgs {
    /// What is backed up or restored.
    #[must_use]
    pub fn contents(self) -> Contents {
        match (self.schema_only, self.data_only) {
            (true, _) => Contents::SchemaOnly,
            (false, true) => Contents::DataOnly,
            (false, false) => Contents::Full,
        }
    }
}
