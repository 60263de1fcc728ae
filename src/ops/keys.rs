//! Rotation: new keys for what is sealed from now on, and new wrappings for everything else. Not a
//! pack is touched: data keys of people and backups stay, or what they seal would have to be sealed
//! anew.

use crate::audit::Action;
use crate::base::random;
use crate::keys::MasterSecret;
use crate::keys::master::{self, Credentials, Protection};
use crate::vault::OpsError;
use crate::vault::access::access;
use crate::vault::forget::rotation::{RotateReport, rotate};
use crate::vault::forget::{Change, NewMaster};
use crate::vault::handle::Vault;

/// Replaces the master secret by a new one, for these recipients or this passphrase. Kits that were
/// printed before are void.
pub async fn rotate_master(
    vault: &Vault,
    credentials: &Credentials,
    protection: &Protection,
) -> Result<RotateReport, OpsError> {
    let lock = vault.lock_for_writing("keys rotate-master")?;
    access(vault, Action::Rotate, "master")
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let secret = MasterSecret::generate(&mut random::system());
            let sealed = master::seal(&secret, vault.id(), protection)?;
            let change = Change { master: Some(NewMaster { secret, sealed }), ..Change::default() };
            rotate(vault, &unlocked, &lock, change).await
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
    access(vault, Action::Rotate, "shards")
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let change = Change { every_shard: true, ..Change::default() };
            rotate(vault, &unlocked, &lock, change).await
        })
        .await
}
