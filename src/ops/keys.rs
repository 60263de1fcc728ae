//! Rotation: new keys for what is sealed from now on, and new wrappings for everything else. Not a
//! pack is touched: data keys of people and backups stay, or what they seal would have to be sealed
//! anew.

use serde::Serialize;

use crate::audit::Action;
use crate::base::ids::Epoch;
use crate::base::random;
use crate::catalog::vault_keys::VaultKeyRow;
use crate::catalog::{erasures, sources, vault_keys};
use crate::crypto::labels;
use crate::keys::MasterSecret;
use crate::keys::master::{self, Credentials, Protection};
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::{CommonsKey, kinds, name};
use crate::vault::access::audited;
use crate::vault::custody::Membership;
use crate::vault::forget::{self, Change, NewMaster};
use crate::vault::handle::{Unlocked, Vault, Writing};
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

/// Replaces the master secret by a new one, for these recipients or this passphrase. Kits that were
/// printed before are void.
pub async fn rotate_master(
    vault: &Vault,
    credentials: &Credentials,
    protection: &Protection,
) -> Result<RotateReport, OpsError> {
    let lock = vault.lock_for_writing("keys rotate-master")?;
    audited(vault, Action::Rotate, "master", async |access| {
        let unlocked = vault.unlock(credentials, access.recorded()).await?;
        vault.check_store().await?;
        let secret = MasterSecret::generate(&mut random::system());
        let sealed = master::seal(&secret, vault.id(), protection)?;
        let change = Change { master: Some(NewMaster { secret, sealed }), ..Change::default() };
        run(vault, &unlocked, &lock, change).await
    })
    .await
}

/// Gives every shard a fresh key, wraps everything anew, and begins a new commons key: backups from
/// now on seal under it what is nobody's.
pub async fn rotate_keys(
    vault: &Vault,
    credentials: &Credentials,
) -> Result<RotateReport, OpsError> {
    let lock = vault.lock_for_writing("keys rotate")?;
    audited(vault, Action::Rotate, "shards", async |access| {
        let unlocked = vault.unlock(credentials, access.recorded()).await?;
        vault.check_store().await?;
        let change = Change { every_shard: true, ..Change::default() };
        run(vault, &unlocked, &lock, change).await
    })
    .await
}

/// Shares the epoch secret anew among these custodians.
pub async fn share_anew(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing<'_>,
    membership: Membership,
) -> Result<RotateReport, OpsError> {
    let change = Change { membership: Some(membership), ..Change::default() };
    run(vault, unlocked, lock, change).await
}

async fn run(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing<'_>,
    change: Change<'_>,
) -> Result<RotateReport, OpsError> {
    let forgotten = forget::forget(vault, unlocked, lock, &change, |transaction, ring, _| {
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
    transaction: &rusqlite::Transaction<'_>,
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
