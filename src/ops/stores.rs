//! What an operator does with stores: list them, look what they can do, copy a backup, and bring a
//! store up to date that was away.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::durable;
use crate::base::ids::BackupId;
use crate::base::progress::ProgressSink;
use crate::catalog::backups::{self, BackupFilter, BackupRow};
use crate::catalog::stores::{self as rows, CopyRow, CopyState};
use crate::container::names;
use crate::container::vault_marker::VaultMarker;
use crate::keys::master::Credentials;
use crate::store::{Capabilities, ObjectName};
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::open_manifest;
use crate::vault::reader::select::{self, Choice};
use crate::vault::stores::copy::{self, Copied};
use crate::vault::stores::route::{choose, named, note};
use crate::vault::stores::{
    Copies, NamedStore, OneStore, Standing, check_all, expect_marker, place_of, row_of,
};
use crate::vault::{OpsError, replica};

/// The stores, and how many copies there are.
#[derive(Debug, Clone, Serialize)]
pub struct ListReport {
    /// The stores, in the order of the configuration.
    pub stores: Vec<ListedStore>,
    /// The backups, the newest first.
    pub backups: Vec<BackupCopies>,
}

/// One store, as the catalog knows it.
#[derive(Debug, Clone, Serialize)]
pub struct ListedStore {
    /// Its name.
    pub store: String,
    /// Where it is.
    pub location: String,
    /// The classes that go there; empty for all.
    pub classes: Vec<&'static str>,
    /// Backups that are whole there.
    pub complete: u64,
    /// Backups that should be there and are not.
    pub behind: u64,
    /// Whether it has the newest replica of the catalog, as far as is known.
    pub has_newest_replica: bool,
    /// When it was looked at what it can do.
    pub checked_at: Option<String>,
}

/// One backup, and where it lies.
#[derive(Debug, Clone, Serialize)]
pub struct BackupCopies {
    /// The backup.
    pub backup: BackupId,
    /// Its class.
    pub class: &'static str,
    /// The stores where it is whole.
    pub complete: Vec<String>,
    /// The stores where it should be and is not.
    pub behind: Vec<String>,
}

/// What was found of the stores that were looked at.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// The stores.
    pub stores: Vec<CheckedStore>,
}

/// What was found of one store.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedStore {
    /// Its name.
    pub store: String,
    /// Where it is.
    pub location: String,
    /// Whether a vault can live there.
    pub fit: bool,
    /// Whether it was empty and is this vault's from now on.
    pub taken: bool,
    /// Why it could not be looked at.
    pub failure: Option<String>,
    /// What it can do.
    pub capabilities: Option<Capabilities>,
}

/// What was copied.
#[derive(Debug, Clone, Serialize)]
pub struct CopyReport {
    /// The backup.
    pub backup: BackupId,
    /// The source that it is of.
    pub source: String,
    /// The store that has it now.
    pub store: String,
    /// Objects that were written.
    pub objects: u64,
    /// Their length.
    pub bytes: u64,
}

/// What was brought up to date.
#[derive(Debug, Clone, Serialize)]
pub struct ReconcileReport {
    /// The stores.
    pub stores: Vec<ReconciledStore>,
}

/// One store that was brought up to date, or not.
#[derive(Debug, Clone, Serialize)]
pub struct ReconciledStore {
    /// Its name.
    pub store: String,
    /// `complete`, or `behind`.
    pub state: CopyState,
    /// Backups that are whole there now.
    pub backups: u64,
    /// Objects that were written.
    pub objects: u64,
    /// Their length.
    pub bytes: u64,
    /// Why it is still behind, one sentence each.
    pub problems: Vec<String>,
}

/// The stores and the copies in them, as the catalog knows them. Asks no store.
pub fn list(vault: &Vault) -> Result<ListReport, OpsError> {
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let copies = rows::all_copies(connection)?;
    let replicas = rows::replicas(connection)?;
    let newest = crate::catalog::replica::state(connection)?.sequence;
    let several = vault.stores().are_several();
    let mut stores = Vec::new();
    for one in &vault.stores().all {
        let name = &one.settings.name;
        let count = |state| {
            copies.iter().filter(|row| row.store == *name && row.state == state).count() as u64
        };
        stores.push(ListedStore {
            store: name.clone(),
            location: place_of(&one.settings),
            classes: one.settings.classes.iter().map(|class| class.as_str()).collect(),
            complete: count(CopyState::Complete),
            behind: count(CopyState::Behind),
            has_newest_replica: !several || replicas.get(name) == Some(&newest),
            checked_at: rows::store(connection, name)?.map(|row| timestamp(row.checked_at)),
        });
    }
    let backup = |row: BackupRow| {
        let of = |state| {
            let here = |one: &&CopyRow| one.backup_id == row.backup_id && one.state == state;
            copies.iter().filter(here).map(|one| one.store.clone()).collect()
        };
        BackupCopies {
            class: row.class.as_str(),
            complete: of(CopyState::Complete),
            behind: of(CopyState::Behind),
            backup: row.backup_id.clone(),
        }
    };
    let backups = backups::list(connection, &BackupFilter::default())?;
    Ok(ListReport { stores, backups: backups.into_iter().map(backup).collect() })
}

