//! The frame of every access: an audit entry before it, and one after it with the outcome.

use std::cell::{Cell, RefCell};

use super::handle::Vault;
use super::{ErrorKind, OpsError, replica};
use crate::audit::{Action, Outcome, Recorded};
use crate::catalog::forgetting;

/// An access that is on record.
pub struct Access<'a> {
    vault: &'a Vault,
    action: Action,
    /// What it is done to; several where they were named one by one. Each gets an entry of how it ended.
    objects: RefCell<Vec<String>>,
    is_named: Cell<bool>,
    detail: RefCell<String>,
    recorded: Recorded,
}

impl Access<'_> {
    /// The proof that the access is on record: what [`Vault::unlock`] asks for.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Names the object more exactly, once it is known (a new backup's id, a subject's reference):
    /// an entry of its own, and the object of an entry that closes the access.
    pub fn name_object(&self, object: &str) -> Result<(), OpsError> {
        self.vault.note(self.action, object, Outcome::Begun, given(&self.detail.borrow()))?;
        let mut objects = self.objects.borrow_mut();
        if !self.is_named.replace(true) {
            objects.clear();
        }
        objects.push(object.to_owned());
        Ok(())
    }

    /// Adds facts (`name=value` pairs) to the entries that are still to come.
    pub fn add_detail(&self, facts: &str) {
        let mut detail = self.detail.borrow_mut();
        if !detail.is_empty() {
            detail.push(' ');
        }
        detail.push_str(facts);
    }
}

/// Records that an access begins, does it, and records how it ended. If the first entry cannot be
/// written, the access does not happen.
pub async fn audited<T>(
    vault: &Vault,
    action: Action,
    object: &str,
    work: impl AsyncFnOnce(&Access<'_>) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    audited_with(vault, action, object, None, work).await
}

/// The detail of every entry of an access that only looks at what it would do.
pub const DRY_RUN: &str = "mode=dry-run";

/// Like [`audited`], with a detail (`name=value` pairs) that every entry of the access carries.
pub async fn audited_with<T>(
    vault: &Vault,
    action: Action,
    object: &str,
    detail: Option<&str>,
    work: impl AsyncFnOnce(&Access<'_>) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let recorded = vault.record(action, object, Outcome::Begun, detail)?;
    let access = Access {
        vault,
        action,
        objects: RefCell::new(vec![object.to_owned()]),
        is_named: Cell::new(false),
        detail: RefCell::new(detail.unwrap_or_default().to_owned()),
        recorded,
    };
    let ended = work(&access).await;
    let outcome = match &ended {
        Ok(_) => Outcome::Done,
        Err(error) => {
            access.add_detail(&format!("error={}", error.kind().name()));
            match error.kind() {
                ErrorKind::Refused | ErrorKind::NotFound => Outcome::Refused,
                _ => Outcome::Failed,
            }
        }
    };
    let detail = access.detail.into_inner();
    let objects = access.objects.into_inner();
    let noted =
        objects.iter().try_for_each(|object| vault.note(action, object, outcome, given(&detail)));
    let value = match ended {
        Ok(value) => noted.map(|()| value)?,
        // The access has failed already; that its entry fails too must not hide why.
        Err(error) => return Err(error),
    };
    replicate(vault, action).await?;
    Ok(value)
}

/// Brings the catalog's replica in the store up to date, before the command reports success. A
/// command that only reads leaves that to another where it cannot, for nothing hangs on it but the
/// replica of its entries in the audit log.
async fn replicate(vault: &Vault, action: Action) -> Result<(), OpsError> {
    let Some(unlocked) = vault.unlocked() else { return Ok(()) };
    if vault.is_writing() {
        let lock = vault.lock_for_recovery()?;
        let keys = unlocked.ring().replica_keys();
        return match replica::sync(vault, &keys, &lock).await {
            Ok(_) => Ok(()),
            // The command says already that what it did is provisional, and why.
            Err(_)
                if forgets(action)
                    && forgetting::current(vault.catalog().connection())?.is_some() =>
            {
                Ok(())
            }
            Err(source) => Err(OpsError::ReplicaBehind { source: Box::new(source) }),
        };
    }
    let Ok(lock) = vault.lock_for_writing("copying the catalog to the store") else {
        return Ok(());
    };
    let keys = unlocked.ring().replica_keys();
    if let Err(error) = replica::sync(vault, &keys, &lock).await {
        vault.warn(&format!("the catalog's replica in the store is behind: {error}"));
    }
    Ok(())
}

/// Whether an access reports by itself that a forgetting is provisional. Any other, a backup above all,
/// promises something that the replica must hold, whatever an earlier forgetting waits for.
fn forgets(action: Action) -> bool {
    matches!(action, Action::Erase | Action::Expire | Action::Custody | Action::Rotate)
}

/// A detail, where there is one.
fn given(detail: &str) -> Option<&str> {
    (!detail.is_empty()).then_some(detail)
}
