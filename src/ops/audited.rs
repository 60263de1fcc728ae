//! The frame of every access: an audit entry before it, and one after it with the outcome.

use std::cell::RefCell;

use super::vault::Vault;
use super::{ErrorKind, OpsError};
use crate::audit::{Action, Outcome, Recorded};

/// An access that is on record.
pub struct Access<'a> {
    vault: &'a Vault,
    action: Action,
    object: RefCell<String>,
    recorded: Recorded,
}

impl Access<'_> {
    /// The proof that the access is on record: what [`Vault::unlock`] asks for.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Names the object more exactly, once it is known (a new backup's id, a subject's reference):
    /// an entry of its own, and the object of the entry that closes the access.
    pub fn name_object(&self, object: &str) -> Result<(), OpsError> {
        self.vault.note(self.action, object, Outcome::Begun, None)?;
        object.clone_into(&mut self.object.borrow_mut());
        Ok(())
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
    let recorded = vault.record(action, object, Outcome::Begun, None)?;
    let access = Access { vault, action, object: RefCell::new(object.to_owned()), recorded };
    let outcome = work(&access).await;
    let object = access.object.into_inner();
    match outcome {
        Ok(value) => {
            vault.note(action, &object, Outcome::Done, None)?;
            Ok(value)
        }
        Err(error) => {
            let outcome = match error.kind() {
                ErrorKind::Refused | ErrorKind::NotFound => Outcome::Refused,
                _ => Outcome::Failed,
            };
            let detail = format!("error={}", error.kind().name());
            // The access has failed already; that its entry fails too must not hide why.
            let _ = vault.note(action, &object, outcome, Some(&detail));
            Err(error)
        }
    }
}
