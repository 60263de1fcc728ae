//! The catalogs of a live database, read into the values of [`crate::base::schema`].
//!
//! Left out everywhere: the system's schemas, temporary objects, and members of extensions (the
//! extension makes those again). Read in the session's snapshot, so that it agrees with the rows;
//! sequences alone have no snapshot in PostgreSQL and stand where they stand at this moment.
//!
//! Rows of foreign tables live elsewhere and are not backed up. A foreign table that is a partition
//! is listed in both places: among the partitions of its table and among the foreign tables.

mod constraints;
mod database;
pub mod foreign_keys;
pub mod hidden;
mod materialized_views;
mod roles;
mod sequences;
mod tables;
pub mod target;

use super::connect::session::{Session, value};
use super::error::PostgresError;
use crate::base::schema::{DatabaseSchema, QualifiedName};

/// Reads everything that strongroom asks of a database before it reads the first row.
pub async fn describe(session: &Session) -> Result<DatabaseSchema, PostgresError> {
    Ok(DatabaseSchema {
        server_version_num: session.server_version_num(),
        database: database::settings(session).await?,
        tables: tables::tables(session).await?,
        foreign_keys: constraints::foreign_keys(session).await?,
        sequences: sequences::sequences(session).await?,
        materialized_views: materialized_views::in_order_of_refresh(session).await?,
        foreign_tables: names(session, &foreign_tables()).await?,
        extension_tables: names(session, EXTENSION_TABLES).await?,
        large_objects: database::large_objects(session).await?,
        roles: roles::roles(session).await?,
    })
}

/// The role that a session works as, and the tables of users that it may not read.
pub async fn may_read(session: &Session) -> Result<(String, Vec<QualifiedName>), PostgresError> {
    let row = session.query_one("SELECT current_user::text", &[]).await?;
    let refused = format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND {OF_THE_USER} AND NOT (
            has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
        ORDER BY 1, 2"
    );
    Ok((value(&row, 0)?, names(session, &refused).await?))
}

/// Makes of a query's first two text columns a list of names.
async fn names(session: &Session, statement: &str) -> Result<Vec<QualifiedName>, PostgresError> {
    let rows = session.query(statement, &[]).await?;
    rows.iter().map(|row| name(row, 0)).collect()
}

/// A name from two adjacent text columns.
fn name(row: &tokio_postgres::Row, index: usize) -> Result<QualifiedName, PostgresError> {
    Ok(QualifiedName::new(value::<String>(row, index)?, value::<String>(row, index + 1)?))
}

/// Keeps relations (`c`, in namespace `n`) that are a user's: not the system's, not temporary, not an
/// extension's.
pub(in crate::postgres) const OF_THE_USER: &str = "
    n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
        AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e')";

fn foreign_tables() -> String {
    format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'f' AND {OF_THE_USER} ORDER BY 1, 2"
    )
}

const EXTENSION_TABLES: &str = "
    SELECT n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
        AND EXISTS (SELECT FROM pg_extension x WHERE c.oid = ANY (x.extconfig))
    ORDER BY 1, 2";
