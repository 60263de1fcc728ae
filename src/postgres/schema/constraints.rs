//! Foreign keys.

use super::{OF_THE_USER, name};
use crate::base::schema::{ForeignKey, OnDelete, OnUpdate};
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// All foreign keys, ordered by table, then name. What a partitioned table hands down to its
/// partitions (`conparentid`) is listed once, at the top. One that PostgreSQL 18 does not enforce
/// counts as not validated: existing rows may dangle.
pub(super) async fn foreign_keys(session: &Session) -> Result<Vec<ForeignKey>, PostgresError> {
    let enforced = if session.server_major() >= 18 { "k.conenforced" } else { "true" };
    let temporal = if session.server_major() >= 18 { "k.conperiod" } else { "false" };
    let statement = format!(
        "SELECT k.oid, k.conname, n.nspname, c.relname, rn.nspname, r.relname,
            ARRAY(
                SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
                ORDER BY u.position),
            ARRAY(
                SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, position)
                JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum
                ORDER BY u.position),
            k.convalidated AND {enforced}, k.confmatchtype = 'f', {temporal},
            k.confdeltype::text, k.confupdtype = 'c'
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class r ON r.oid = k.confrelid
        JOIN pg_namespace rn ON rn.oid = r.relnamespace
        WHERE k.contype = 'f' AND k.conparentid = 0 AND {OF_THE_USER}"
    );
    let mut keys = Vec::new();
    for row in session.query(&statement, &[]).await? {
        keys.push(ForeignKey {
            oid: value(&row, 0)?,
            name: value(&row, 1)?,
            table: name(&row, 2)?,
            referenced_table: name(&row, 4)?,
            columns: value(&row, 6)?,
            referenced_columns: value(&row, 7)?,
            validated: value(&row, 8)?,
            match_full: value(&row, 9)?,
            temporal: value(&row, 10)?,
            on_delete: match value::<String>(&row, 11)?.as_str() {
                "c" => OnDelete::Cascade,
                "n" | "d" => OnDelete::Release,
                _ => OnDelete::Refuse,
            },
            on_update: if value(&row, 12)? { OnUpdate::Cascade } else { OnUpdate::Other },
        });
    }
    keys.sort_by(|a, b| (&a.table, &a.name).cmp(&(&b.table, &b.name)));
    Ok(keys)
}
