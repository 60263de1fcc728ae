//! How the catalog's rows are divided into cells, the parts in which they go to the store.
//!
//! | cell | what it holds |
//! |---|---|
//! | `subject:<shard>` | the subjects of one shard |
//! | `shard` | all shards |
//! | `backup:<id>` | a backup, the lists of its packs and layers, and where it lies |
//! | `pack:<2 digits>` | packs by the first byte of their identifiers |
//! | `subject-map:<number>` | a subject map |
//! | `tombstone:<2 digits>` | tombstones by the first byte of their MACs |
//! | `erasure:<n>`, `audit:<n>` | numbers 256 n to 256 n + 255 |
//! | `custody:<n>` | the custodians' accounts of 256 epochs |
//! | `audit-head` | the head of the audit log |
//! | `vault` | every other table, whole: they are small |
//!
//! The triggers of `catalog-schema/0006_replica.sql` and of later files follow the same table, and a test compares them
//! with it. They mark no change of the cell `vault`, so a sync always looks at that one. A new
//! table is in `vault` by itself; one that grows with people or backups needs a line here and
//! triggers.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::super::CatalogError;
use super::super::error::Doing;

/// The cell of all tables that are not divided.
pub const VAULT: &str = "vault";

/// How many numbered rows share a cell.
const NUMBERS: i64 = 256;

struct Division {
    table: &'static str,
    cell: &'static str,
    by: By,
}

