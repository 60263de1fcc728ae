//! Sources: recording them and finding the way to their databases.

use std::{fs, io};

use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::SourceId;
use crate::base::{durable, random};
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::sources::{self, SourceRow, SourceUrl};
use crate::crypto::{SecretText, labels};
use crate::keys::master::Credentials;
use crate::postgres::{self, ConnectionSettings, Session};
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::sources::{find, settings};
use crate::vault::subject_maps;

/// Where a new source's URL is.
pub enum NewUrl {
    /// In the catalog, sealed.
    Sealed(SecretText),
    /// In an environment variable of every later command.
    Variable(String),
}

impl NewUrl {
    /// Nothing is connected to; the URL is only read.
    fn check(&self) -> Result<(), OpsError> {
        if let Self::Sealed(url) = self {
            ConnectionSettings::parse(url.expose())?;
        }
        Ok(())
    }
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
    url.check()?;
    access(vault, Action::SourceAdd, name)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let random = &mut random::system();
            let source_id = SourceId(random::bytes(random));
            let url = sealed(vault, &unlocked, source_id, url);
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

/// Gives a source another URL, for a server that has moved or a password that has changed. A source
/// that was removed is taken up again by it.
pub async fn set_url(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
    url: NewUrl,
) -> Result<SourceReport, OpsError> {
    let source = find(vault, name)?;
    let lock = vault.lock_for_writing("source set-url")?;
    url.check()?;
    access(vault, Action::SourceChange, name)
        .writing(&lock)
        .detail("change=url")
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let url = sealed(vault, &unlocked, source.source_id, url);
            vault.catalog().transaction(|transaction| {
                Ok::<_, OpsError>(sources::set_url(transaction, source.source_id, &url)?)
            })?;
            Ok(report(&find(vault, name)?))
        })
        .await
}

/// Gives a source another name. Its backups, its people and its subject map stay its own: they hang on
/// its id. The map's file is there under both names until the catalog has the new one.
pub async fn rename(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
    new_name: &str,
) -> Result<SourceReport, OpsError> {
    let source = find(vault, name)?;
    let lock = vault.lock_for_writing("source rename")?;
    if sources::by_name(vault.catalog().connection(), new_name)?.is_some() {
        return Err(OpsError::SourceExists { name: new_name.to_owned() });
    }
    let detail = format!("change=name to={new_name}");
    access(vault, Action::SourceChange, name)
        .writing(&lock)
        .detail(&detail)
        .run(async |access| {
            let _unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let (old, new) = (subject_maps::path(vault, name), subject_maps::path(vault, new_name));
            let failed =
                |source| OpsError::File { what: format!("writing {}", new.display()), source };
            let map = match fs::read(&old) {
                Ok(map) => Some(map),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed(error)),
            };
            if let Some(map) = &map {
                // A rename that was cut off may have left the same file.
                if fs::read(&new).ok().as_ref() != Some(map) {
                    durable::create_file(&new, map).map_err(failed)?;
                }
            }
            vault.catalog().transaction(|transaction| {
                Ok::<_, OpsError>(sources::rename(transaction, source.source_id, new_name)?)
            })?;
            if map.is_some() {
                fs::remove_file(&old)
                    .and_then(|()| durable::sync_folder(durable::folder_of(&old)))
                    .map_err(failed)?;
            }
            Ok(report(&find(vault, new_name)?))
        })
        .await
}

/// Removes a source: its URL is forgotten and nothing more is backed up. Its backups stay, and restore.
pub async fn remove(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
) -> Result<RemovedSource, OpsError> {
    let source = find(vault, name)?;
    let lock = vault.lock_for_writing("source remove")?;
    access(vault, Action::SourceChange, name)
        .writing(&lock)
        .detail("change=removed")
        .run(async |access| {
            let _unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            vault.catalog().transaction(|transaction| {
                let id = source.source_id;
                Ok::<_, OpsError>(sources::set_url(transaction, id, &SourceUrl::Removed)?)
            })?;
            let filter = BackupFilter { source_id: Some(source.source_id), class: None };
            let kept = backups::list(vault.catalog().connection(), &filter)?;
            Ok(RemovedSource { source: report(&find(vault, name)?), backups: kept.len() as u64 })
        })
        .await
}

/// A source that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedSource {
    /// The source.
    #[serde(flatten)]
    pub source: SourceReport,
    /// Backups of it, which stay.
    pub backups: u64,
}

/// What a connection to a source showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestedSource {
    /// The source's name.
    pub name: String,
    /// Where it is, without its password.
    pub target: String,
    /// The server's version, `15.18`.
    pub server_version: String,
    /// The role that connected.
    pub role: String,
    /// Tables of users that the role may not read, so that a backup would fail.
    pub not_readable: Vec<String>,
}

/// Connects to a source as a backup would, and reads nothing but what it may read.
pub async fn test(
    vault: &Vault,
    credentials: &Credentials,
    name: &str,
) -> Result<TestedSource, OpsError> {
    let source = find(vault, name)?;
    access(vault, Action::SourceTest, name)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let session = Session::connect(&settings(vault, &unlocked, &source)?).await?;
            let (role, not_readable) = postgres::schema::may_read(&session).await?;
            let version = session.server_version_num();
            Ok(TestedSource {
                name: source.name.clone(),
                target: session.target().to_owned(),
                server_version: format!("{}.{}", version / 10_000, version % 10_000),
                role,
                not_readable: not_readable.iter().map(ToString::to_string).collect(),
            })
        })
        .await
}

/// A URL as the catalog keeps it.
fn sealed(vault: &Vault, unlocked: &Unlocked, source: SourceId, url: NewUrl) -> SourceUrl {
    match url {
        NewUrl::Sealed(url) => SourceUrl::Sealed(unlocked.commons.seal_note(
            vault.id(),
            labels::SOURCE_URL,
            &source.0,
            url.expose(),
            &mut random::system(),
        )),
        NewUrl::Variable(variable) => SourceUrl::Environment(variable),
    }
}

/// All sources.
pub fn list(vault: &Vault) -> Result<Vec<SourceReport>, OpsError> {
    Ok(sources::all(vault.catalog().connection())?.iter().map(report).collect())
}

fn report(row: &SourceRow) -> SourceReport {
    let url = match &row.url {
        SourceUrl::Sealed(_) => "sealed in the catalog".to_owned(),
        SourceUrl::Environment(variable) => format!("env:{variable}"),
        SourceUrl::Removed => "removed".to_owned(),
    };
    SourceReport {
        name: row.name.clone(),
        id: row.source_id,
        url,
        created_at: timestamp(row.created_at),
    }
}
