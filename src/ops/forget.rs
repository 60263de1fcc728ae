//! Forgetting: the one operation by which keys are destroyed, for an erasure and for an expiry.
//!
//! Each step is durable before the next, and named for the crash tests:
//!
//! | step | what is done | after a crash behind it |
//! |---|---|---|
//! | `forget.begin` | the catalog notes that epoch e is to be followed by e+1 | undone |
//! | `forget.install` | the custodian holds the secret of e+1 too | undone |
//! | `forget.commit` | one transaction: keys gone, survivors and shards re-wrapped, epoch e+1 | finished |
//! | `forget.truncate` | SQLite's write-ahead file is empty | finished |
//! | `forget.destroy` | the secret of e is destroyed: the point of no return | finished |
//! | `forget.finish` | the catalog notes that the forgetting is over | nothing is left to do |
//!
//! Before the commit, and again before the destruction, the new epoch's secret is read back from
//! the custodian and must open a canary through the new root key: the old secret is destroyed only
//! when everything that stays is proven to hang on the new one. [`recover`] is the same code from
//! the step that is due.

use std::collections::BTreeSet;

use rusqlite::Transaction;

use super::vault::{Unlocked, Vault, Writing};
use super::{ErrorKind, OpsError};
use crate::audit::{Action, Outcome};
use crate::catalog::forgetting::{self, Forgetting, ForgettingKind};
use crate::catalog::{backups, erasures, shards, subjects, vault_keys};
use crate::durable;
use crate::ids::{Epoch, ShardId, SubjectReference, VaultId};
use crate::keys::rekey::{KeyWrapping, Rekeyed, rekey};
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::share::ShareSet;
use crate::keys::vault_keys::{kinds, name};
use crate::keys::{EpochSecret, KeyError, MasterSecret, quorum};
use crate::random;

const STEP_BEGUN: &str = "begun";
const STEP_COMMITTED: &str = "committed";

/// Forgets subjects: destroys their keys in every copy of the catalog there ever was.
///
/// `record` runs inside the transaction that takes the keys away, for what must be written together
/// with it. Holding the writer's lock is the caller's part.
pub fn subjects(
    vault: &Vault,
    unlocked: &Unlocked,
    _lock: &Writing<'_>,
    references: &[SubjectReference],
    record: impl FnOnce(&Transaction<'_>, &KeyRing, Epoch) -> Result<(), OpsError>,
) -> Result<Epoch, OpsError> {
    let random = &mut random::system();
    let epoch = unlocked.ring().epoch();
    let begun_at = vault.clock().now();

    durable::step("forget.begin", || {
        vault.catalog().transaction(|transaction| {
            Ok::<_, OpsError>(forgetting::begin(
                transaction,
                &Forgetting {
                    kind: ForgettingKind::Erasure,
                    epoch_from: epoch,
                    epoch_to: epoch.next(),
                    begun_at,
                    step: STEP_BEGUN.to_owned(),
                },
            )?)
        })
    })?;
    let next_secret = EpochSecret::generate(random);
    durable::step("forget.install", || {
        let set = ShareSet(random::bytes(random));
        quorum::split(&next_secret, vault.id(), epoch.next(), set, 1, 1, random)?
            .iter()
            .try_for_each(|share| vault.custodian().put(share))
    })?;
    drop(next_secret);
    let next_secret = quorum::combine(&[vault.custodian().get(vault.id(), epoch.next())?])?;

    let ring = durable::step("forget.commit", || {
        vault.catalog().transaction(|transaction| {
            let rekeyed = prepare(transaction, unlocked, &next_secret, references)?;
            subjects::delete(transaction, references)?;
            store_rekeyed(transaction, &rekeyed)?;
            crate::catalog::vault::advance_epoch(transaction, epoch)?;
            forgetting::set_step(transaction, STEP_COMMITTED)?;
            record(transaction, &rekeyed.ring, epoch.next())?;
            check_canary(transaction, vault.id(), epoch.next(), &unlocked.master, &next_secret)?;
            Ok::<_, OpsError>(rekeyed.ring)
        })
    })?;
    *unlocked.ring_mut() = ring;
    finish(vault, &unlocked.master, epoch, epoch.next())?;
    Ok(epoch.next())
}

/// Finishes or undoes what a crash interrupted. Does nothing where there is nothing to do, or while
/// another process is at it.
pub fn recover(vault: &Vault, master: &MasterSecret) -> Result<(), OpsError> {
    if forgetting::current(vault.catalog().connection())?.is_none() {
        return Ok(());
    }
    // A command that writes holds the lock already; any other must get it first.
    let _lock = if vault.is_writing() {
        None
    } else {
        match vault.lock_for_writing("recovery of a forgetting") {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::Busy => return Ok(()),
            Err(error) => return Err(error),
        }
    };
    let (interrupted, epoch) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (forgetting::current(connection)?, crate::catalog::vault::read(connection)?.epoch)
    };
    if interrupted.is_some() {
        vault.note(Action::Recover, "vault", Outcome::Begun, None)?;
    }
    match interrupted {
        Some(interrupted) if epoch == interrupted.epoch_from => undo(vault, interrupted.epoch_to),
        Some(interrupted) => finish(vault, master, interrupted.epoch_from, interrupted.epoch_to),
        None => Ok(()),
    }
}

