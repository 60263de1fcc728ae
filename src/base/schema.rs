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
    /// Columns that are unique together by a constraint or an index that holds for every row. Read of a
    /// live database only, never stored.
    #[serde(skip)]
    pub unique: Vec<Vec<String>>,
    /// Its `CHECK` constraints. Read of a live database only, never stored.
    #[serde(skip)]
    pub checks: Vec<Check>,
}

/// One `CHECK` constraint of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// The columns that it looks at.
    pub columns: Vec<String>,
    /// Its condition as SQL, without the table's name.
    pub condition: String,
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
    /// How equal values compare. Read of a live database only, never stored.
    #[serde(skip)]
    pub equality: Equality,
    /// Where its type is a domain, the type below, as `format_type` prints it. Read of a live database
    /// only, never stored.
    #[serde(skip)]
    pub domain_over: Option<String>,
}

impl Column {
    /// The type that decides how values are compared and written: that below a domain.
    #[must_use]
    pub fn plain_type(&self) -> &str {
        self.domain_over.as_deref().unwrap_or(&self.type_name)
    }
}

/// Whether two values of a column that the server calls equal are always the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Equality {
    /// Nobody asked the server: the description was stored with a backup.
    #[default]
    NotAsked,
    /// They are: the type's operator class says so, and the collation is deterministic.
    SameBytes,
    /// They may differ, as `5` and `5.00` do, or `Ana` and `ANA`: only the server can compare.
    ByTheServer,
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
    /// What the application's own `DELETE` of the row referred to does. Read of a live database only,
    /// never stored.
    #[serde(skip)]
    pub on_delete: OnDelete,
    /// What a change of the key that is referred to does. Read of a live database only, never stored.
    #[serde(skip)]
    pub on_update: OnUpdate,
}

/// What a change of the key that a foreign key refers to does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUpdate {
    /// It is not allowed, or the reference is released.
    #[default]
    Other,
    /// It is carried along.
    Cascade,
}

/// What deleting the row that a foreign key refers to does to the row that refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDelete {
    /// It is not allowed while the row is there.
    #[default]
    Refuse,
    /// The row goes, too: it is owned.
    Cascade,
    /// The row stays, without the reference: it is not owned.
    Release,
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

/// The ways from a table's rows to the data subjects that own them, in their order: the first that gives
/// an owner counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerWays {
    /// At least one.
    pub ways: Vec<OwnerPath>,
    /// Whether a row that no way's conditions take is nobody's. Else it is unknown whose it is.
    pub otherwise_shared: bool,
}

impl OwnerWays {
    /// The only way, if every row's key is proven by foreign keys: then the key alone says whose a row
    /// is, and NULL that it is nobody's.
    #[must_use]
    pub fn proven(&self) -> Option<&OwnerPath> {
        match self.ways.as_slice() {
            [way] if way.is_proven() => Some(way),
            _ => None,
        }
    }

    /// The classes that the ways lead to, each once, in the order of the ways.
    #[must_use]
    pub fn classes(&self) -> Vec<&str> {
        let mut classes = Vec::new();
        for way in &self.ways {
            if !classes.contains(&way.class.as_str()) {
                classes.push(way.class.as_str());
            }
        }
        classes
    }
}

impl From<OwnerPath> for OwnerWays {
    fn from(way: OwnerPath) -> Self {
        Self { ways: vec![way], otherwise_shared: false }
    }
}

/// One way from a table's row to the data subject that owns it.
///
/// With the table as 0: each join leads from the table before to the next by
/// `n.columns = (n+1).referenced_columns`; at the last one, `key_columns` hold the subject's key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerPath {
    /// The subject class that the path leads to.
    pub class: String,
    /// The way holds only for rows for which all of these do.
    pub conditions: Vec<WayCondition>,
    /// The joins, none when the table itself holds the key.
    pub joins: Vec<Join>,
    /// The columns at the path's end that equal the root's primary key, in that key's order.
    pub key_columns: Vec<String>,
    /// The root by its key, where no foreign key proves that it has the keys at the path's end: then
    /// each of them is looked up.
    pub lookup: Option<Join>,
}

impl OwnerPath {
    /// The joins of the way, and that with the root at its end, where keys are looked up there.
    pub fn all_joins(&self) -> impl Iterator<Item = &Join> {
        self.joins.iter().chain(&self.lookup)
    }

    fn is_proven(&self) -> bool {
        self.conditions.is_empty()
            && self.lookup.is_none()
            && self.joins.iter().all(|join| join.proven)
    }
}

/// A way holds only where a column has one of these values, compared as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayCondition {
    /// On which table of the way: 0 is the one that it begins with.
    pub place: usize,
    /// The column.
    pub column: String,
    /// The values.
    pub values: Vec<String>,
}

/// One step of an [`OwnerPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Columns of the table so far.
    pub columns: Vec<String>,
    /// What of the columns' values is compared.
    pub reading: Reading,
    /// The table that they refer to.
    pub table: QualifiedName,
    /// Whether only that table's own rows count: it is an ordinary table, and foreign keys do not
    /// hold for its inheritance children. False for partitioned tables and their partitions.
    pub only: bool,
    /// The columns referred to.
    pub referenced_columns: Vec<String>,
    /// Whether a row is there for all columns that are not NULL: a foreign key says so.
    pub proven: bool,
    /// Whether a row that finds none is nobody's, and not unknown: the foreign key leads the other way.
    pub optional: bool,
}

/// What of a column's value leads on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Reading {
    /// The first element of an array, or the value at this path of a `jsonb` (of a list there, its
    /// first element), as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<Vec<String>>,
    /// The type to which the text is cast before it is compared. A text that is none of it leads nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cast: Option<Cast>,
}

/// A type to which a text that holds a key can be cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cast {
    /// Whole numbers of up to 18 digits.
    Bigint,
    /// Numbers.
    Numeric,
    /// UUIDs in any spelling.
    Uuid,
    /// Texts.
    Text,
}

impl Cast {
    /// All.
    pub const ALL: [Self; 4] = [Self::Bigint, Self::Numeric, Self::Uuid, Self::Text];

    /// The type's name, in the map's file and in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Numeric => "numeric",
            Self::Uuid => "uuid",
            Self::Text => "text",
        }
    }
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