/// Looks with real objects what stores can do and keeps the answer; an empty one is taken in.
pub async fn check(vault: &Vault, name: Option<&str>) -> Result<CheckReport, OpsError> {
    let chosen = choose(vault.stores(), name)?;
    let lock = vault.lock_for_writing("store check")?;
    access(vault, Action::Store, "stores")
        .writing(&lock)
        .run(async |_| {
            let mut stores = Vec::new();
            for one in &chosen {
                stores.push(match check_one(vault, one).await {
                    Ok(checked) => checked,
                    // Another vault's store is a mistake to correct before anything else.
                    Err(error @ OpsError::OtherVaultsStore { .. }) => return Err(error),
                    Err(error) if chosen.len() > 1 => CheckedStore {
                        store: one.settings.name.clone(),
                        location: place_of(&one.settings),
                        fit: false,
                        taken: false,
                        failure: Some(error.to_string()),
                        capabilities: None,
                    },
                    Err(error) => return Err(error),
                });
            }
            Ok(CheckReport { stores })
        })
        .await
}

async fn check_one(vault: &Vault, one: &OneStore) -> Result<CheckedStore, OpsError> {
    let store = crate::store::create_telling(&one.settings.url, vault.teller())?;
    let taken = match expect_marker(&*store, vault.id()).await {
        Ok(()) => false,
        Err(OpsError::StoreWithoutVault { .. }) => true,
        Err(error) => return Err(error),
    };
    if taken && !store.list("").await?.is_empty() {
        return Err(OpsError::StoreNotEmpty { location: store.location() });
    }
    let capabilities = store.probe().await?;
    let fit = capabilities.unfit().next().is_none();
    let row = row_of(&one.settings, &capabilities)?;
    durable::step("store.check", || {
        vault
            .catalog()
            .transaction(|transaction| Ok::<_, OpsError>(rows::put_store(transaction, &row)?))
    })?;
    if taken && fit {
        let mut writer = store.create(&names::VAULT_MARKER.parse()?).await?;
        writer.write(Bytes::from(VaultMarker::bytes_of(vault.id())?)).await?;
        durable::step_async("store.marker", writer.finish()).await?;
    }
    Ok(CheckedStore {
        store: row.store,
        location: store.location(),
        fit,
        taken: taken && fit,
        failure: None,
        capabilities: Some(capabilities),
    })
}

/// Copies one backup to a store, whatever classes go there.
pub async fn copy_to(
    vault: &Vault,
    credentials: &Credentials,
    choice: &Choice,
    to: &str,
    progress: &Arc<dyn ProgressSink>,
) -> Result<CopyReport, OpsError> {
    let row = select::backup(vault, choice)?;
    let chosen = choose(vault.stores(), Some(to))?;
    let lock = vault.lock_for_writing("store copy")?;
    let detail = format!("to={to}");
    access(vault, Action::Store, row.backup_id.as_str())
        .writing(&lock)
        .detail(&detail)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let stores = check_all(vault.stores()).await?;
            let to = named(vault.stores(), &stores, &chosen)?;
            let copies = Copies::among(vault.stores(), stores.clone());
            progress.phase(&format!("copying {}", row.backup_id));
            let listed = BTreeMap::new();
            let copied =
                backup(vault, &unlocked, &copies, to, &row, &listed, false, progress).await;
            let Copied { objects, bytes } = copied?;
            Ok(CopyReport {
                backup: row.backup_id.clone(),
                source: select::source_of(vault, &row)?,
                store: to.name.clone(),
                objects,
                bytes,
            })
        })
        .await
}

