//! Rows out of a table and into one, by COPY.
//!
//! For a table that belongs to data subjects, the statement asks the server for the owner of each
//! row in the same pass: the first field of a line is the subject's key, or `\N` for nobody.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio_postgres::{CopyInSink, CopyOutStream};

use super::error::PostgresError;
use super::foreign_keys::{self, BUILT_IN_EQUALITY};
pub use super::lines::{Lines, composite_key, key_parts, split_owner};
use super::session::{Link, Session};
use crate::schema::{OwnerPath, QualifiedName, Table, TableKind, quote_identifier};

/// The statement that reads all rows of a table, generated columns left out.
///
/// With an owner, each line begins with the owner's key ([`owner_key`]) and a tab; a row of no
/// columns is then the key alone. Without one, a line is the row. An ordinary table gives its own
/// rows, not those of its inheritance children, which are tables of their own. A partitioned table
/// gives the rows of all its partitions, except of foreign ones: those rows live elsewhere (the
/// foreign server is still asked for them, so it must answer).
///
/// [`Session::copy_table_out`] runs it with the right `equality`.
#[must_use]
pub fn copy_out_statement(table: &Table, owner: Option<&OwnerPath>, equality: &Equality) -> String {
    let columns =
        table.copied_columns().map(|column| format!("t0.{}", quote_identifier(&column.name)));
    let selected: Vec<String> = owner.map(owner_key).into_iter().chain(columns).collect();
    format!(
        "COPY (SELECT {} FROM {}{}) TO STDOUT",
        selected.join(", "),
        owner_joins(table, owner, equality),
        local_rows_only(table)
    )
}

/// How COPY writes a row down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// A line of text.
    Text,
    /// A tuple: the number of fields, then each with its length. What stands before the first tuple
    /// and after the last is [`CopyIn`]'s to send.
    Binary,
}

/// What a binary COPY begins with: the signature, no flags, no extension of the header.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with: a tuple of -1 fields.
const BINARY_TRAILER: &[u8] = b"\xff\xff";

/// The statement that writes rows into a table, in the order of [`copy_out_statement`]'s columns.
#[must_use]
pub fn copy_in_statement(table: &Table, format: CopyFormat) -> String {
    let columns: Vec<_> =
        table.copied_columns().map(|column| quote_identifier(&column.name)).collect();
    let list =
        if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let options = match format {
        CopyFormat::Text => "",
        CopyFormat::Binary => " (FORMAT binary)",
    };
    format!("COPY {}{list} FROM STDIN{options}", table.name.quoted())
}

/// The expression that gives the key of a row's owner as text, or NULL if any part of it is NULL.
///
/// One column is its text. Several are their texts joined with `,`, a `\` or `,` inside of one
/// preceded by `\`, as [`composite_key`] does.
#[must_use]
pub fn owner_key(owner: &OwnerPath) -> String {
    let alias = owner.joins.len();
    let text = |column: &String| format!("t{alias}.{}::text", quote_identifier(column));
    match owner.key_columns.as_slice() {
        [single] => text(single),
        several => several
            .iter()
            .map(|column| format!("replace(replace({}, '\\', '\\\\'), ',', '\\,')", text(column)))
            .collect::<Vec<_>>()
            .join(" || ',' || "),
    }
}

/// The table as `t0` and the joins on the way to its owner as `t1`, `t2`, … Left joins: a row whose
/// way ends early is nobody's, and is not lost. Foreign keys lead to unique rows, so none is doubled.
pub(super) fn owner_joins(table: &Table, owner: Option<&OwnerPath>, equality: &Equality) -> String {
    let mut from = format!("{} t0", source(table));
    for (index, join) in owner.iter().flat_map(|owner| &owner.joins).enumerate() {
        let conditions: Vec<String> = join
            .columns
            .iter()
            .zip(&join.referenced_columns)
            .enumerate()
            .map(|(position, (column, referenced))| {
                format!(
                    "t{index}.{} {} t{}.{}",
                    quote_identifier(column),
                    equality.operator(index, position),
                    index + 1,
                    quote_identifier(referenced)
                )
            })
            .collect();
        let _ = write!(
            from,
            " LEFT JOIN {}{} t{} ON {}",
            if join.only { "ONLY " } else { "" },
            join.table.quoted(),
            index + 1,
            conditions.join(" AND ")
        );
    }
    from
}

