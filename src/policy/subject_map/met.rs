//! Rows whose owner is in doubt, as a backup met them.

use serde::Serialize;

use super::model::Unknown;
use crate::base::schema::QualifiedName;

/// What was met in one table of people, as a backup reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableOwners {
    /// The table.
    pub table: QualifiedName,
    /// Rows that are nobody's: the column that leads to the owner is NULL.
    pub nobodys_rows: u64,
    /// Rows that lead to a row that is not there.
    pub rows_that_lead_nowhere: u64,
    /// Rows with a key that neither the root has, nor a tombstone, nor a backup before.
    pub rows_of_unknown_keys: u64,
    /// Rows of people who are in earlier backups and have no row in the root any more: still theirs.
    pub rows_gone_from_root: u64,
    /// What was done with the rows of unknown owners.
    pub unknown: Unknown,
}

impl TableOwners {
    /// Rows whose owner nobody knows.
    #[must_use]
    pub fn unknown_rows(&self) -> u64 {
        self.rows_that_lead_nowhere + self.rows_of_unknown_keys
    }

    /// How many rows of which tables, for an error's end: ": public.a has 3 rows, public.b has 1 row".
    #[must_use]
    pub fn sentence(tables: &[Self]) -> String {
        let one = |table: &Self| {
            let rows = table.unknown_rows();
            format!("{} has {rows} {}", table.table, if rows == 1 { "row" } else { "rows" })
        };
        let listed: Vec<String> = tables.iter().take(5).map(one).collect();
        let more = match tables.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(", and {more} more tables"),
        };
        format!(": {}{more}", listed.join(", "))
    }
}
