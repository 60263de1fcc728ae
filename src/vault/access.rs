//! The frame of every access: an audit entry before it, and one after it with the outcome.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

use super::handle::{Vault, Writing};
use super::keys::Unlocked;
use super::{ErrorKind, OpsError, replica, stores, unlock};
use crate::audit::{Action, Outcome, Recorded};
use crate::catalog::forgetting;
use crate::crypto::kdf::MacKey;
use crate::keys::master::Credentials;
use crate::keys::vault_keys::audit_head_key;

/// An access that is on record, and the keys that it released.
pub struct Access<'a> {
    vault: &'a Vault,
    /// The right to write, where the command has it.
    writing: Option<&'a Writing>,
    action: Action,
    /// What it is done to; several where they were named one by one. Each gets an entry of how it ended.
    objects: RefCell<Vec<String>>,
    is_named: Cell<bool>,
    detail: RefCell<String>,
    recorded: Recorded,
    /// There as soon as the master secret is open: every entry after that signs the log.
    signer: OnceCell<Arc<MacKey>>,
    unlocked: OnceCell<Arc<Unlocked>>,
}

impl Access<'_> {
    /// Releases the vault's keys. See [`unlock::unlock`].
    pub async fn unlock(&self, credentials: &Credentials) -> Result<Arc<Unlocked>, OpsError> {
        let master = unlock::open_master(self.vault, credentials, &self.recorded)?;
        self.signer.get_or_init(|| Arc::new(audit_head_key(&master, self.vault.id())));
        let unlocked = unlock::release(self.vault, master, self.writing).await?;
        Ok(Arc::clone(self.unlocked.get_or_init(|| unlocked)))
    }

    /// Checks that every store that can be reached is this vault's, and that one can be. A command
    /// that writes must also come from the newest replica; one that only reads may do so from a
    /// catalog that another machine has overtaken.
    pub async fn check_store(&self) -> Result<(), OpsError> {
        stores::check_all(self.vault.stores()).await?;
        if self.writing.is_none() {
            return Ok(());
        }
        let keys = self.unlocked.get().map(|unlocked| unlocked.ring().replica_keys());
        replica::ensure_newest(self.vault, keys.as_ref()).await
    }

    /// Names the object more exactly, once it is known (a new backup's id, a subject's reference):
    /// an entry of its own, and the object of an entry that closes the access.
    pub fn name_object(&self, object: &str) -> Result<(), OpsError> {
        self.note(object, Outcome::Begun, &self.detail.borrow())?;
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

    fn note(&self, object: &str, outcome: Outcome, detail: &str) -> Result<(), OpsError> {
        let signer = self.unlocked.get().map(|unlocked| unlocked.audit_head());
        let signer = signer.or_else(|| self.signer.get().cloned());
        let detail = (!detail.is_empty()).then_some(detail);
        self.vault.note_signed(signer.as_deref(), self.action, object, outcome, detail)
    }

    /// Brings the catalog's replica in the store up to date, before the command reports success. A
    /// command that only reads leaves that to another where it cannot, for nothing hangs on it but
    /// the replica of its entries in the audit log.
    async fn replicate(&self) -> Result<(), OpsError> {
        let (vault, Some(unlocked)) = (self.vault, self.unlocked.get()) else { return Ok(()) };
        let keys = unlocked.ring().replica_keys();
        if let Some(writing) = self.writing {
            return match replica::sync(vault, &keys, writing).await {
                Ok(_) => Ok(()),
                // The command says already that what it did is provisional, and why.
                Err(_)
                    if forgets(self.action)
                        && forgetting::current(vault.catalog().connection())?.is_some() =>
                {
                    Ok(())
                }
                Err(source) => Err(OpsError::ReplicaBehind { source: Box::new(source) }),
            };
        }
        let Ok(writing) = vault.lock_for_writing("copying the catalog to the store") else {
            return Ok(());
        };
        if let Err(error) = replica::sync(vault, &keys, &writing).await {
            vault.warn(&format!("the catalog's replica in the store is behind: {error}"));
        }
        Ok(())
    }
}

/// An access that is about to be made.
pub struct NewAccess<'a> {
    vault: &'a Vault,
    action: Action,
    object: &'a str,
    detail: &'a str,
    writing: Option<&'a Writing>,
    signer: Option<Arc<MacKey>>,
}

/// The detail of every entry of an access that only looks at what it would do.
pub const DRY_RUN: &str = "mode=dry-run";

/// An access to `object` of a vault.
#[must_use]
pub fn access<'a>(vault: &'a Vault, action: Action, object: &'a str) -> NewAccess<'a> {
    NewAccess { vault, action, object, detail: "", writing: None, signer: None }
}

impl<'a> NewAccess<'a> {
    /// The command writes.
    #[must_use]
    pub fn writing(self, writing: &'a Writing) -> Self {
        Self { writing: Some(writing), ..self }
    }

    /// Facts (`name=value` pairs) that every entry of the access carries.
    #[must_use]
    pub fn detail(self, detail: &'a str) -> Self {
        Self { detail, ..self }
    }

    /// The keys are released already, by the access that made the vault: they sign every entry.
    #[must_use]
    pub fn signed_by(self, unlocked: &Unlocked) -> Self {
        Self { signer: Some(unlocked.audit_head()), ..self }
    }

    /// Records that the access begins, does it, and records how it ended. If the first entry cannot
    /// be written, the access does not happen.
    pub async fn run<T>(
        self,
        work: impl AsyncFnOnce(&Access<'_>) -> Result<T, OpsError>,
    ) -> Result<T, OpsError> {
        let Self { vault, action, object, detail, writing, signer } = self;
        let given = (!detail.is_empty()).then_some(detail);
        let recorded =
            vault.record_signed(signer.as_deref(), action, object, Outcome::Begun, given)?;
        let access = Access {
            vault,
            writing,
            action,
            objects: RefCell::new(vec![object.to_owned()]),
            is_named: Cell::new(false),
            detail: RefCell::new(detail.to_owned()),
            recorded,
            signer: signer.map_or_else(OnceCell::new, OnceCell::from),
            unlocked: OnceCell::new(),
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
        let noted = access
            .objects
            .borrow()
            .iter()
            .try_for_each(|object| access.note(object, outcome, &access.detail.borrow()));
        let value = match ended {
            Ok(value) => noted.map(|()| value)?,
            // The access has failed already; that its entry fails too must not hide why.
            Err(error) => return Err(error),
        };
        access.replicate().await?;
        Ok(value)
    }
}

/// Whether an access reports by itself that a forgetting is provisional. Any other, a backup above all,
/// promises something that the replica must hold, whatever an earlier forgetting waits for.
fn forgets(action: Action) -> bool {
    matches!(action, Action::Erase | Action::Expire | Action::Custody | Action::Rotate)
}
