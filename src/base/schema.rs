//! What a source's database looks like, as plain values.
//!
//! The postgres layer reads these values from a live server, the subject map is inferred from them,
//! and a backup's manifest carries them. Nothing here talks to a database or knows a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A relation's schema and name, exactly as PostgreSQL stores them (unquoted, case kept).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    /// The schema (namespace).
    pub schema: String,
    /// The relation's own name.
    pub name: String,
}

impl QualifiedName {
    /// A name from its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// The name as SQL, both parts always quoted: `"public"."users"`.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

/// Quotes one SQL identifier, always: `users` becomes `"users"`.
#[must_use]
pub fn quote_identifier(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Quotes one SQL literal (`standard_conforming_strings = on`): `it's` becomes `'it''s'`.
#[must_use]
pub fn quote_literal(literal: &str) -> String {
    format!("'{}'", literal.replace('\'', "''"))
}

/// As a person writes it: quotes only around a part that needs them.
impl fmt::Display for QualifiedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", display_identifier(&self.schema), display_identifier(&self.name))
    }
}

/// One identifier as a person writes it: quoted only if it needs to be.
#[must_use]
pub fn display_identifier(identifier: &str) -> String {
    let plain = identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && identifier
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain { identifier.to_owned() } else { quote_identifier(identifier) }
}

/// Why a text is not a table's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a table name; write SCHEMA.TABLE, with double quotes around unusual parts")]
pub struct InvalidName(pub String);

/// Reads `schema.table`, `table` (schema `public`) and quoted parts, folding as PostgreSQL does:
/// unquoted parts to lower case, ASCII letters alone.
impl FromStr for QualifiedName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts = split_identifiers(text).ok_or_else(|| InvalidName(text.to_owned()))?;
        match <[String; 1]>::try_from(parts) {
            Ok([name]) => Ok(Self::new("public", name)),
            Err(parts) => match <[String; 2]>::try_from(parts) {
                Ok([schema, name]) => Ok(Self::new(schema, name)),
                Err(_) => Err(InvalidName(text.to_owned())),
            },
        }
    }
}

/// Splits a dotted name into its identifiers; `None` if it is malformed. `public.users.id` gives
/// three parts.
#[must_use]
pub fn split_identifiers(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut characters = quoted.char_indices().peekable();
            let end = loop {
                match characters.next()? {
                    (index, '"') => match characters.peek() {
                        Some((_, '"')) => {
                            characters.next();
                            part.push('"');
                        }
                        _ => break index + 1,
                    },
                    (_, other) => part.push(other),
                }
            };
            (part, &quoted[end..])
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            if rest[..end].contains('"') {
                return None;
            }
            (rest[..end].to_ascii_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

impl Serialize for QualifiedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QualifiedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Everything that strongroom asks of a database before it reads the first row.
///
/// Objects that belong to an extension are left out everywhere: the extension makes them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSchema {
    /// The server's version as `server_version_num` gives it (150018 is 15.18).
    pub server_version_num: u32,
    /// What `CREATE DATABASE` needs to make its like.
    pub database: DatabaseSettings,
    /// Tables that hold rows, ordered by name. A partitioned table is one table, whatever its
    /// partitions; its partitions are not listed by themselves.
    pub tables: Vec<Table>,
    /// Foreign keys, ordered by name of table, then constraint.
    pub foreign_keys: Vec<ForeignKey>,
    /// Sequences with the value that they stood at.
    pub sequences: Vec<Sequence>,
    /// Materialised views that hold rows, in an order in which they can be refreshed.
    pub materialized_views: Vec<QualifiedName>,
    /// Foreign tables: their definitions are backed up, their rows live elsewhere and are not.
    pub foreign_tables: Vec<QualifiedName>,
    /// Tables of extensions whose extension marks them as configuration; left to the extension.
    pub extension_tables: Vec<QualifiedName>,
    /// How many large objects the database holds.
    pub large_objects: u64,
    /// Roles that own objects here or are granted rights on them, ordered.
    pub roles: Vec<String>,
}

impl DatabaseSchema {
    /// The table of that name. A partition finds the partitioned table that its rows belong to.
    #[must_use]
    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name || table.partitions.contains(name))
    }
}

/// What makes a database like the source's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSettings {
    /// The database's name.
    pub name: String,
    /// Its encoding, as `pg_encoding_to_char` names it (`UTF8`).
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The locale provider: `c` (libc), `i` (ICU) or `b` (builtin).
    pub locale_provider: char,
    /// The ICU or builtin locale, where the provider has one.
    pub locale: Option<String>,
    /// Rules of collation beyond the ICU locale's (PostgreSQL 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
}

