//! Whether two databases hold the same rows, table by table, whatever their order.

use crate::base::schema::Table;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::postgres::{Session, describe};
use crate::vault::OpsError;

/// One table, compared.
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Rows in the expected database.
    pub rows: u64,
    /// Whether every row is in both, equal in every byte of its text form.
    pub equal: bool,
}

/// Compares every table of two databases.
pub async fn tables(expected: &Session, found: &Session) -> Result<Vec<Compared>, CliError> {
    let schema = describe(expected).await.map_err(OpsError::from)?;
    let mut compared = Vec::new();
    for table in &schema.tables {
        let (rows, expected_digest) = digest(expected, table).await?;
        let (_, found_digest) = digest(found, table).await?;
        let equal = expected_digest == found_digest;
        compared.push(Compared { name: table.name.to_string(), rows, equal });
    }
    Ok(compared)
}

/// The number of rows, and MD5 over all of them in the order of their text.
async fn digest(session: &Session, table: &Table) -> Result<(u64, String), CliError> {
    let statement = format!(
        "SELECT count(*), coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') \
         FROM {} t",
        table.name.quoted()
    );
    let row = session.query_one(&statement, &[]).await.map_err(OpsError::from)?;
    let rows: i64 = row.try_get(0).map_err(|error| CliError::from_error(Exit::Internal, &error))?;
    let digest = row.try_get(1).map_err(|error| CliError::from_error(Exit::Internal, &error))?;
    Ok((u64::try_from(rows).unwrap_or(0), digest))
}