/// Which operator compares the columns of each join on a path, as the foreign keys themselves do.
///
/// An extension's type may have an equality of its own (`citext` ignores case). Under the empty
/// `search_path` a bare `=` would silently be text's, and rows of a person would seem nobody's.
#[derive(Debug, Clone, Default)]
pub struct Equality {
    /// By join, then by column; an operator that is missing is the built-in one.
    operators: Vec<Vec<String>>,
}

impl Equality {
    fn operator(&self, join: usize, column: usize) -> &str {
        let known = self.operators.get(join).and_then(|operators| operators.get(column));
        known.map_or(BUILT_IN_EQUALITY, String::as_str)
    }
}

/// `ONLY` for an ordinary table; a partitioned one has no rows by itself.
fn source(table: &Table) -> String {
    match table.kind {
        TableKind::Ordinary => format!("ONLY {}", table.name.quoted()),
        TableKind::Partitioned => table.name.quoted(),
    }
}

/// Leaves out rows of foreign partitions. The list is computed once and is empty nearly always.
pub(super) fn local_rows_only(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Ordinary => "",
        TableKind::Partitioned => {
            " WHERE t0.tableoid <> ALL (ARRAY(SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'))"
        }
    }
}

impl Session {
    /// The operators by which the joins of a path compare.
    pub async fn equality(&self, owner: Option<&OwnerPath>) -> Result<Equality, PostgresError> {
        let mut operators = Vec::new();
        for join in owner.iter().flat_map(|owner| &owner.joins) {
            let mut of_join = Vec::new();
            for column in &join.referenced_columns {
                of_join.push(foreign_keys::equality(self, &join.table, column).await?);
            }
            operators.push(of_join);
        }
        Ok(Equality { operators })
    }

    /// Starts reading. Bytes arrive as the server sends them; see [`Lines`].
    pub async fn copy_out(&self, statement: &str) -> Result<CopyOut, PostgresError> {
        let doing = "reading rows".to_owned();
        match self.client.copy_out(statement).await {
            Ok(stream) => Ok(CopyOut { stream: Box::pin(stream), link: self.link.clone(), doing }),
            Err(error) => Err(self.link.failure(&doing, &error)),
        }
    }

    /// Starts reading a table; errors name it.
    pub async fn copy_table_out(
        &self,
        table: &Table,
        owner: Option<&OwnerPath>,
    ) -> Result<CopyOut, PostgresError> {
        let doing = format!("reading the rows of {}", table.name);
        let equality = self.equality(owner).await?;
        match self.client.copy_out(&copy_out_statement(table, owner, &equality)).await {
            Ok(stream) => Ok(CopyOut { stream: Box::pin(stream), link: self.link.clone(), doing }),
            Err(error) => Err(self.link.failure(&doing, &error)),
        }
    }

    /// Starts writing. Nothing is kept unless [`CopyIn::finish`] succeeds.
    pub async fn copy_in(&self, statement: &str) -> Result<CopyIn, PostgresError> {
        self.start_copy_in(statement, CopyFormat::Text, "writing rows".to_owned()).await
    }

    /// Starts writing a table's rows; errors name it. Several sessions may write one table at the
    /// same time.
    pub async fn copy_table_in(
        &self,
        table: &Table,
        format: CopyFormat,
    ) -> Result<CopyIn, PostgresError> {
        self.start_copy_in(&copy_in_statement(table, format), format, writing(&table.name)).await
    }

    async fn start_copy_in(
        &self,
        statement: &str,
        format: CopyFormat,
        doing: String,
    ) -> Result<CopyIn, PostgresError> {
        let sink = match self.client.copy_in(statement).await {
            Ok(sink) => Box::pin(sink),
            Err(error) => return Err(self.link.failure(&doing, &error)),
        };
        let mut copy = CopyIn { sink, link: self.link.clone(), format, doing };
        if format == CopyFormat::Binary {
            copy.send(Bytes::from_static(BINARY_HEADER)).await?;
        }
        Ok(copy)
    }
}

fn writing(table: &QualifiedName) -> String {
    format!("writing the rows of {table}")
}

/// Rows on their way out of a database. Its end without an error means that all of them came.
pub struct CopyOut {
    stream: Pin<Box<CopyOutStream>>,
    link: Link,
    doing: String,
}

impl CopyOut {
    /// The next bytes.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, PostgresError>> {
        self.next().await
    }
}

impl Stream for CopyOut {
    type Item = Result<Bytes, PostgresError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        polled.map(|item| {
            item.map(|chunk| chunk.map_err(|error| self.link.failure(&self.doing, &error)))
        })
    }
}

