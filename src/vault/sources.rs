//! Sources as the catalog has them, and the way to their databases.

use super::OpsError;
use super::handle::Vault;
use super::keys::Unlocked;
use crate::catalog::sources::{self, SourceRow, SourceUrl};
use crate::crypto::{SecretText, labels};
use crate::postgres::ConnectionSettings;

/// The source of that name.
pub fn find(vault: &Vault, name: &str) -> Result<SourceRow, OpsError> {
    let catalog = vault.catalog();
    if let Some(row) = sources::by_name(catalog.connection(), name)? {
        return Ok(row);
    }
    let known: Vec<String> =
        sources::all(catalog.connection())?.into_iter().map(|row| row.name).collect();
    let known = match known.as_slice() {
        [] => "; there is no source yet".to_owned(),
        names => format!("; there is {}", names.join(", ")),
    };
    Err(OpsError::NoSource { name: name.to_owned(), known })
}

/// How to connect to a source. What should be known of it is told as a warning.
pub fn settings(
    vault: &Vault,
    unlocked: &Unlocked,
    source: &SourceRow,
) -> Result<ConnectionSettings, OpsError> {
    let settings = read(vault, unlocked, source)?;
    if let Some(warning) = settings.warning() {
        vault.warn(warning);
    }
    if let Some(host) = settings.unchecked_host() {
        vault.warn(&format!(
            "the connection to {host} is not protected against somebody in between (sslmode={}): use \
             sslmode=verify-full",
            settings.ssl_mode().as_str()
        ));
    }
    Ok(settings)
}

fn read(
    vault: &Vault,
    unlocked: &Unlocked,
    source: &SourceRow,
) -> Result<ConnectionSettings, OpsError> {
    match &source.url {
        SourceUrl::Sealed(sealed) => {
            let id = &source.source_id.0;
            let url = unlocked.commons.open_note(vault.id(), labels::SOURCE_URL, id, sealed)?;
            Ok(ConnectionSettings::parse(url.expose())?)
        }
        SourceUrl::Removed => Err(OpsError::SourceRemoved { name: source.name.clone() }),
        SourceUrl::Environment(variable) => match std::env::var(variable) {
            Ok(url) if !url.is_empty() => {
                Ok(ConnectionSettings::parse(SecretText::new(url).expose())?)
            }
            _ => Err(OpsError::SourceVariable {
                name: source.name.clone(),
                variable: variable.clone(),
            }),
        },
    }
}
