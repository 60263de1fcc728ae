//! Expire: backups are forgotten. Their keys are destroyed like a person's, by the same operation;
//! the objects that no other backup needs are removed after that.

use serde::Serialize;

use crate::audit::{Action, Outcome};
use crate::base::ids::{BackupId, Epoch};
use crate::catalog::packs;
use crate::keys::master::Credentials;
use crate::vault::access::{DRY_RUN, access};
use crate::vault::forget::{self, Change};
use crate::vault::garbage::{self, PruneReport};
use crate::vault::handle::Vault;
use crate::vault::reader::select::{self, Choice};
use crate::vault::{OpsError, replica};

/// What was forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct ExpireReport {
    /// `dry-run`, `provisional` or `confirmed`.
    pub state: &'static str,
    /// The backups.
    pub backups: Vec<BackupId>,
    /// The same with the sources that they are of.
    pub expired: Vec<ExpiredBackup>,
    /// The epoch that this began; absent from a dry run.
    pub epoch_after: Option<Epoch>,
    /// Why it is provisional, one sentence each.
    pub waiting: Vec<String>,
    /// What was removed from the store, or would be.
    pub objects_removed: u64,
    /// Its length, all together.
    pub bytes_removed: u64,
    /// Objects that the store keeps for now, one sentence each. They open for nobody.
    pub retained: Vec<String>,
    /// Stores that could not be reached, one sentence each: their objects open for nobody too.
    pub not_reached: Vec<String>,
}

/// One backup that is forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct ExpiredBackup {
    /// The backup.
    pub backup: BackupId,
    /// Its source.
    pub source: String,
}

/// What forgetting these backups would do. Only the catalog is looked at.
pub fn plan(vault: &Vault, choices: &[Choice]) -> Result<ExpireReport, OpsError> {
    let named = named(vault, choices)?;
    let backups: Vec<BackupId> = named.iter().map(|one| one.backup.clone()).collect();
    vault.note(Action::Expire, &object(&backups), Outcome::Done, Some(DRY_RUN))?;
    let freed = packs::only_of(vault.catalog().connection(), &backups)?;
    Ok(ExpireReport {
        state: "dry-run",
        backups,
        expired: named,
        epoch_after: None,
        waiting: Vec::new(),
        objects_removed: freed.len() as u64,
        bytes_removed: freed.iter().map(|pack| pack.bytes).sum(),
        retained: Vec::new(),
        not_reached: Vec::new(),
    })
}

/// The backups that were chosen, each once, with their sources.
fn named(vault: &Vault, choices: &[Choice]) -> Result<Vec<ExpiredBackup>, OpsError> {
    let mut named: Vec<ExpiredBackup> = Vec::new();
    for choice in choices {
        let row = select::backup(vault, choice)?;
        if named.iter().all(|one| one.backup != row.backup_id) {
            let source = select::source_of(vault, &row)?;
            named.push(ExpiredBackup { backup: row.backup_id, source });
        }
    }
    Ok(named)
}

/// What the audit log says that it was done to.
fn object(backups: &[BackupId]) -> String {
    match backups {
        [only] => only.to_string(),
        _ => "backups".to_owned(),
    }
}

/// Forgets backups, once `confirm` has seen which.
pub async fn expire(
    vault: &Vault,
    credentials: &Credentials,
    choices: &[Choice],
    confirm: impl FnOnce(&[ExpiredBackup]) -> bool,
) -> Result<ExpireReport, OpsError> {
    let lock = vault.lock_for_writing("expire")?;
    let named = named(vault, choices)?;
    let backups: Vec<BackupId> = named.iter().map(|one| one.backup.clone()).collect();
    let object = object(&backups);
    access(vault, Action::Expire, &object)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            if !confirm(&named) {
                return Err(OpsError::NotConfirmed);
            }
            for backup in backups.iter().filter(|_| backups.len() > 1) {
                access.name_object(backup.as_str())?;
            }
            let change = Change { backups: &backups, ..Change::default() };
            let forgotten =
                forget::forget(vault, &unlocked, &lock, &change, |_, _, _| Ok(())).await?;
            replica::clear_superseded(vault, &lock).await;
            // The backups are forgotten; what is left of them in the store opens for nobody.
            let pruned = match garbage::in_every_store(vault, true).await {
                Ok(pruned) => pruned,
                Err(error) => PruneReport::nothing(error.to_string()),
            };
            Ok(ExpireReport {
                state: if forgotten.waiting.is_empty() { "confirmed" } else { "provisional" },
                backups: backups.clone(),
                expired: named,
                epoch_after: Some(forgotten.epoch),
                waiting: forgotten.waiting,
                objects_removed: pruned.objects.len() as u64,
                bytes_removed: pruned.bytes,
                retained: pruned.retained,
                not_reached: pruned.not_reached,
            })
        })
        .await
}