/// How a table keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// An ordinary table; rows of inheritance children are not its own.
    Ordinary,
    /// A partitioned table, read and written through its root.
    Partitioned,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its object identifier in the source (names it in `pg_restore`'s list).
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// How it keeps its rows.
    pub kind: TableKind,
    /// Whether it is unlogged (backed up like any other; a crash of the server empties it).
    pub unlogged: bool,
    /// Its columns in order, dropped ones left out.
    pub columns: Vec<Column>,
    /// The primary key's columns in key order; empty when there is none, or one over periods
    /// (`WITHOUT OVERLAPS`), which names versions of a row.
    pub primary_key: Vec<String>,
    /// The tables that it inherits from (not by partitioning).
    pub inherits: Vec<QualifiedName>,
    /// All partitions below it, at any depth.
    pub partitions: Vec<QualifiedName>,
    /// The planner's estimate of its rows, for progress only.
    pub rows_estimated: u64,
    /// Its size on the server with TOAST, for progress and order only.
    pub bytes_estimated: u64,
}

impl Table {
    /// The columns that COPY carries: all but generated ones.
    pub fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as `format_type` prints it (`numeric(12,2)`).
    pub type_name: String,
    /// Its type's object identifier in the source.
    pub type_oid: u32,
    /// Whether it refuses NULL (by itself or by its domain).
    pub not_null: bool,
    /// Whether it has a default or is an identity column.
    pub has_default: bool,
    /// Whether it is generated (stored or virtual), so never copied.
    pub generated: bool,
}

/// One foreign key. One that a partitioned table hands down to its partitions is listed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its object identifier in the source (names it in `pg_restore`'s list).
    pub oid: u32,
    /// The constraint's name.
    pub name: String,
    /// The referring table (a partition, if the constraint is the partition's own).
    pub table: QualifiedName,
    /// The referring columns.
    pub columns: Vec<String>,
    /// The table referred to.
    pub referenced_table: QualifiedName,
    /// The columns referred to, in the order of `columns`.
    pub referenced_columns: Vec<String>,
    /// False for `NOT VALID`: existing rows were never checked and may dangle.
    pub validated: bool,
    /// Whether it is `MATCH FULL`: then a part of the columns must not be NULL alone.
    pub match_full: bool,
    /// Whether its last column is a `PERIOD` (PostgreSQL 18): then the rows that equal the other
    /// columns must together cover the referring row's period, and none need equal it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temporal: bool,
}

/// A sequence and where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: QualifiedName,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`: whether `last_value` was already handed out.
    pub is_called: bool,
}

/// The way from a table's row to the data subject that owns it.
///
/// With `table` as `t0`: each join leads from the table before to the next by
/// `t(n).columns = t(n+1).referenced_columns`; at the last one, `key_columns` hold the subject's
/// key. If any join finds nothing or a key column is NULL, the row is nobody's: the commons'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerPath {
    /// The subject class that the path leads to.
    pub class: String,
    /// The joins, none when the table itself holds the key.
    pub joins: Vec<Join>,
    /// The columns at the path's end that equal the root's primary key, in that key's order.
    pub key_columns: Vec<String>,
}

/// One step of an [`OwnerPath`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Columns of the table so far.
    pub columns: Vec<String>,
    /// The table that they refer to.
    pub table: QualifiedName,
    /// Whether only that table's own rows count: it is an ordinary table, and foreign keys do not
    /// hold for its inheritance children. False for partitioned tables and their partitions.
    pub only: bool,
    /// The columns referred to.
    pub referenced_columns: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        assert_eq!("Users".parse(), Ok(QualifiedName::new("public", "users")));
        assert_eq!("ÄRA.Straße".parse(), Ok(QualifiedName::new("Ära", "straße")));
        assert_eq!("a.\"B \"\"c\"".parse(), Ok(QualifiedName::new("a", "B \"c")));
        assert_eq!("\"a.b\".c".parse(), Ok(QualifiedName::new("a.b", "c")));
        for wrong in ["", ".", "a.", "a.b.c", "\"a", "a\"b", "\"a\"b"] {
            assert!(wrong.parse::<QualifiedName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_displayed_is_read_back() {
        for (schema, name) in [("public", "users"), ("Ä", "x.y"), ("a", "q\"q"), ("1", "$")] {
            let written = QualifiedName::new(schema, name);
            assert_eq!(written.to_string().parse(), Ok(written));
        }
    }
}
