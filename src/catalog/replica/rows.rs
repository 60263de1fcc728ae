//! A cell's rows as text, and back.
//!
//! ```text
//! {"table":"shard","columns":[["shard_id","INTEGER"],["wrapped_key","BLOB"],["capacity","INTEGER"]]}
//! [1,"00ff…",256]
//! [2,"a0b1…",256]
//! ```
//!
//! A line names a table and its columns with their types; the lines after it are rows. A value is a
//! number (INTEGER), a text (TEXT), hexadecimal digits (BLOB) or null. Tables are in order of their
//! names and rows in order of the primary key, so that equal rows give equal text.

use std::io::Write as _;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use super::super::CatalogError;
use super::super::error::Doing;
use super::cells::{self, Selection};
use crate::base::digest::RunningDigest;
use crate::base::ids::Digest;

/// A cell's rows.
pub struct CellText {
    /// Whole lines, in pieces of about the length that was asked for; none if there is no row.
    pub pieces: Vec<Vec<u8>>,
    /// SHA-256 of all of them.
    pub sha256: Digest,
}

/// The line before a table's rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableLine {
    table: String,
    columns: Vec<(String, String)>,
}

/// Reads the rows of a cell. A piece ends once it has `piece_bytes`.
///
/// # Errors
/// [`CatalogError::Damaged`] when no cell can have that name; [`CatalogError::Database`].
pub fn read(
    connection: &Connection,
    cell: &str,
    piece_bytes: usize,
) -> Result<CellText, CatalogError> {
    let mut text = Pieces { piece_bytes, done: Vec::new(), piece: Vec::new() };
    for selection in cells::selections(connection, cell)? {
        read_table(connection, &selection, &mut text)?;
    }
    let pieces = text.finish();
    let mut digest = RunningDigest::default();
    for piece in &pieces {
        digest.update(piece);
    }
    Ok(CellText { pieces, sha256: digest.finish() })
}

struct Pieces {
    piece_bytes: usize,
    done: Vec<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn end_line(&mut self) {
        self.piece.push(b'\n');
        if self.piece.len() >= self.piece_bytes {
            self.done.push(std::mem::take(&mut self.piece));
        }
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.piece.is_empty() {
            self.done.push(self.piece);
        }
        self.done
    }
}

fn read_table(
    connection: &Connection,
    selection: &Selection,
    text: &mut Pieces,
) -> Result<(), CatalogError> {
    let Selection { table, columns, key, condition, parameters } = selection;
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let order: Vec<String> = key.iter().map(|name| quoted(name)).collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition} ORDER BY {}",
        names.join(", "),
        quoted(table),
        order.join(", ")
    );
    let doing = "read the rows of its replica";
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query(params_from_iter(parameters)).doing(doing)?;
    let mut is_first = true;
    while let Some(row) = rows.next().doing(doing)? {
        if std::mem::take(&mut is_first) {
            let line = TableLine { table: table.clone(), columns: columns.clone() };
            serde_json::to_writer(&mut text.piece, &line).map_err(|_| unwritable(table))?;
            text.end_line();
        }
        for (place, (_, kind)) in columns.iter().enumerate() {
            text.piece.push(if place == 0 { b'[' } else { b',' });
            let value = row.get_ref(place).doing(doing)?;
            write_value(&mut text.piece, kind, value).ok_or_else(|| unwritable(table))?;
        }
        text.piece.push(b']');
        text.end_line();
    }
    Ok(())
}

/// `None` for a value that the column's type does not have: tables are STRICT, so there is none.
fn write_value(text: &mut Vec<u8>, kind: &str, value: ValueRef<'_>) -> Option<()> {
    match (kind, value) {
        (_, ValueRef::Null) => text.extend_from_slice(b"null"),
        ("INTEGER", ValueRef::Integer(number)) => write!(text, "{number}").ok()?,
        ("TEXT", ValueRef::Text(bytes)) => {
            serde_json::to_writer(text, std::str::from_utf8(bytes).ok()?).ok()?;
        }
        ("BLOB", ValueRef::Blob(bytes)) => {
            text.push(b'"');
            let start = text.len();
            text.resize(start + 2 * bytes.len(), 0);
            hex::encode_to_slice(bytes, text.get_mut(start..)?).ok()?;
            text.push(b'"');
        }
        _ => return None,
    }
    Some(())
}

fn unwritable(table: &str) -> CatalogError {
    CatalogError::Damaged { finding: format!("a row of table {table} holds what it cannot hold") }
}

/// Puts the rows of one cell into a catalog, line by line.
pub(super) struct CellWriter<'connection> {
    connection: &'connection Connection,
    tables: Vec<String>,
    insert: Option<Insert>,
}

struct Insert {
    sql: String,
    kinds: Vec<String>,
}

impl<'connection> CellWriter<'connection> {
    pub(super) fn new(connection: &'connection Connection) -> Result<Self, CatalogError> {
        Ok(Self { connection, tables: cells::tables(connection)?, insert: None })
    }

    /// Adds the rows of a piece; returns how many.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] when the text is not of the form, or names what is not there;
    /// [`CatalogError::Database`], also when a row breaks a rule of its table.
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<u64, CatalogError> {
        let lines = piece.strip_suffix(b"\n").ok_or_else(|| damaged("ends within a line"))?;
        let mut rows = 0;
        for line in lines.split(|byte| *byte == b'\n') {
            if line.starts_with(b"{") {
                self.insert = Some(self.begin_table(line)?);
            } else {
                let insert =
                    self.insert.as_ref().ok_or_else(|| damaged("has a row without a table"))?;
                let values = values(line, &insert.kinds)?;
                self.connection
                    .prepare_cached(&insert.sql)
                    .and_then(|mut statement| statement.execute(params_from_iter(values)))
                    .doing("take a row from its replica")?;
                rows += 1;
            }
        }
        Ok(rows)
    }

    fn begin_table(&self, line: &[u8]) -> Result<Insert, CatalogError> {
        let TableLine { table, columns } =
            serde_json::from_slice(line).map_err(|_| damaged("has a line that cannot be read"))?;
        if !self.tables.contains(&table) {
            return Err(damaged("has rows of a table that is not known"));
        }
        let (known, _) = cells::columns(self.connection, &table)?;
        if known != columns {
            return Err(damaged("has a table with other columns than its version has"));
        }
        let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            quoted(&table),
            names.join(", "),
            places.join(", ")
        );
        Ok(Insert { sql, kinds: columns.into_iter().map(|(_, kind)| kind).collect() })
    }
}

fn values(line: &[u8], kinds: &[String]) -> Result<Vec<Value>, CatalogError> {
    let unreadable = || damaged("has a row that cannot be read");
    let values: Vec<serde_json::Value> = serde_json::from_slice(line).map_err(|_| unreadable())?;
    if values.len() != kinds.len() {
        return Err(unreadable());
    }
    let value = |(value, kind): (serde_json::Value, &String)| match (kind.as_str(), value) {
        (_, serde_json::Value::Null) => Some(Value::Null),
        ("INTEGER", serde_json::Value::Number(number)) => number.as_i64().map(Value::Integer),
        ("TEXT", serde_json::Value::String(text)) => Some(Value::Text(text)),
        ("BLOB", serde_json::Value::String(digits)) => hex::decode(digits).ok().map(Value::Blob),
        _ => None,
    };
    values.into_iter().zip(kinds).map(|pair| value(pair).ok_or_else(unreadable)).collect()
}

fn damaged(what: &str) -> CatalogError {
    CatalogError::Damaged { finding: format!("its replica {what}") }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
