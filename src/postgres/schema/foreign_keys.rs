//! References to rows that are not there, after people were left out of a restore: counting them and
//! mending them, so that the foreign key can be made.
//!
//! A row of the referring table dangles if none of its referring columns is NULL and the referenced
//! table has no row of those values; with a `PERIOD`, if the rows of the other columns' values do not
//! cover its period together. (With `MATCH FULL`, a row in which only some are NULL violates
//! the key by itself and is not this file's matter.) All of this works before the key, its indexes
//! and triggers exist.

use crate::base::schema::{ForeignKey, QualifiedName, quote_identifier, quote_literal};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;
use crate::postgres::rows::owners::Comparison;

/// The equality of every type that is not an extension's.
pub(in crate::postgres) const BUILT_IN_EQUALITY: &str = "OPERATOR(pg_catalog.=)";

/// How many rows dangle.
pub async fn count_dangling(session: &Session, key: &ForeignKey) -> Result<u64, PostgresError> {
    let form = Form::read(session, key).await?;
    let statement = format!("SELECT count(*) FROM {} WHERE {}", form.referring, form.dangles);
    let row = session.query_one(&statement, &[]).await?;
    Ok(u64::try_from(value::<i64>(&row, 0)?).unwrap_or(0))
}

/// Sets these columns of the reference to NULL in rows that dangle; `MATCH FULL` needs all of them.
/// The number of rows changed.
///
/// # Errors
/// [`PostgresError::NotNullable`] when a column refuses NULL, or too few were named to release the
/// reference.
pub async fn null_dangling(
    session: &Session,
    key: &ForeignKey,
    columns: &[String],
) -> Result<u64, PostgresError> {
    let form = Form::read(session, key).await?;
    let enough = !columns.is_empty() && (!key.match_full || columns.len() == key.columns.len());
    if !enough || columns.iter().any(|column| !form.nullable.contains(column)) {
        return Err(PostgresError::NotNullable {
            constraint: key.name.clone(),
            table: key.table.clone(),
        });
    }
    let assignments: Vec<String> =
        columns.iter().map(|column| format!("{} = NULL", quote_identifier(column))).collect();
    form.update(session, &assignments).await
}

/// Deletes the rows that dangle; their number. Rows that referred to those may dangle then.
pub async fn delete_dangling(session: &Session, key: &ForeignKey) -> Result<u64, PostgresError> {
    let form = Form::read(session, key).await?;
    session.execute(&format!("DELETE FROM {} WHERE {}", form.referring, form.dangles), &[]).await
}

/// Makes rows that dangle refer to `values` instead, one for each column, as text: a placeholder
/// that the referenced table holds. A `PERIOD` stays as it is. The number of rows changed.
pub async fn redirect_dangling(
    session: &Session,
    key: &ForeignKey,
    values: &[String],
) -> Result<u64, PostgresError> {
    if values.len() != key.columns.len() {
        return Err(PostgresError::PlaceholderLength {
            constraint: key.name.clone(),
            table: key.table.clone(),
            needed: key.columns.len(),
            given: values.len(),
        });
    }
    let form = Form::read(session, key).await?;
    let assignments: Vec<String> = key
        .columns
        .iter()
        .zip(values)
        .take(key.columns.len() - usize::from(key.temporal))
        .map(|(column, value)| format!("{} = {}", quote_identifier(column), quote_literal(value)))
        .collect();
    form.update(session, &assignments).await
}

/// What the statements have in common.
struct Form {
    /// The referring table as `r`, without its inheritance children, for whom the key does not hold.
    referring: String,
    /// The condition on `r`.
    dangles: String,
    /// The referring columns that may be set to NULL, in the key's order.
    nullable: Vec<String>,
}

impl Form {
    async fn read(session: &Session, key: &ForeignKey) -> Result<Self, PostgresError> {
        let referring = source(session, &key.table).await?;
        let referenced = source(session, &key.referenced_table).await?;
        let mut conditions: Vec<String> = key
            .columns
            .iter()
            .map(|column| format!("r.{} IS NOT NULL", quote_identifier(column)))
            .collect();
        let mut equal = Vec::new();
        let compared = key.columns.len() - usize::from(key.temporal);
        for (column, referred) in key.columns.iter().zip(&key.referenced_columns).take(compared) {
            let Comparison { operator, collation } =
                equality(session, &key.referenced_table, referred).await?;
            equal.push(format!(
                "p.{} {operator} r.{}{collation}",
                quote_identifier(referred),
                quote_identifier(column)
            ));
        }
        let period =
            if key.temporal { key.columns.last().zip(key.referenced_columns.last()) } else { None };
        conditions.push(match period {
            None => {
                format!("NOT EXISTS (SELECT FROM {referenced} p WHERE {})", equal.join(" AND "))
            }
            Some((own, theirs)) => {
                let own = format!("r.{}", quote_identifier(own));
                let theirs = format!("p.{}", quote_identifier(theirs));
                equal.push(format!("{theirs} OPERATOR(pg_catalog.&&) {own}"));
                format!(
                    "(SELECT {own} OPERATOR(pg_catalog.<@) pg_catalog.range_agg({theirs}) \
                     FROM {referenced} p WHERE {}) IS NOT TRUE",
                    equal.join(" AND ")
                )
            }
        });
        Ok(Self {
            referring: format!("{referring} r"),
            dangles: conditions.join(" AND "),
            nullable: nullable(session, key).await?,
        })
    }

