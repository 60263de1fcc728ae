//! The next epoch, where no key of a person or a backup goes with the old one.

use serde::Serialize;

use super::{Change, forget};
use crate::base::ids::Epoch;
use crate::base::random;
use crate::catalog::Transaction;
use crate::catalog::vault_keys::VaultKeyRow;
use crate::catalog::{erasures, sources, vault_keys};
use crate::crypto::labels;
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::{CommonsKey, kinds, name};
use crate::vault::custody::Membership;
use crate::vault::handle::{Vault, Writing};
use crate::vault::keys::Unlocked;
use crate::vault::{OpsError, replica};

/// What a rotation did.
#[derive(Debug, Clone, Serialize)]
pub struct RotateReport {
    /// `provisional` or `confirmed`.
    pub state: &'static str,
    /// The epoch that it began.
    pub epoch_after: Epoch,
    /// Why it is provisional, one sentence each.
    pub waiting: Vec<String>,
}

/// Shares the epoch secret anew among these custodians.
pub async fn share_anew(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing,
    membership: Membership,
) -> Result<RotateReport, OpsError> {
    let change = Change { membership: Some(membership), ..Change::default() };
    rotate(vault, unlocked, lock, change).await
}

/// Begins the next epoch with that change.
pub async fn rotate(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing,
    change: Change<'_>,
) -> Result<RotateReport, OpsError> {
    let forgotten = forget(vault, unlocked, lock, &change, |transaction, ring, _| {
        if change.every_shard { new_commons(transaction, vault, unlocked, ring) } else { Ok(()) }
    })
    .await?;
    replica::clear_superseded(vault, lock).await;
    Ok(RotateReport {
        state: if forgotten.waiting.is_empty() { "confirmed" } else { "provisional" },
        epoch_after: forgotten.epoch,
        waiting: forgotten.waiting,
    })
}

/// Adds the next commons key, and seals under it the short texts that the catalog holds.
fn new_commons(
    transaction: &Transaction<'_>,
    vault: &Vault,
    unlocked: &Unlocked,
    ring: &KeyRing,
) -> Result<(), OpsError> {
    let random = &mut random::system();
    let commons = CommonsKey::generate(random);
    let kind = kinds::next_commons(&unlocked.commons_kind);
    let (key_name, shard_id) = name(&kind);
    let wrapped_key = ring.wrap(&key_name, shard_id, commons.expose(), random)?;
    vault_keys::insert(transaction, &VaultKeyRow { kind, shard_id, wrapped_key })?;
    for source in sources::all(transaction)? {
        if let sources::SourceUrl::Sealed(sealed) = &source.url {
            let (label, id) = (labels::SOURCE_URL, &source.source_id.0);
            let url = unlocked.commons.open_note(vault.id(), label, id, sealed)?;
            let sealed = commons.seal_note(vault.id(), label, id, url.expose(), random);
            sources::set_url(transaction, source.source_id, &sources::SourceUrl::Sealed(sealed))?;
        }
    }
    for (erasure_id, sealed) in erasures::reasons(transaction)? {
        // The first sixteen bytes are the random id in the context.
        let Some((id, note)) = sealed.split_at_checked(16) else { continue };
        let label = labels::ERASURE_REASON;
        let reason = unlocked.commons.open_note(vault.id(), label, id, note)?;
        let note = commons.seal_note(vault.id(), label, id, reason.expose(), random);
        erasures::set_reason(transaction, erasure_id, &[id, &note].concat())?;
    }
    Ok(())
}
