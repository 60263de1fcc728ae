//! Rows out of a table and into one, by COPY in its text or its binary format.
//!
//! For a table that belongs to data subjects, the statement asks the server for the owner of each
//! row in the same pass ([`super::owners`]).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio_postgres::{CopyInSink, CopyOutStream};

pub use super::lines::{Lines, composite_key, key_parts, split_owner};
use super::owners::{Equality, owner_fields, owner_joins};
use super::tuples;
use crate::base::schema::{OwnerWays, QualifiedName, Table, TableKind, quote_identifier};
use crate::postgres::connect::session::{Link, Session, value};
use crate::postgres::error::PostgresError;

/// In which of COPY's formats rows travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Lines.
    Text,
    /// Tuples between a header and a trailer ([`super::tuples`]).
    Binary,
}

impl CopyFormat {
    fn option(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Binary => " (FORMAT binary)",
        }
    }
}

/// Which rows of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// All.
    All,
    /// Those on the pages from `from`, up to but not on `to` where it is given.
    Pages {
        /// The first page.
        from: u32,
        /// The page after the last; none for all that follow.
        to: Option<u32>,
    },
    /// Some rows, from pages all over the table: about this share of them, 0 to 100, and at most `rows`.
    Sample {
        /// The share.
        percent: f64,
        /// How many rows at the most.
        rows: u64,
    },
}

/// What to read of a table, and how.
#[derive(Debug, Clone, Copy)]
pub struct TableRead<'a> {
    /// The table.
    pub table: &'a Table,
    /// The ways to the owner who is named before each row.
    pub owner: Option<&'a OwnerWays>,
    /// Whether a key of one column comes as the value that it is, and not as its text.
    pub key_as_value: bool,
    /// The format.
    pub format: CopyFormat,
    /// Which rows.
    pub part: Part,
}

impl<'a> TableRead<'a> {
    /// All rows as lines.
    #[must_use]
    pub fn lines(table: &'a Table, owner: Option<&'a OwnerWays>) -> Self {
        Self { table, owner, key_as_value: false, format: CopyFormat::Text, part: Part::All }
    }
}

/// The statement that reads rows of a table, generated columns left out.
///
/// With an owner, each row begins with what says who it is ([`owner_fields`]). Without one, a row is the
/// table's own. An ordinary table gives its own rows, not those of its inheritance children, which are
/// tables of their own. A partitioned table gives the rows of all its partitions, except of foreign
/// ones: those rows live elsewhere (the foreign server is still asked for them, so it must answer).
///
/// [`Session::copy_table_out`] runs it with the right `equality`.
#[must_use]
pub fn copy_out_statement(read: &TableRead<'_>, equality: &Equality) -> String {
    let TableRead { table, owner, key_as_value, format, part } = *read;
    let columns =
        table.copied_columns().map(|column| format!("t0.{}", quote_identifier(&column.name)));
    let fields = owner.map(|owner| owner_fields(owner, key_as_value)).unwrap_or_default();
    let selected: Vec<String> = fields.into_iter().chain(columns).collect();
    let (sample, limit) = match part {
        Part::Sample { percent, rows } if percent < 100.0 => {
            (format!(" TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)"), format!(" LIMIT {rows}"))
        }
        Part::Sample { rows, .. } => (String::new(), format!(" LIMIT {rows}")),
        _ => (String::new(), String::new()),
    };
    let pages = match part {
        Part::Pages { from, to } => {
            let upper = to.map(|to| format!(" AND t0.ctid < '({to},0)'")).unwrap_or_default();
            format!(" WHERE t0.ctid >= '({from},0)'{upper}")
        }
        _ => local_rows_only(table).to_owned(),
    };
    format!(
        "COPY (SELECT {} FROM {}{pages}{limit}) TO STDOUT{}",
        selected.join(", "),
        owner_joins(table, &sample, owner, equality),
        format.option()
    )
}

/// The statement that writes rows into a table, in the order of [`copy_out_statement`]'s columns.
#[must_use]
pub fn copy_in_statement(table: &Table, format: CopyFormat) -> String {
    let columns: Vec<_> =
        table.copied_columns().map(|column| quote_identifier(&column.name)).collect();
    let list =
        if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    format!("COPY {}{list} FROM STDIN{}", table.name.quoted(), format.option())
}

/// Leaves out rows of foreign partitions. The list is computed once and is empty nearly always.
pub(in crate::postgres) fn local_rows_only(table: &Table) -> &'static str {
    match table.kind {
        TableKind::Ordinary => "",
        TableKind::Partitioned => {
            " WHERE t0.tableoid <> ALL (ARRAY(SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'))"
        }
    }
}

