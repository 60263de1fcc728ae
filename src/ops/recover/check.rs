//! What a recovered catalog must hold before it gets its name.

use super::choose::Chosen;
use crate::audit::{self, Verdict};
use crate::base::ids::VaultId;
use crate::catalog::{Catalog, shards, vault, vault_keys};
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::{audit_head_key, kinds, name};
use crate::keys::{EpochSecret, MasterSecret};
use crate::vault::OpsError;
use crate::vault::replica::ReplicaError;

/// The catalog must be the vault's and of the head's epoch, and every shard and the canary must open.
pub fn keys(
    catalog: &Catalog,
    chosen: &Chosen,
    vault_id: VaultId,
    master: &MasterSecret,
    secret: &EpochSecret,
) -> Result<KeyRing, OpsError> {
    let sequence = chosen.sequence;
    let damaged = |finding: &str| ReplicaError::Damaged { sequence, finding: finding.to_owned() };
    let connection = catalog.connection();
    let row = vault::read(connection)?;
    if row.vault_id != vault_id || row.epoch != chosen.epoch {
        return Err(damaged("it holds the catalog of another vault or epoch").into());
    }
    let shards = shards::all(connection)?;
    let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
    let ring = KeyRing::open(vault_id, chosen.epoch, master, secret, wrapped)?;
    let canary =
        vault_keys::get(connection, kinds::CANARY)?.ok_or_else(|| damaged("it has no canary"))?;
    ring.unwrap(&name(kinds::CANARY).0, canary.shard_id, &canary.wrapped_key)?;
    Ok(ring)
}

/// What is wrong with the audit log, if anything is.
pub fn audit_log(
    catalog: &Catalog,
    vault: VaultId,
    master: &MasterSecret,
) -> Result<Option<String>, OpsError> {
    let connection = catalog.connection();
    let key = audit_head_key(master, vault);
    if let broken @ Verdict::Broken(_) = audit::verify(connection, &[])? {
        return Ok(Some(broken.to_string()));
    }
    let holds = audit::head_holds(connection, |message, mac| key.verify_message(message, mac))?;
    Ok((!holds).then(|| "the head is not the vault's own".to_owned()))
}
