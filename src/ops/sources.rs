//! Sources: recording them and finding the way to their databases.

use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::SourceId;
use crate::base::random;
use crate::catalog::sources::{self, SourceRow, SourceUrl};
use crate::crypto::{SecretText, labels};
use crate::keys::master::Credentials;
use crate::postgres::ConnectionSettings;
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;

/// Where a new source's URL is.
pub enum NewUrl {
    /// In the catalog, sealed.
    Sealed(SecretText),
    /// In an environment variable of every later command.
    Variable(String),
}

/// A source as people may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: SourceId,
    /// Where its URL is: `sealed in the catalog` or `env:VARIABLE`.
    pub url: String,
    /// When it was recorded.
    pub created_at: String,
}

/// Records a source. A URL is checked for its form; nothing is connected to.
pub async fn add(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
    url: NewUrl,
) -> Result<SourceReport, OpsError> {
    let lock = vault.lock_for_writing("source add")?;
    if sources::by_name(vault.catalog().connection(), name)?.is_some() {
        return Err(OpsError::SourceExists { name: name.to_owned() });
    }
    if let NewUrl::Sealed(url) = &url {
        ConnectionSettings::parse(url.expose())?;
    }
    access(vault, Action::SourceAdd, name)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let random = &mut random::system();
            let source_id = SourceId(random::bytes(random));
            let url = match url {
                NewUrl::Sealed(url) => SourceUrl::Sealed(unlocked.commons.seal_note(
                    vault.id(),
                    labels::SOURCE_URL,
                    &source_id.0,
                    url.expose(),
                    random,
                )),
                NewUrl::Variable(variable) => SourceUrl::Environment(variable),
            };
            let row = SourceRow {
                source_id,
                name: name.to_owned(),
                url,
                created_at: vault.clock().now(),
            };
            vault.catalog().transaction(|transaction| {
                Ok::<_, OpsError>(sources::insert(transaction, &row)?)
            })?;
            Ok(report(&row))
        })
        .await
}

/// All sources.
pub fn list(vault: &Vault) -> Result<Vec<SourceReport>, OpsError> {
    Ok(sources::all(vault.catalog().connection())?.iter().map(report).collect())
}

fn report(row: &SourceRow) -> SourceReport {
    let url = match &row.url {
        SourceUrl::Sealed(_) => "sealed in the catalog".to_owned(),
        SourceUrl::Environment(variable) => format!("env:{variable}"),
    };
    SourceReport {
        name: row.name.clone(),
        id: row.source_id,
        url,
        created_at: timestamp(row.created_at),
    }
}