/// Before the commit: the old epoch stands, the new secret goes.
fn undo(vault: &Vault, to: Epoch) -> Result<(), OpsError> {
    durable::step("forget.undo", || vault.custodian().destroy(vault.id(), to))?;
    vault.catalog().transaction(|transaction| Ok(forgetting::finish(transaction)?))
}

/// After the commit: the new epoch stands, the old secret goes.
fn finish(vault: &Vault, master: &MasterSecret, from: Epoch, to: Epoch) -> Result<(), OpsError> {
    durable::step("forget.truncate", || vault.catalog().checkpoint_truncate())?;
    let secret = quorum::combine(&[vault.custodian().get(vault.id(), to)?])?;
    check_canary(vault.catalog().connection(), vault.id(), to, master, &secret)?;
    durable::step("forget.destroy", || vault.custodian().destroy(vault.id(), from))?;
    let now = vault.clock().now();
    durable::step("forget.finish", || {
        vault.catalog().transaction(|transaction| {
            erasures::confirm(transaction, to, now)?;
            Ok::<_, OpsError>(forgetting::finish(transaction)?)
        })
    })
}

/// Computes the next epoch from what the catalog holds in this transaction.
fn prepare(
    transaction: &Transaction<'_>,
    unlocked: &Unlocked,
    next_secret: &EpochSecret,
    references: &[SubjectReference],
) -> Result<Rekeyed, OpsError> {
    let mut concerned = BTreeSet::new();
    for reference in references {
        concerned.extend(subjects::get(transaction, reference)?.map(|row| row.shard_id));
    }
    let mut survivors = Vec::new();
    for shard in &concerned {
        survivors.extend(
            keys_of_shard(transaction, *shard)?.into_iter().filter(
                |key| !matches!(&key.name, KeyName::Subject(one) if references.contains(one)),
            ),
        );
    }
    let ring = unlocked.ring();
    let rekeyed =
        rekey(&ring, &unlocked.master, next_secret, &concerned, survivors, &mut random::system())?;
    Ok(rekeyed)
}

/// Everything that hangs on a shard.
fn keys_of_shard(
    transaction: &Transaction<'_>,
    shard: ShardId,
) -> Result<Vec<KeyWrapping>, OpsError> {
    let subjects = subjects::by_shard(transaction, shard)?.into_iter().map(|row| KeyWrapping {
        name: KeyName::Subject(row.reference),
        shard,
        wrapped: row.wrapped_key,
    });
    let backups = backups::by_shard(transaction, shard)?.into_iter().map(|row| KeyWrapping {
        name: KeyName::Backup(row.backup_id),
        shard,
        wrapped: row.wrapped_key,
    });
    let vault_keys = vault_keys::by_shard(transaction, shard)?.into_iter().map(|row| KeyWrapping {
        name: KeyName::Vault(row.kind),
        shard,
        wrapped: row.wrapped_key,
    });
    Ok(subjects.chain(backups).chain(vault_keys).collect())
}

fn store_rekeyed(transaction: &Transaction<'_>, rekeyed: &Rekeyed) -> Result<(), OpsError> {
    shards::update_wrapped_many(transaction, &rekeyed.shards)?;
    let (mut of_subjects, mut of_backups, mut of_vault) = (Vec::new(), Vec::new(), Vec::new());
    for KeyWrapping { name, wrapped, .. } in &rekeyed.survivors {
        match name {
            KeyName::Subject(reference) => of_subjects.push((*reference, wrapped.clone())),
            KeyName::Backup(id) => of_backups.push((id.clone(), wrapped.clone())),
            KeyName::Vault(kind) => of_vault.push((kind.clone(), wrapped.clone())),
        }
    }
    subjects::update_wrapped(transaction, &of_subjects)?;
    backups::update_wrapped(transaction, &of_backups)?;
    vault_keys::update_wrapped(transaction, &of_vault)?;
    Ok(())
}

/// Opens every shard and the canary from what the catalog now says, with a secret that came back
/// from the custodian.
fn check_canary(
    connection: &rusqlite::Connection,
    vault: VaultId,
    epoch: Epoch,
    master: &MasterSecret,
    secret: &EpochSecret,
) -> Result<(), OpsError> {
    let shards = shards::all(connection)?;
    let canary = vault_keys::get(connection, kinds::CANARY)?;
    let failed = || OpsError::Canary { epoch };
    let open = || -> Result<(), KeyError> {
        let wrapped = shards.iter().map(|shard| (shard.shard_id, shard.wrapped_key.as_slice()));
        let ring = KeyRing::open(vault, epoch, master, secret, wrapped)?;
        let canary = canary.as_ref().ok_or(KeyError::NoShard { shard: ShardId::VAULT })?;
        ring.unwrap(&name(kinds::CANARY).0, canary.shard_id, &canary.wrapped_key)?;
        Ok(())
    };
    open().map_err(|_| failed())
}