/// Copies to every store, or to one, what it lacks of the backups that belong there and of the
/// catalog's replica. It can be broken off and run again: what is there is not copied twice. With
/// `verify`, what is there is read and what is wrong is copied anew.
pub async fn reconcile(
    vault: &Vault,
    credentials: &Credentials,
    name: Option<&str>,
    verify: bool,
    progress: &Arc<dyn ProgressSink>,
) -> Result<ReconcileReport, OpsError> {
    let chosen = choose(vault.stores(), name)?;
    let lock = vault.lock_for_writing("store reconcile")?;
    access(vault, Action::Store, "stores")
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let stores = check_all(vault.stores()).await?;
            let copies = Copies::among(vault.stores(), stores.clone());
            let mut report = ReconcileReport { stores: Vec::new() };
            for one in chosen {
                let name = &one.settings.name;
                let mut done = ReconciledStore {
                    store: name.clone(),
                    state: CopyState::Complete,
                    backups: 0,
                    objects: 0,
                    bytes: 0,
                    problems: Vec::new(),
                };
                match stores.iter().find(|store| store.name == *name) {
                    Some(store) => {
                        let mut work =
                            Work { vault, unlocked: &unlocked, copies: &copies, progress };
                        work.fill(one, store, verify, &mut done).await?;
                    }
                    None => done.problems.extend(why_away(one)),
                }
                if !done.problems.is_empty() {
                    done.state = CopyState::Behind;
                }
                report.stores.push(done);
            }
            Ok(report)
        })
        .await
}

fn why_away(one: &OneStore) -> Option<String> {
    match &*one.standing() {
        Standing::Away(reason) => Some(reason.clone()),
        _ => None,
    }
}

/// What filling a store works with.
struct Work<'a> {
    vault: &'a Vault,
    unlocked: &'a Unlocked,
    copies: &'a Copies,
    progress: &'a Arc<dyn ProgressSink>,
}

impl Work<'_> {
    async fn fill(
        &mut self,
        one: &OneStore,
        to: &NamedStore,
        verify: bool,
        done: &mut ReconciledStore,
    ) -> Result<(), OpsError> {
        self.progress.phase(&format!("bringing store `{}` up to date", to.name));
        let belonging = belonging(self.vault, one)?;
        self.progress
            .total(0, belonging.iter().map(|row| row.bytes_stored + row.bytes_referenced).sum());
        let listed = match copy::listed(&*to.store, &[names::PACKS, names::BACKUPS]).await {
            Ok(listed) => listed,
            Err(error) => {
                done.problems.push(error.to_string());
                return Ok(());
            }
        };
        for row in &belonging {
            let copied = backup(
                self.vault,
                self.unlocked,
                self.copies,
                to,
                row,
                &listed,
                verify,
                self.progress,
            );
            match copied.await {
                Ok(copied) => {
                    done.backups += 1;
                    done.objects += copied.objects;
                    done.bytes += copied.bytes;
                }
                Err(error) if is_of_stores(&error) => {
                    note(self.vault, &row.backup_id, &to.name, CopyState::Behind)?;
                    done.problems.push(format!("backup {}: {error}", row.backup_id));
                }
                Err(error) => return Err(error),
            }
        }
        let keys = self.unlocked.ring().replica_keys();
        if let Err(error) = replica::bring_up(self.vault, &keys, to, verify).await {
            done.problems.push(format!("the catalog's replica: {error}"));
        }
        Ok(())
    }
}

/// Whether an error is about bytes in stores, and says nothing of the next backup.
fn is_of_stores(error: &OpsError) -> bool {
    matches!(error, OpsError::Store(_)) || error.is_damage()
}

/// The backups that belong to a store: those of its classes, and those that were copied there.
fn belonging(vault: &Vault, one: &OneStore) -> Result<Vec<BackupRow>, OpsError> {
    let catalog = vault.catalog();
    let copies = rows::all_copies(catalog.connection())?;
    let mut all = backups::list(catalog.connection(), &BackupFilter::default())?;
    all.retain(|row| {
        let was_copied =
            |copy: &CopyRow| copy.backup_id == row.backup_id && copy.store == one.settings.name;
        one.settings.takes(row.class) || copies.iter().any(was_copied)
    });
    Ok(all)
}

#[allow(clippy::too_many_arguments, reason = "one call, from two verbs")]
async fn backup(
    vault: &Vault,
    unlocked: &Unlocked,
    copies: &Copies,
    to: &NamedStore,
    row: &BackupRow,
    listed: &BTreeMap<ObjectName, u64>,
    verify: bool,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Copied, OpsError> {
    let identity = unlocked.backup_identity(row)?;
    let manifest = open_manifest(copies, vault.id(), row, &identity).await?;
    let objects = copy::objects_of(row, &manifest)?;
    let copied = copy::all(copies, to, &objects, listed, verify, progress).await?;
    note(vault, &row.backup_id, &to.name, CopyState::Complete)?;
    Ok(copied)
}
