//! Looks at a sample of rows and counts: how many of a column's values lead to a row that is there. Read
//! only, inside of the session's snapshot, each question and all together bounded in time. Values are
//! compared by the server and do not leave it; what does are counts, the keys of documents, and the words
//! of columns that say of which kind another column is.

use std::time::{Duration, Instant};

use super::owners::{Comparison, source, value_of};
use crate::base::schema::{
    DatabaseSchema, QualifiedName, Reading, Table, TableKind, quote_identifier, quote_literal,
};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;
use crate::postgres::schema::foreign_keys;

/// Rows that are looked at in each table, at the most.
const ROWS_MAX: u64 = 20_000;
/// Documents that are opened in each column, at the most.
const DOCUMENTS_MAX: u64 = 1_000;
/// Different words that a column may have to say of which kind another one is.
const KINDS_MAX: usize = 50;
const KIND_CHARACTERS_MAX: usize = 60;

/// A way to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The table.
    pub table: &'a QualifiedName,
    /// Its columns.
    pub columns: &'a [String],
    /// What of them is compared.
    pub reading: &'a Reading,
    /// Only rows with one of these values, by column.
    pub when: &'a std::collections::BTreeMap<String, Vec<String>>,
    /// The table that they lead to.
    pub target: &'a QualifiedName,
    /// The columns there.
    pub target_columns: &'a [String],
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows looked at.
    pub rows: u64,
    /// Those whose columns are NULL, or that the conditions do not take.
    pub null: u64,
    /// Those that lead to a row.
    pub known: u64,
}

/// Asks, while there is time.
pub struct Probe<'a> {
    session: &'a Session,
    schema: &'a DatabaseSchema,
    until: Instant,
    each: Duration,
}

impl<'a> Probe<'a> {
    /// A probe that takes so long at the most, and `each` for one question.
    #[must_use]
    pub fn new(
        session: &'a Session,
        schema: &'a DatabaseSchema,
        all: Duration,
        each: Duration,
    ) -> Self {
        Self { session, schema, until: Instant::now() + all, each }
    }

    /// The keys of a column's documents, and of the objects in them.
    pub async fn document_paths(
        &self,
        table: &QualifiedName,
        column: &str,
    ) -> Result<Vec<Vec<String>>, PostgresError> {
        let Some(table) = self.schema.table(table) else { return Ok(Vec::new()) };
        let object = |of: &str| {
            format!("CASE jsonb_typeof({of}) WHEN 'object' THEN {of} ELSE '{{}}'::jsonb END")
        };
        let statement = format!(
            "WITH document AS (SELECT {0}::jsonb AS whole FROM {1} WHERE {0} IS NOT NULL LIMIT {DOCUMENTS_MAX}),
            outside AS (SELECT e.key, e.value FROM document, jsonb_each({2}) e)
            SELECT DISTINCT key, NULL::text FROM outside WHERE jsonb_typeof(value) <> 'object'
            UNION SELECT DISTINCT outside.key, i.key FROM outside, jsonb_each({3}) i
            WHERE jsonb_typeof(i.value) IN ('string', 'number', 'array')
            ORDER BY 1, 2 NULLS FIRST LIMIT 1000",
            quote_identifier(column),
            Self::sample(table, DOCUMENTS_MAX),
            object("whole"),
            object("outside.value"),
        );
        let rows = self.ask(&statement).await?.unwrap_or_default();
        let path = |row: &tokio_postgres::Row| {
            let outer: String = value(row, 0)?;
            Ok([Some(outer), value::<Option<String>>(row, 1)?].into_iter().flatten().collect())
        };
        rows.iter().map(path).collect()
    }

