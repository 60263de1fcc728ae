//! Roles that a restore needs.

use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// Roles that own objects here, are granted rights on them or are named by their policies, ordered.
///
/// `pg_shdepend` records all of these but a cluster's first superuser, so owners are read once more
/// from the objects. What belongs to an extension or to the system needs no role of the source.
pub(super) async fn roles(session: &Session) -> Result<Vec<String>, PostgresError> {
    let statement = "
        WITH user_schema AS (
            SELECT oid, nspowner FROM pg_namespace
            WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
        ), named (classid, objid, role) AS (
            SELECT s.classid, s.objid, s.refobjid FROM pg_shdepend s
            WHERE s.refclassid = 'pg_authid'::regclass AND s.classid <> 'pg_extension'::regclass
                AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            UNION ALL
            SELECT 'pg_namespace'::regclass, oid, nspowner FROM user_schema
            UNION ALL
            SELECT 'pg_class'::regclass, c.oid, c.relowner
            FROM pg_class c JOIN user_schema n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, p.proowner
            FROM pg_proc p JOIN user_schema n ON n.oid = p.pronamespace
            UNION ALL
            SELECT 'pg_type'::regclass, t.oid, t.typowner
            FROM pg_type t JOIN user_schema n ON n.oid = t.typnamespace
            WHERE t.typrelid = 0 AND t.typelem = 0
        )
        SELECT DISTINCT r.rolname::text
        FROM named JOIN pg_roles r ON r.oid = named.role
        WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = named.classid
            AND e.objid = named.objid AND e.deptype = 'e')
        ORDER BY 1";
    let rows = session.query(statement, &[]).await?;
    rows.iter().map(|row| value(row, 0)).collect()
}
