//! Expire: backups are forgotten. Their keys are destroyed like a person's, by the same operation;
//! the objects that no other backup needs are removed after that.

use serde::Serialize;

use crate::audit::Action;
use crate::base::ids::{BackupId, Epoch};
use crate::keys::master::Credentials;
use crate::vault::access::access;
use crate::vault::forget::{self, Change};
use crate::vault::garbage::{self, PruneReport};
use crate::vault::handle::Vault;
use crate::vault::reader::select;
use crate::vault::{OpsError, replica};

/// What was forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct ExpireReport {
    /// `provisional` or `confirmed`.
    pub state: &'static str,
    /// The backups.
    pub backups: Vec<BackupId>,
    /// The epoch that this began.
    pub epoch_after: Epoch,
    /// Why it is provisional, one sentence each.
    pub waiting: Vec<String>,
    /// What was removed from the store.
    pub objects_removed: u64,
    /// Its length, all together.
    pub bytes_removed: u64,
    /// Objects that the store keeps for now, one sentence each. They open for nobody.
    pub retained: Vec<String>,
    /// Stores that could not be reached, one sentence each: their objects open for nobody too.
    pub not_reached: Vec<String>,
}

/// Forgets backups, once `confirm` has seen which.
pub async fn expire(
    vault: &Vault,
    credentials: &Credentials,
    selectors: &[String],
    confirm: impl FnOnce(&[BackupId]) -> bool,
) -> Result<ExpireReport, OpsError> {
    let lock = vault.lock_for_writing("expire")?;
    let mut backups: Vec<BackupId> = Vec::new();
    for selector in selectors {
        let row = select::backup(vault, selector)?;
        if !backups.contains(&row.backup_id) {
            backups.push(row.backup_id);
        }
    }
    let object = match backups.as_slice() {
        [only] => only.to_string(),
        _ => "backups".to_owned(),
    };
    access(vault, Action::Expire, &object)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            if !confirm(&backups) {
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
                epoch_after: forgotten.epoch,
                waiting: forgotten.waiting,
                objects_removed: pruned.objects.len() as u64,
                bytes_removed: pruned.bytes,
                retained: pruned.retained,
                not_reached: pruned.not_reached,
            })
        })
        .await
}