/// Rows on their way into a database. Dropped unfinished, it writes nothing.
pub struct CopyIn {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    link: Link,
    format: CopyFormat,
    doing: String,
}

impl CopyIn {
    /// Sends bytes: any part of the rows, cut anywhere. Waits while the server is busy.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), PostgresError> {
        // `feed` gathers small rows into larger messages; `finish` sends the last of them.
        let sent = self.sink.feed(bytes).await;
        sent.map_err(|error| self.link.failure(&self.doing, &error))
    }

    /// Ends the rows; their number, as the server counted them.
    pub async fn finish(mut self) -> Result<u64, PostgresError> {
        if self.format == CopyFormat::Binary {
            self.send(Bytes::from_static(BINARY_TRAILER)).await?;
        }
        let finished = self.sink.as_mut().finish().await;
        finished.map_err(|error| self.link.failure(&self.doing, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Join};

    fn table(kind: TableKind, columns: &[(&str, bool)]) -> Table {
        Table {
            oid: 1,
            name: QualifiedName::new("app", "Ä \"x\""),
            kind,
            unlogged: false,
            columns: columns
                .iter()
                .map(|(name, generated)| Column {
                    name: (*name).to_owned(),
                    type_name: "text".to_owned(),
                    type_oid: 25,
                    not_null: false,
                    has_default: false,
                    generated: *generated,
                })
                .collect(),
            primary_key: vec![],
            inherits: vec![],
            partitions: vec![],
            rows_estimated: 0,
            bytes_estimated: 0,
        }
    }

    fn path(joins: usize, key_columns: &[&str]) -> OwnerPath {
        OwnerPath {
            class: "users".to_owned(),
            joins: (0..joins)
                .map(|_| Join {
                    columns: vec!["parent".to_owned()],
                    table: QualifiedName::new("app", "Ä \"x\""),
                    only: true,
                    referenced_columns: vec!["id".to_owned()],
                })
                .collect(),
            key_columns: key_columns.iter().map(|column| (*column).to_owned()).collect(),
        }
    }

    #[test]
    fn a_table_twice_on_the_way_is_told_apart_by_its_alias() {
        assert_eq!(
            copy_out_statement(
                &table(TableKind::Ordinary, &[("id", false)]),
                Some(&path(2, &["u"])),
                &Equality::default()
            ),
            "COPY (SELECT t2.\"u\"::text, t0.\"id\" FROM ONLY \"app\".\"Ä \"\"x\"\"\" t0 \
             LEFT JOIN ONLY \"app\".\"Ä \"\"x\"\"\" t1 ON t0.\"parent\" OPERATOR(pg_catalog.=) t1.\"id\" \
             LEFT JOIN ONLY \"app\".\"Ä \"\"x\"\"\" t2 ON t1.\"parent\" OPERATOR(pg_catalog.=) t2.\"id\") TO STDOUT"
        );
    }

    #[test]
    fn a_table_without_copied_columns_has_statements_too() {
        let empty = table(TableKind::Ordinary, &[("g", true)]);
        assert_eq!(
            copy_out_statement(&empty, None, &Equality::default()),
            "COPY (SELECT  FROM ONLY \"app\".\"Ä \"\"x\"\"\" t0) TO STDOUT"
        );
        assert_eq!(
            copy_in_statement(&empty, CopyFormat::Text),
            "COPY \"app\".\"Ä \"\"x\"\"\" FROM STDIN"
        );
        let plain = table(TableKind::Ordinary, &[("a", false), ("b", false)]);
        assert_eq!(
            copy_in_statement(&plain, CopyFormat::Binary),
            "COPY \"app\".\"Ä \"\"x\"\"\" (\"a\", \"b\") FROM STDIN (FORMAT binary)"
        );
    }

    #[test]
    fn a_partitioned_table_is_read_through_its_root_without_foreign_rows() {
        let statement = copy_out_statement(
            &table(TableKind::Partitioned, &[("a", false)]),
            None,
            &Equality::default(),
        );
        assert!(!statement.contains("ONLY"), "{statement}");
        assert!(statement.contains("t0.tableoid <> ALL"), "{statement}");
    }

    #[test]
    fn a_key_of_several_columns_is_joined_by_the_server_as_composite_key_joins() {
        assert_eq!(
            owner_key(&path(0, &["a", "b"])),
            "replace(replace(t0.\"a\"::text, '\\', '\\\\'), ',', '\\,') || ',' || \
             replace(replace(t0.\"b\"::text, '\\', '\\\\'), ',', '\\,')"
        );
    }
}
