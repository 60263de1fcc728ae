//! The database itself: what makes another like it, and how many large objects it holds.

use crate::base::schema::DatabaseSettings;
use crate::postgres::connect::session::{Session, value};
use crate::postgres::error::PostgresError;

/// Encoding and locale. Columns came and went between 13 and 18 (`datlocprovider` in 15,
/// `daticulocale` in 15 and 16, `datlocale` since 17), so the row is read as JSON.
pub(super) async fn settings(session: &Session) -> Result<DatabaseSettings, PostgresError> {
    let statement = "
        SELECT d.datname::text, pg_encoding_to_char(d.encoding)::text, d.datcollate::text,
            d.datctype::text, coalesce(j.fields ->> 'datlocprovider', 'c'),
            coalesce(j.fields ->> 'datlocale', j.fields ->> 'daticulocale'),
            j.fields ->> 'daticurules'
        FROM pg_database d, LATERAL (SELECT to_jsonb(d) AS fields) j
        WHERE d.datname = current_database()";
    let row = session.query_one(statement, &[]).await?;
    let provider: String = value(&row, 4)?;
    Ok(DatabaseSettings {
        name: value(&row, 0)?,
        encoding: value(&row, 1)?,
        collate: value(&row, 2)?,
        ctype: value(&row, 3)?,
        locale_provider: provider.chars().next().unwrap_or('c'),
        locale: value(&row, 5)?,
        icu_rules: value(&row, 6)?,
    })
}

/// How many large objects there are.
pub(super) async fn large_objects(session: &Session) -> Result<u64, PostgresError> {
    let row = session.query_one("SELECT count(*) FROM pg_largeobject_metadata", &[]).await?;
    Ok(u64::try_from(value::<i64>(&row, 0)?).unwrap_or(0))
}