    async fn update(
        &self,
        session: &Session,
        assignments: &[String],
    ) -> Result<u64, PostgresError> {
        let statement = format!(
            "UPDATE {} SET {} WHERE {}",
            self.referring,
            assignments.join(", "),
            self.dangles
        );
        session.execute(&statement, &[]).await
    }
}

/// `ONLY` but for a partitioned table, as the server's own check does.
async fn source(session: &Session, table: &QualifiedName) -> Result<String, PostgresError> {
    let statement = "SELECT relkind = 'p' FROM pg_class WHERE oid = $1::text::regclass";
    let row = session.query_one(statement, &[&table.quoted()]).await?;
    let partitioned: bool = value(&row, 0)?;
    Ok(if partitioned { table.quoted() } else { format!("ONLY {}", table.quoted()) })
}

/// How the referenced column is compared. An extension's type (`citext`) has an operator of its own,
/// which the empty `search_path` would not find: text's would be taken, silently. A text is compared by
/// the referenced column's collation, as the foreign key itself does.
pub(in crate::postgres) async fn equality(
    session: &Session,
    table: &QualifiedName,
    column: &str,
) -> Result<Comparison, PostgresError> {
    let statement = "
        WITH RECURSIVE kind (oid, collated) AS (
            SELECT atttypid, attcollation FROM pg_attribute
            WHERE attrelid = $1::text::regclass AND attname = $2::text
            UNION ALL
            SELECT t.typbasetype, kind.collated
            FROM kind JOIN pg_type t ON t.oid = kind.oid AND t.typtype = 'd'
        )
        SELECT n.nspname, o.oprname, ln.nspname, l.collname
        FROM kind
        LEFT JOIN pg_opclass c ON c.opcintype = kind.oid AND c.opcdefault
            AND c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
        LEFT JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amopstrategy = 3
            AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype
        LEFT JOIN pg_operator o ON o.oid = a.amopopr
        LEFT JOIN pg_namespace n ON n.oid = o.oprnamespace AND n.nspname <> 'pg_catalog'
        LEFT JOIN pg_collation l ON l.oid = kind.collated
        LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
        ORDER BY n.nspname IS NULL LIMIT 1";
    let rows = session.query(statement, &[&table.quoted(), &column]).await?;
    let Some(row) = rows.first() else { return Ok(Comparison::default()) };
    let mut comparison = Comparison::default();
    let schema: Option<String> = value(row, 0)?;
    if let (Some(schema), Some(operator)) = (schema, value::<Option<String>>(row, 1)?) {
        comparison.operator = format!("OPERATOR({}.{operator})", quote_identifier(&schema));
    }
    let collation_schema: Option<String> = value(row, 2)?;
    if let (Some(schema), Some(name)) = (collation_schema, value::<Option<String>>(row, 3)?) {
        let (schema, name) = (quote_identifier(&schema), quote_identifier(&name));
        comparison.collation = format!(" COLLATE {schema}.{name}");
    }
    Ok(comparison)
}

/// The referring columns that neither refuse NULL, by themselves or by a domain, nor are generated.
async fn nullable(session: &Session, key: &ForeignKey) -> Result<Vec<String>, PostgresError> {
    let statement = "
        WITH RECURSIVE domain (name, base, refuses_null) AS (
            SELECT a.attname, a.atttypid, a.attnotnull OR a.attgenerated <> ''
            FROM pg_attribute a
            WHERE a.attrelid = $1::text::regclass AND a.attname = ANY ($2::text[])
            UNION ALL
            SELECT domain.name, t.typbasetype, domain.refuses_null OR t.typnotnull
            FROM domain JOIN pg_type t ON t.oid = domain.base AND t.typtype = 'd'
        )
        SELECT name::text FROM domain GROUP BY name HAVING NOT bool_or(refuses_null)
        ORDER BY array_position($2::text[], name::text)";
    let rows = session.query(statement, &[&key.table.quoted(), &key.columns]).await?;
    rows.iter().map(|row| value(row, 0)).collect()
}
