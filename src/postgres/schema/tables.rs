//! Tables, their columns, primary keys, parents and partitions.

use std::collections::HashMap;

use super::{OF_THE_USER, name};
use crate::base::schema::{Check, Column, Equality, QualifiedName, Table, TableKind};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// All tables that hold rows, ordered by name; a partitioned table is one, without its partitions.
pub(super) async fn tables(session: &Session) -> Result<Vec<Table>, PostgresError> {
    let mut columns = columns(session).await?;
    let mut primary_keys = primary_keys(session).await?;
    let mut parents = parents(session).await?;
    let mut partitions = partitions(session).await?;
    let mut unique = unique(session).await?;
    let mut checks = checks(session).await?;
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
            unique: unique.remove(&oid).unwrap_or_default(),
            checks: checks.remove(&oid).unwrap_or_default(),
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
    // A domain over a domain refuses NULL if any of them does. Whether equal values are the same bytes is
    // what a B-tree's fourth support function says, which PostgreSQL itself asks before it stores equal
    // keys of an index once. `character` is left out: its padding depends on the column's length.
    let statement = "
        WITH RECURSIVE kind (oid, base, typtype, refuses_null) AS (
            SELECT oid, CASE WHEN typtype = 'd' THEN typbasetype ELSE oid END, typtype, typnotnull
            FROM pg_type
            UNION ALL
            SELECT kind.oid, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, t.typtype,
                kind.refuses_null OR t.typnotnull
            FROM kind JOIN pg_type t ON t.oid = kind.base WHERE kind.typtype = 'd'
        ), described (oid, base, refuses_null, image) AS (
            SELECT kind.oid, kind.base, kind.refuses_null, (
                SELECT p.proname FROM pg_opclass c
                JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
                JOIN pg_amproc a ON a.amprocfamily = c.opcfamily AND a.amprocnum = 4
                    AND a.amproclefttype = c.opcintype AND a.amprocrighttype = c.opcintype
                JOIN pg_proc p ON p.oid = a.amproc AND p.pronamespace = 'pg_catalog'::regnamespace
                WHERE c.opcdefault AND kind.base <> 'bpchar'::regtype AND c.opcintype = CASE
                    WHEN kind.base = 'varchar'::regtype THEN 'text'::regtype
                    WHEN kind.typtype = 'e' THEN 'anyenum'::regtype ELSE kind.base END
                LIMIT 1)
            FROM kind WHERE kind.typtype <> 'd'
        )
        SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid,
            a.attnotnull OR coalesce(d.refuses_null, false),
            a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '', a.attgenerated <> '',
            coalesce(d.image IN ('btequalimage', 'btvarstrequalimage'), false)
                AND coalesce(l.collisdeterministic, true),
            CASE WHEN d.base <> a.atttypid THEN format_type(d.base, NULL) END
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN described d ON d.oid = a.atttypid
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
            AND NOT a.attisdropped
        ORDER BY a.attrelid, a.attnum";
    let mut by_table: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        let same_bytes: bool = value(&row, 7)?;
        by_table.entry(value(&row, 0)?).or_default().push(Column {
            name: value(&row, 1)?,
            type_name: value(&row, 2)?,
            type_oid: value(&row, 3)?,
            not_null: value(&row, 4)?,
            has_default: value(&row, 5)?,
            generated: value(&row, 6)?,
            equality: if same_bytes { Equality::SameBytes } else { Equality::ByTheServer },
            domain_over: value(&row, 8)?,
        });
    }
    Ok(by_table)
}

/// Unique constraints and indexes that hold for every row: not partial, not over expressions, valid. The
/// primary key is not repeated.
async fn unique(session: &Session) -> Result<HashMap<u32, Vec<Vec<String>>>, PostgresError> {
    let statement = "
        SELECT i.indrelid, ARRAY(
            SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, position)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
            WHERE u.position <= i.indnkeyatts ORDER BY u.position)
        FROM pg_index i
        WHERE i.indisunique AND NOT i.indisprimary AND i.indisvalid AND i.indpred IS NULL
            AND i.indexprs IS NULL
        ORDER BY i.indrelid, i.indexrelid";
    let mut by_table: HashMap<u32, Vec<Vec<String>>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        by_table.entry(value(&row, 0)?).or_default().push(value(&row, 1)?);
    }
    Ok(by_table)
}

async fn checks(session: &Session) -> Result<HashMap<u32, Vec<Check>>, PostgresError> {
    let statement = "
        SELECT k.conrelid, k.conname, ARRAY(
            SELECT a.attname::text FROM pg_attribute a
            WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) ORDER BY a.attnum),
            pg_get_expr(k.conbin, k.conrelid)
        FROM pg_constraint k
        WHERE k.contype = 'c' AND k.conrelid <> 0 AND k.conparentid = 0 AND k.convalidated
        ORDER BY k.conrelid, k.conname";
    let mut by_table: HashMap<u32, Vec<Check>> = HashMap::new();
    for row in session.query(statement, &[]).await? {
        by_table.entry(value(&row, 0)?).or_default().push(Check {
            name: value(&row, 1)?,
            columns: value(&row, 2)?,
            condition: value(&row, 3)?,
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