impl Session {
    /// How many pages a table has now, TOAST not counted.
    pub async fn pages(&self, table: &Table) -> Result<u32, PostgresError> {
        let statement = "SELECT pg_relation_size($1::oid) / current_setting('block_size')::int8";
        let row = self.query_one(statement, &[&table.oid]).await?;
        let pages: i64 = value(&row, 0)?;
        // A table has at most 2^32 pages; none are fewer than the rows seem to need.
        Ok(u32::try_from(pages.max(0)).unwrap_or(u32::MAX))
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
    pub async fn copy_table_out(&self, read: &TableRead<'_>) -> Result<CopyOut, PostgresError> {
        let doing = format!("reading the rows of {}", read.table.name);
        let equality = self.equality(read.owner).await?;
        match self.client.copy_out(&copy_out_statement(read, &equality)).await {
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
            copy.send(Bytes::from_static(tuples::HEADER)).await?;
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
            self.send(Bytes::from_static(tuples::TRAILER)).await?;
        }
        let finished = self.sink.as_mut().finish().await;
        finished.map_err(|error| self.link.failure(&self.doing, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::schema::{Column, Join, OwnerPath, Reading};

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
                    equality: crate::base::schema::Equality::default(),
                    domain_over: None,
                })
                .collect(),
            primary_key: vec![],
            inherits: vec![],
            partitions: vec![],
            rows_estimated: 0,
            bytes_estimated: 0,
            unique: vec![],
            checks: vec![],
        }
    }

    fn path(joins: usize, key_columns: &[&str]) -> OwnerWays {
        let way = OwnerPath {
            class: "users".to_owned(),
            joins: (0..joins)
                .map(|_| Join {
                    columns: vec!["parent".to_owned()],
                    reading: Reading::default(),
                    table: QualifiedName::new("app", "Ä \"x\""),
                    only: true,
                    referenced_columns: vec!["id".to_owned()],
                    proven: true,
                    optional: false,
                })
                .collect(),
            key_columns: key_columns.iter().map(|column| (*column).to_owned()).collect(),
            ..OwnerPath::default()
        };
        way.into()
    }

    #[test]
    fn a_table_twice_on_the_way_is_told_apart_by_its_alias() {
        assert_eq!(
            copy_out_statement(
                &TableRead::lines(
                    &table(TableKind::Ordinary, &[("id", false)]),
                    Some(&path(2, &["u"]))
                ),
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
            copy_out_statement(&TableRead::lines(&empty, None), &Equality::default()),
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
        let partitioned = table(TableKind::Partitioned, &[("a", false)]);
        let statement =
            copy_out_statement(&TableRead::lines(&partitioned, None), &Equality::default());
        assert!(!statement.contains("ONLY"), "{statement}");
        assert!(statement.contains("t0.tableoid <> ALL"), "{statement}");
    }

    #[test]
    fn a_part_of_a_table_is_its_pages_or_a_sample() {
        let table = table(TableKind::Ordinary, &[("id", false)]);
        let statement = |part| {
            let format = CopyFormat::Binary;
            let read = TableRead { format, part, ..TableRead::lines(&table, None) };
            let statement = copy_out_statement(&read, &Equality::default());
            statement.rsplit_once("\" t0").unwrap().1.to_owned()
        };
        assert_eq!(
            statement(Part::Pages { from: 0, to: Some(9) }),
            " WHERE t0.ctid >= '(0,0)' AND t0.ctid < '(9,0)') TO STDOUT (FORMAT binary)"
        );
        assert_eq!(
            statement(Part::Pages { from: 9, to: None }),
            " WHERE t0.ctid >= '(9,0)') TO STDOUT (FORMAT binary)"
        );
        assert_eq!(
            statement(Part::Sample { percent: 1.5, rows: 7 }),
            " TABLESAMPLE SYSTEM (1.5) REPEATABLE (0) LIMIT 7) TO STDOUT (FORMAT binary)"
        );
    }

    #[test]
    fn a_key_of_several_columns_is_joined_by_the_server_as_composite_key_joins() {
        assert_eq!(
            owner_fields(&path(0, &["a", "b"]), false),
            ["replace(replace(t0.\"a\"::text, '\\', '\\\\'), ',', '\\,') || ',' || \
             replace(replace(t0.\"b\"::text, '\\', '\\\\'), ',', '\\,')"]
        );
    }
}