enum By {
    /// One cell.
    Whole,
    /// A cell for each value of a column of numbers.
    Number(&'static str),
    /// A cell for each value of a column of texts.
    Text(&'static str),
    /// A cell for each first byte of a column of bytes.
    FirstByte(&'static str),
    /// A cell for each 256 numbers.
    Numbers(&'static str),
}

const DIVISIONS: [Division; 16] = [
    Division { table: "audit_entry", cell: "audit", by: By::Numbers("seq") },
    Division { table: "audit_head", cell: "audit-head", by: By::Whole },
    Division { table: "backup", cell: "backup", by: By::Text("backup_id") },
    Division { table: "backup_copy", cell: "backup", by: By::Text("backup_id") },
    Division { table: "backup_layer", cell: "backup", by: By::Text("backup_id") },
    Division { table: "backup_pack", cell: "backup", by: By::Text("backup_id") },
    Division { table: "erasure", cell: "erasure", by: By::Numbers("erasure_id") },
    Division { table: "erasure_met", cell: "backup", by: By::Text("backup_id") },
    Division { table: "erasure_proof", cell: "erasure", by: By::Numbers("erasure_id") },
    Division { table: "pack", cell: "pack", by: By::FirstByte("pack_id") },
    Division { table: "shard", cell: "shard", by: By::Whole },
    Division { table: "share", cell: "custody", by: By::Numbers("epoch") },
    Division { table: "share_set", cell: "custody", by: By::Numbers("epoch") },
    Division { table: "subject", cell: "subject", by: By::Number("shard_id") },
    Division { table: "subject_map", cell: "subject-map", by: By::Number("map_number") },
    Division { table: "tombstone", cell: "tombstone", by: By::FirstByte("mac") },
];

/// Keys of the replica's own objects are not in the replica's cells but in its head.
const VAULT_KEYS_HERE: &str = "kind NOT GLOB 'replica:*'";

/// Which rows of a table belong to a cell.
pub(super) struct Selection {
    pub table: String,
    /// The columns with their types, in the table's order.
    pub columns: Vec<(String, String)>,
    /// The columns of the primary key, in its order.
    pub key: Vec<String>,
    /// A condition, with these parameters.
    pub condition: String,
    pub parameters: Vec<Value>,
}

impl Division {
    /// The name of a row's cell, as SQL.
    fn name(&self) -> String {
        let cell = self.cell;
        match self.by {
            By::Whole => format!("'{cell}'"),
            By::Number(column) | By::Text(column) => format!("'{cell}:' || {column}"),
            By::FirstByte(column) => format!("'{cell}:' || lower(hex(substr({column}, 1, 1)))"),
            By::Numbers(column) => format!("'{cell}:' || ({column} / {NUMBERS})"),
        }
    }

    /// The condition for the rows of a cell, if the cell is of this division.
    fn condition(&self, cell: &str) -> Option<(String, Vec<Value>)> {
        if let By::Whole = self.by {
            return (cell == self.cell).then(|| ("1".to_owned(), Vec::new()));
        }
        let part = cell.strip_prefix(self.cell)?.strip_prefix(':')?;
        match self.by {
            By::Whole => None,
            By::Number(column) => {
                Some((format!("{column} = ?1"), vec![part.parse::<i64>().ok()?.into()]))
            }
            By::Text(column) => Some((format!("{column} = ?1"), vec![part.to_owned().into()])),
            By::FirstByte(column) => {
                let mut first = [0];
                hex::decode_to_slice(part, &mut first).ok()?;
                // No value of this length or less is beyond the first, and none is shorter.
                let last = [&first[..], &[0xff; 63]].concat();
                let range = format!("{column} BETWEEN ?1 AND ?2");
                Some((range, vec![first.to_vec().into(), last.into()]))
            }
            By::Numbers(column) => {
                let first = part.parse::<i64>().ok()?.checked_mul(NUMBERS)?;
                let last = first.checked_add(NUMBERS - 1)?;
                Some((format!("{column} BETWEEN ?1 AND ?2"), vec![first.into(), last.into()]))
            }
        }
    }
}

/// A SELECT for each divided table, which gives the names of all its cells.
pub(super) fn names_of_all() -> impl Iterator<Item = String> {
    DIVISIONS.iter().map(|one| format!("SELECT DISTINCT {} FROM {}", one.name(), one.table))
}

/// The tables that are replicated, by name: all but SQLite's and the replica's own.
pub(super) fn tables(connection: &Connection) -> Result<Vec<String>, CatalogError> {
    let query = || -> rusqlite::Result<Vec<String>> {
        connection
            .prepare_cached(
                "SELECT name FROM sqlite_schema WHERE type = 'table'
                 AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'replica_*' ORDER BY name",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    query().doing("list its tables")
}

/// What belongs to a cell, table by table.
///
/// # Errors
/// [`CatalogError::Damaged`] when no cell can have that name.
pub(super) fn selections(
    connection: &Connection,
    cell: &str,
) -> Result<Vec<Selection>, CatalogError> {
    let mut selections = Vec::new();
    if cell == VAULT {
        for table in tables(connection)? {
            if DIVISIONS.iter().any(|division| division.table == table) {
                continue;
            }
            let condition = if table == "vault_key" { VAULT_KEYS_HERE } else { "1" };
            selections.push(selection(connection, &table, condition.to_owned(), Vec::new())?);
        }
        return Ok(selections);
    }
    for division in &DIVISIONS {
        if let Some((condition, parameters)) = division.condition(cell) {
            selections.push(selection(connection, division.table, condition, parameters)?);
        }
    }
    if selections.is_empty() {
        let finding = format!("it names a part of itself `{cell}`, which cannot be");
        return Err(CatalogError::Damaged { finding });
    }
    Ok(selections)
}

fn selection(
    connection: &Connection,
    table: &str,
    condition: String,
    parameters: Vec<Value>,
) -> Result<Selection, CatalogError> {
    let (columns, key) = columns(connection, table)?;
    Ok(Selection { table: table.to_owned(), columns, key, condition, parameters })
}

type Columns = (Vec<(String, String)>, Vec<String>);

/// The columns of a table with their types, and those of its primary key.
pub(super) fn columns(connection: &Connection, table: &str) -> Result<Columns, CatalogError> {
    let query = || -> rusqlite::Result<Vec<(String, String, u32)>> {
        connection
            .prepare_cached("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    };
    let all = query().doing("list the columns of a table")?;
    let mut key: Vec<_> = all.iter().filter(|(_, _, place)| *place > 0).collect();
    key.sort_by_key(|(_, _, place)| *place);
    let key = key.into_iter().map(|(name, _, _)| name.clone()).collect();
    Ok((all.into_iter().map(|(name, kind, _)| (name, kind)).collect(), key))
}

/// Whether anything was marked since the last sync, the cell `vault` aside.
pub fn any_marked(connection: &Connection) -> Result<bool, CatalogError> {
    connection
        .query_row("SELECT 1 FROM replica_dirty LIMIT 1", [], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .doing("look what its replica lacks")
}
