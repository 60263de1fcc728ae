//! Readmit: someone who was erased has lawfully come back. She gets a new key; what was sealed
//! before stays closed.

use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::durable;
use crate::base::ids::{Epoch, SubjectReference};
use crate::catalog::subjects;
use crate::crypto::SecretText;
use crate::keys::master::Credentials;
use crate::policy::subject_map;
use crate::vault::access::access;
use crate::vault::handle::Vault;
use crate::vault::subject_keys::SubjectKeys;
use crate::vault::{CustodyError, OpsError};
use crate::vault::{sources, subject_maps};

/// Whom to readmit.
pub struct ReadmitRequest {
    /// The source's name.
    pub source: String,
    /// The subject class, needed where the source has several.
    pub class: Option<String>,
    /// The subject's key, as the officer has it.
    pub subject: SecretText,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct ReadmitReport {
    /// The source.
    pub source: String,
    /// The subject class.
    pub class: String,
    /// The subject's reference.
    pub subject_reference: SubjectReference,
    /// When she had been erased.
    pub erased_at: String,
    /// Backups made from this epoch on hold her rows.
    pub epoch: Epoch,
}

/// Readmits a person. The next backup seals her rows under a new key.
pub async fn readmit(
    vault: &Vault,
    credentials: &Credentials,
    request: &ReadmitRequest,
) -> Result<ReadmitReport, OpsError> {
    let source = sources::find(vault, &request.source)?;
    let lock = vault.lock_for_writing("subject readmit")?;
    access(vault, Action::Readmit, &source.name)
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let class = subject_maps::find_class(vault, &source, request.class.as_deref())?;
            let key = subject_map::canonical_key(&class, request.subject.expose())?;
            let reference =
                unlocked.references.reference(source.source_id, &class.name, key.as_bytes());
            access.name_object(&reference.to_string())?;
            let keys = SubjectKeys::new(
                vault.shared_catalog(),
                std::sync::Arc::clone(&unlocked),
                source.source_id,
                vault.clock().now(),
            );
            let erased_at =
                keys.erased_at(reference)?.ok_or(CustodyError::NotErased { reference })?;
            let epoch = unlocked.ring().epoch();
            durable::step("readmit.commit", || {
                vault.catalog().transaction(|transaction| {
                    if subjects::get(transaction, &reference)?.is_some() {
                        return Err(OpsError::Bug("an erased subject has a key"));
                    }
                    keys.readmit(transaction, reference, epoch)
                })
            })?;
            Ok(ReadmitReport {
                source: source.name.clone(),
                class: class.name,
                subject_reference: reference,
                erased_at: timestamp(erased_at),
                epoch,
            })
        })
        .await
}