    /// The words of a column; none if it holds anything else than a few words, and nothing if there was no
    /// time to look.
    pub async fn kinds(
        &self,
        table: &QualifiedName,
        column: &str,
    ) -> Result<Option<Vec<String>>, PostgresError> {
        let Some(table) = self.schema.table(table) else { return Ok(None) };
        let statement = format!(
            "SELECT DISTINCT s.one::text FROM (SELECT {0} AS one FROM {1} LIMIT {ROWS_MAX}) s
            WHERE s.one IS NOT NULL ORDER BY 1 LIMIT {2}",
            quote_identifier(column),
            Self::sample(table, ROWS_MAX),
            KINDS_MAX + 1,
        );
        let Some(rows) = self.ask(&statement).await? else { return Ok(None) };
        let words: Vec<String> = rows.iter().map(|row| value(row, 0)).collect::<Result<_, _>>()?;
        let is_word = |word: &String| {
            word.chars().count() <= KIND_CHARACTERS_MAX
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "_:./\\-".contains(c))
        };
        let are_words = words.len() <= KINDS_MAX && words.iter().all(is_word);
        Ok(Some(if are_words { words } else { Vec::new() }))
    }

    /// Counts; nothing if there was no time, or the server refuses the question.
    pub async fn count(&self, question: &Question<'_>) -> Result<Option<Counts>, PostgresError> {
        let ends = self.schema.table(question.table).zip(self.schema.table(question.target));
        let Some((table, target)) = ends.filter(|_| Instant::now() < self.until) else {
            return Ok(None);
        };
        let mut selected = Vec::new();
        for (place, column) in question.columns.iter().enumerate() {
            let raw = Reading { cast: None, ..question.reading.clone() };
            selected.push(format!("{} AS raw{place}", value_of("r", column, &raw)));
            selected.push(format!("{} AS read{place}", value_of("r", column, question.reading)));
        }
        let conditions: Vec<String> = question
            .when
            .iter()
            .map(|(column, values)| {
                let values: Vec<String> = values.iter().map(|one| quote_literal(one)).collect();
                format!(
                    "r.{}::text = ANY (ARRAY[{}]::text[])",
                    quote_identifier(column),
                    values.join(", ")
                )
            })
            .collect();
        let taken =
            if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let mut equal = Vec::new();
        for (place, column) in question.target_columns.iter().enumerate() {
            let Comparison { operator, collation } =
                foreign_keys::equality(self.session, question.target, column).await?;
            let column = quote_identifier(column);
            equal.push(format!("s.read{place} {operator} p.{column}{collation}"));
        }
        let given: Vec<String> =
            (0..question.columns.len()).map(|place| format!("s.raw{place} IS NOT NULL")).collect();
        let given = format!("s.taken AND {}", given.join(" AND "));
        let statement = format!(
            "SELECT count(*), count(*) FILTER (WHERE ({given}) IS NOT TRUE),
                count(*) FILTER (WHERE {given} AND EXISTS (SELECT FROM {} p WHERE {}))
            FROM (SELECT ({taken}) AS taken, {} FROM {} LIMIT {ROWS_MAX}) s",
            source(target),
            equal.join(" AND "),
            selected.join(", "),
            Self::sample(table, ROWS_MAX),
        );
        let Some(rows) = self.ask(&statement).await? else { return Ok(None) };
        let Some(row) = rows.first() else { return Ok(None) };
        let count =
            |place| Ok::<_, PostgresError>(u64::try_from(value::<i64>(row, place)?).unwrap_or(0));
        Ok(Some(Counts { rows: count(0)?, null: count(1)?, known: count(2)? }))
    }

    /// The table as `r`, or pages all over it where it is large.
    fn sample(table: &Table, rows: u64) -> String {
        let from = source(table);
        if table.kind == TableKind::Ordinary && table.rows_estimated > rows {
            // An estimate is no count: a few pages more do no harm.
            #[allow(clippy::cast_precision_loss)]
            let percent = (100.0 * rows as f64 / table.rows_estimated as f64).clamp(0.000_1, 100.0);
            return format!("{from} r TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)");
        }
        format!("{from} r")
    }

    /// Runs a question. What the server refuses, or has no time for, is no answer; the snapshot stays.
    async fn ask(
        &self,
        statement: &str,
    ) -> Result<Option<Vec<tokio_postgres::Row>>, PostgresError> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let milliseconds = left.min(self.each).as_millis().max(1);
        let doing = "looking at a sample of rows";
        let begin = format!("SAVEPOINT probe; SET LOCAL statement_timeout = {milliseconds}");
        self.session.batch(doing, &begin).await?;
        let answer = self.session.query(statement, &[]).await;
        let end = match answer {
            Ok(_) => "RELEASE SAVEPOINT probe; SET LOCAL statement_timeout = 0",
            Err(_) => "ROLLBACK TO SAVEPOINT probe; SET LOCAL statement_timeout = 0",
        };
        self.session.batch(doing, end).await?;
        Ok(answer.ok())
    }
}
