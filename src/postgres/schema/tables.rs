//! Tables, their columns, primary keys, parents and partitions.

use std::collections::HashMap;

use super::{OF_THE_USER, name};
use crate::base::schema::{Column, QualifiedName, Table, TableKind};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// All tables that hold rows, ordered by name; a partitioned table is one, without its partitions.
pub(super) async fn tables(session: &Session) -> Result<Vec<Table>, PostgresError> {
    let mut columns = columns(session).await?;
    let mut primary_keys = primary_keys(session).await?;
    let mut parents = parents(session).await?;
    let mut partitions = partitions(session).await?;
    let statement = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence = 'u',
            greatest(c.reltuples, 0)::float8, pg_table_size(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {OF_THE_USER}"
    );
    let mut tables = Vec::new();
    for row in session.query(&statement, &[]).await? {
        let oid: u32 = value(&row, 0)?;
        let partitioned: bool = value(&row, 3)?;
        let below = partitions.remove(&oid).unwrap_or_default();
        let own_rows: f64 = value(&row, 5)?;
        let own_bytes: i64 = value(&row, 6)?;
        let rows = own_rows + below.iter().map(|partition| partition.rows).sum::<f64>();
        let bytes = own_bytes + below.iter().map(|partition| partition.bytes).sum::<i64>();
        tables.push(Table {
            oid,
            name: name(&row, 1)?,
            kind: if partitioned { TableKind::Partitioned } else { TableKind::Ordinary },
            unlogged: value(&row, 4)?,
            columns: columns.remove(&oid).unwrap_or_default(),
            primary_key: primary_keys.remove(&oid).unwrap_or_default(),
            inherits: parents.remove(&oid).unwrap_or_default(),
            partitions: below.into_iter().map(|partition| partition.name).collect(),
            rows_estimated: whole(rows),
            bytes_estimated: u64::try_from(bytes).unwrap_or(0),
        });
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// The planner counts rows in floating point; an estimate loses nothing by it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(rows: f64) -> u64 {
    rows as u64
}

async fn columns(session: &Session) -> Result<HashMap<u32, Vec<Column>>, PostgresError> {
    // A domain over a domain refuses NULL if any of them does.
    let statement = "
        WITH RECURSIVE domain (oid, base, refuses_null) AS (
            SELECT oid, typbasetype, typnotnull FROM pg_type WHERE typtype = 'd'
            UNION
            SELECT domain.oid, t.typbasetype, domain.refuses_null OR t.typnotnull
            FROM domain JOIN pg_type t ON t.oid = domain.base AND t.typtype = 'd'
        )
        SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid,
            a.attnotnull OR EXISTS (SELECT FROM domain d WHERE d.oid = a.atttypid AND d.refuses_null),
            a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '', a.attgenerated <> ''
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
            AND NOT a.attisdropped
        ORDER BY a.attrelid, a.attnum";
    let mut by_table: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        by_table.entry(value(&row, 0)?).or_default().push(Column {
            name: value(&row, 1)?,
            type_name: value(&row, 2)?,
            type_oid: value(&row, 3)?,
            not_null: value(&row, 4)?,
            has_default: value(&row, 5)?,
            generated: value(&row, 6)?,
        });
    }
    Ok(by_table)
}

/// But those over periods (`WITHOUT OVERLAPS`).
async fn primary_keys(session: &Session) -> Result<HashMap<u32, Vec<String>>, PostgresError> {
    let temporal = if session.server_major() >= 18 { "k.conperiod" } else { "false" };
    let statement = format!(
        "SELECT k.conrelid, ARRAY(
            SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
            ORDER BY u.position)
        FROM pg_constraint k WHERE k.contype = 'p' AND k.conrelid <> 0 AND NOT {temporal}"
    );
    let rows = session.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok((value(row, 0)?, value(row, 1)?))).collect()
}

async fn parents(session: &Session) -> Result<HashMap<u32, Vec<QualifiedName>>, PostgresError> {
    let statement = "
        SELECT i.inhrelid, n.nspname, p.relname
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition
        JOIN pg_class p ON p.oid = i.inhparent
        JOIN pg_namespace n ON n.oid = p.relnamespace
        ORDER BY i.inhrelid, i.inhseqno";
    let mut by_child: HashMap<u32, Vec<QualifiedName>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        by_child.entry(value(&row, 0)?).or_default().push(name(&row, 1)?);
    }
    Ok(by_child)
}

struct Partition {
    name: QualifiedName,
    rows: f64,
    bytes: i64,
}

/// By their root: partitions at any depth, ordered by name.
async fn partitions(session: &Session) -> Result<HashMap<u32, Vec<Partition>>, PostgresError> {
    let statement = "
        WITH RECURSIVE below (root, oid) AS (
            SELECT i.inhparent, i.inhrelid
            FROM pg_inherits i JOIN pg_class r ON r.oid = i.inhparent
            WHERE r.relkind = 'p' AND NOT r.relispartition
            UNION ALL
            SELECT below.root, i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid
        )
        SELECT below.root, n.nspname, c.relname,
            CASE WHEN c.relkind = 'r' THEN greatest(c.reltuples, 0) ELSE 0 END::float8,
            CASE WHEN c.relkind = 'r' THEN coalesce(pg_table_size(c.oid), 0) ELSE 0 END::int8
        FROM below JOIN pg_class c ON c.oid = below.oid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        ORDER BY below.root, n.nspname, c.relname";
    let mut by_root: HashMap<u32, Vec<Partition>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        by_root.entry(value(&row, 0)?).or_default().push(Partition {
            name: name(&row, 1)?,
            rows: value(&row, 3)?,
            bytes: value(&row, 4)?,
        });
    }
    Ok(by_root)
}
