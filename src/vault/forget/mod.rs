//! Forgetting: the one operation by which keys are destroyed, for an erasure, an expiry and a
//! rotation alike.
//!
//! Each step is durable before the next, and named for the crash and fault tests:
//!
//! | step | what is done | after a crash behind it |
//! |---|---|---|
//! | `forget.begin` | the catalog notes that epoch e is to be followed by e+1, and who is asked to hold its shares | undone |
//! | `forget.master` | only where M is replaced: its new file lies beside the old one | undone |
//! | `forget.install` | a custodian holds its share of e+1 too (once a custodian) | undone |
//! | `forget.commit` | one transaction: keys gone, survivors and shards re-wrapped, epoch e+1 | finished |
//! | `forget.truncate` | SQLite's write-ahead file is empty | finished |
//! | `forget.replace-master` | only where M is replaced: the new file has taken the old one's place | finished |
//! | `replica.*` | every store has the catalog of epoch e+1 | finished |
//! | `forget.destroy` | a custodian's share of e is destroyed (once a custodian); with the one that leaves too few: the point of no return | finished |
//! | `forget.confirm` | the catalog notes that too few shares of e are left | finished |
//! | `forget.finish` | the catalog notes that the forgetting is over | nothing is left to do |
//!
//! Before the commit, and again before the destruction, the new epoch's secret is read back from the
//! custodians and must open every shard and a canary through the new root key: shares of the old
//! secret are destroyed only when everything that stays is proven to hang on the new one. [`recover`]
//! is the same code from the step that is due.
//!
//! Where the store or custodians cannot be reached after the commit, the forgetting stays
//! *provisional*: whatever had to be done first is done first by the next command.

use std::collections::BTreeSet;

use super::custody::{self, Membership, Waiting};
use super::handle::{Vault, Writing};
use super::keys::Unlocked;
use super::{ErrorKind, OpsError, replica};
use crate::audit::{Action, Outcome};
use crate::base::ids::{BackupId, Digest, Epoch, ShardId, ShareSet, SubjectReference, VaultId};
use crate::base::{durable, random};
use crate::catalog::custody::{self as custody_rows, SetState, ShareRow, ShareSetRow, ShareState};
use crate::catalog::forgetting::{self, Forgetting, ForgettingKind};
use crate::catalog::{Connection, Transaction};
use crate::catalog::{backups, shards, subjects, tombstones, vault_keys};
use crate::keys::rekey::{KeyWrapping, next_ring, rewrap};
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::vault_keys::{kinds, name};
use crate::keys::{EpochSecret, KeyError, MasterSecret};

mod master;
pub mod rotation;

pub use master::{NewMaster, take_its_place};

const STEP_BEGUN: &str = "begun";
const STEP_COMMITTED: &str = "committed";

/// What is to be forgotten, and what else changes with the epoch.
#[derive(Default)]
pub struct Change<'a> {
    /// Subjects whose keys go.
    pub subjects: &'a [SubjectReference],
    /// Backups whose keys go, with their rows.
    pub backups: &'a [BackupId],
    /// Tombstones that go: whoever they are of can come back. With the last of a quarter, its key goes.
    pub tombstones: &'a [Digest],
    /// Whether every shard gets a fresh key, and not only those that lose one.
    pub every_shard: bool,
    /// Who holds the next epoch's secret, where that changes.
    pub membership: Option<Membership>,
    /// The master secret that takes the place of the present one.
    pub master: Option<NewMaster>,
}

impl Change<'_> {
    fn kind(&self) -> ForgettingKind {
        match (self.subjects, self.backups) {
            ([], []) => ForgettingKind::Rotation,
            ([], _) => ForgettingKind::Expiry,
            _ => ForgettingKind::Erasure,
        }
    }
}

/// How a forgetting ended.
#[derive(Debug, Clone)]
pub struct Forgotten {
    /// The epoch that it began.
    pub epoch: Epoch,
    /// Why it is provisional, one sentence each; empty when it is final.
    pub waiting: Vec<String>,
}

/// Forgets: the keys of [`Change`] are destroyed in every copy of the catalog there ever was.
///
/// `record` runs inside the transaction that takes the keys away, for what must be written together
/// with it.
pub async fn forget(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing,
    change: &Change<'_>,
    record: impl FnOnce(&Transaction<'_>, &KeyRing, Epoch) -> Result<(), OpsError>,
) -> Result<Forgotten, OpsError> {
    let from = unlocked.ring().epoch();
    let to = from.next();
    let set = begin(vault, change, from)?;
    let committed = (|| {
        if let Some(master) = &change.master {
            master.lay_out(vault)?;
        }
        let secret = EpochSecret::generate(&mut random::system());
        custody::install(vault, &set, &secret)?;
        drop(secret);
        let secret = custody::read_secret(vault, &set)?;
        commit(vault, unlocked, change, &set, &secret, record)
    })();
    let ring = match committed {
        Ok(ring) => ring,
        Err(error) => {
            // The commit may have happened all the same, where it reported a failure. Then the next
            // command finishes what this one began.
            if crate::catalog::vault::read(vault.catalog().connection())?.epoch == from {
                undo(vault, unlocked, lock)?;
            }
            return Err(error);
        }
    };
    *unlocked.ring_mut() = ring;
    if let Some(master) = &change.master {
        unlocked.replace_master(&master.secret);
    }
    let waiting = finish(vault, unlocked, lock, Some(to)).await?;
    Ok(Forgotten { epoch: to, waiting })
}

/// Finishes or undoes what a crash interrupted, and destroys shares that could not be reached
/// before. Does nothing where there is nothing to do, or while another process is at it.
pub async fn recover(
    vault: &Vault,
    unlocked: &Unlocked,
    writing: Option<&Writing>,
) -> Result<Vec<String>, OpsError> {
    if !is_unfinished(vault)? {
        return Ok(Vec::new());
    }
    // A command that writes has the right already; any other must get it first.
    let lock = match vault.writing_or_taken(writing, "recovery of a forgetting") {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::Busy => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Another process may have finished it between the two looks.
    if !is_unfinished(vault)? {
        return Ok(Vec::new());
    }
    let (interrupted, epoch) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (forgetting::current(connection)?, crate::catalog::vault::read(connection)?.epoch)
    };
    let signer = &unlocked.audit_head();
    let Some(interrupted) = interrupted else {
        let waiting = custody::destroy_leaving(vault, &lock, signer, None)?;
        return Ok(waiting.into_iter().map(sentence).collect());
    };
    vault.note_signed(Some(signer), Action::Recover, "vault", Outcome::Begun, None)?;
    let ended = if epoch == interrupted.epoch_from {
        undo(vault, unlocked, &lock).map(|()| Vec::new())
    } else {
        finish(vault, unlocked, &lock, None).await
    };
    let (outcome, detail) = match &ended {
        Ok(_) if epoch == interrupted.epoch_from => (Outcome::Done, "state=undone".to_owned()),
        Ok(waiting) if waiting.is_empty() => (Outcome::Done, "state=confirmed".to_owned()),
        Ok(_) => (Outcome::Done, "state=provisional".to_owned()),
        Err(error) => (Outcome::Failed, format!("error={}", error.kind().name())),
    };
    let noted = vault.note_signed(Some(signer), Action::Recover, "vault", outcome, Some(&detail));
    let waiting = ended?;
    noted?;
    Ok(waiting)
}

/// Whether a forgetting is to be finished or undone, or a share to be destroyed.
fn is_unfinished(vault: &Vault) -> Result<bool, OpsError> {
    let catalog = vault.catalog();
    let connection = catalog.connection();
    Ok(forgetting::current(connection)?.is_some()
        || !custody_rows::with_shares_to_destroy(connection)?.is_empty())
}

/// Notes what is about to happen: from here on a crash is recognised.
fn begin(vault: &Vault, change: &Change<'_>, from: Epoch) -> Result<ShareSetRow, OpsError> {
    let now = vault.clock().now();
    let set = {
        let present = custody_rows::present(vault.catalog().connection())?;
        let members = change.membership.clone().unwrap_or_else(|| Membership::of(&present));
        let share = |(index, custodian)| ShareRow {
            custodian,
            index,
            state: ShareState::Asked,
            changed_at: now,
        };
        ShareSetRow {
            epoch: from.next(),
            set: ShareSet(random::bytes(&mut random::system())),
            threshold: members.threshold,
            state: SetState::Installing,
            changed_at: now,
            shares: (1..).zip(members.custodians).map(share).collect(),
        }
    };
    durable::step("forget.begin", || {
        vault.catalog().transaction(|transaction| {
            forgetting::begin(
                transaction,
                &Forgetting {
                    kind: change.kind(),
                    epoch_from: from,
                    epoch_to: from.next(),
                    begun_at: now,
                    step: STEP_BEGUN.to_owned(),
                    master_sha256: change.master.as_ref().map(NewMaster::digest),
                },
            )?;
            Ok::<_, OpsError>(custody_rows::insert(transaction, &set)?)
        })
    })?;
    Ok(set)
}

/// The one transaction of a forgetting.
fn commit(
    vault: &Vault,
    unlocked: &Unlocked,
    change: &Change<'_>,
    set: &ShareSetRow,
    secret: &EpochSecret,
    record: impl FnOnce(&Transaction<'_>, &KeyRing, Epoch) -> Result<(), OpsError>,
) -> Result<KeyRing, OpsError> {
    let now = vault.clock().now();
    let ring = unlocked.ring();
    let present_master = unlocked.master();
    let master = change.master.as_ref().map_or(&*present_master, |new| &new.secret);
    durable::step("forget.commit", || {
        vault.catalog().transaction_in_memory(|transaction| {
            let concerned = concerned(transaction, &ring, change)?;
            subjects::delete(transaction, change.subjects)?;
            for backup in change.backups {
                backups::delete(transaction, backup)?;
            }
            let random = &mut random::system();
            let (next, wrapped) = next_ring(&ring, master, secret, &concerned, random)?;
            for shard in &concerned {
                let survivors = keys_of_shard(transaction, *shard)?;
                store_rewrapped(transaction, &ring, &next, survivors)?;
            }
            shards::update_wrapped_many(transaction, &wrapped)?;
            crate::catalog::vault::advance_epoch(transaction, ring.epoch())?;
            let present = custody_rows::present(transaction)?;
            let leaving = (present.epoch, present.set);
            custody_rows::set_state(transaction, leaving, SetState::Leaving, now)?;
            custody_rows::set_state(transaction, (set.epoch, set.set), SetState::Present, now)?;
            forgetting::set_step(transaction, STEP_COMMITTED)?;
            record(transaction, &next, next.epoch())?;
            if let Some(master) = &change.master {
                master.move_audit_head(transaction, vault.id(), &unlocked.audit_head())?;
            }
            check_canary(transaction, vault.id(), next.epoch(), master, secret)?;
            Ok::<_, OpsError>(next)
        })
    })
}

/// Before the commit: the old epoch stands, the new secret goes. Keys may have been wrapped under it
/// all the same: a transaction that is not completed can leave pages in SQLite's write-ahead file. So
/// while a custodian that cannot be reached leaves enough of its shares, later erasures are provisional.
fn undo(vault: &Vault, unlocked: &Unlocked, lock: &Writing) -> Result<(), OpsError> {
    let now = vault.clock().now();
    master::clear_away(vault)?;
    durable::step("forget.undo", || {
        vault.catalog().transaction(|transaction| {
            for set in custody_rows::in_state(transaction, SetState::Installing)? {
                let key = (set.epoch, set.set);
                custody_rows::set_state(transaction, key, SetState::Undone, now)?;
            }
            forgetting::finish(transaction)?;
            Ok::<_, OpsError>(())
        })
    })?;
    custody::destroy_leaving(vault, lock, &unlocked.audit_head(), None)?;
    Ok(())
}

/// After the commit: the new epoch stands, the old secret goes. Says why the forgetting is still
/// provisional, if it is.
async fn finish(
    vault: &Vault,
    unlocked: &Unlocked,
    lock: &Writing,
    reported: Option<Epoch>,
) -> Result<Vec<String>, OpsError> {
    durable::step("forget.truncate", || vault.catalog().checkpoint_truncate())?;
    take_its_place(vault)?;
    // From here on what cannot be reached makes the forgetting provisional, and nothing is lost.
    let keys = unlocked.ring().replica_keys();
    if let Err(error) = replica::sync(vault, &keys, lock).await {
        return Ok(vec![format!("the store has no catalog of the new epoch yet: {error}")]);
    }
    let behind = replica::behind(vault)?;
    if !behind.is_empty() {
        return Ok(behind);
    }
    let (epoch, present) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (crate::catalog::vault::read(connection)?.epoch, custody_rows::present(connection)?)
    };
    let secret = custody::read_secret(vault, &present)?;
    check_canary(vault.catalog().connection(), vault.id(), epoch, &unlocked.master(), &secret)?;
    drop(secret);
    let waiting = custody::destroy_leaving(vault, lock, &unlocked.audit_head(), reported)?;
    durable::step("forget.finish", || {
        vault
            .catalog()
            .transaction(|transaction| Ok::<_, OpsError>(forgetting::finish(transaction)?))
    })?;
    // A share that is left is a reason to wait only while it can still matter.
    let is_final = custody_rows::oldest_leaving(vault.catalog().connection())?.is_none();
    Ok(if is_final { Vec::new() } else { waiting.into_iter().map(sentence).collect() })
}

fn sentence(waiting: Waiting) -> String {
    let Waiting { custodian, epoch, reason } = waiting;
    format!(
        "the custodian `{custodian}` may still hold the old secret (number {epoch}), for {reason}"
    )
}

/// The shards that get fresh keys.
fn concerned(
    transaction: &Transaction<'_>,
    ring: &KeyRing,
    change: &Change<'_>,
) -> Result<BTreeSet<ShardId>, OpsError> {
    if change.every_shard {
        return Ok(ring.shards().collect());
    }
    let mut concerned = BTreeSet::new();
    for reference in change.subjects {
        concerned.extend(subjects::get(transaction, reference)?.map(|row| row.shard_id));
    }
    for backup in change.backups {
        concerned.extend(backups::get(transaction, backup)?.map(|row| row.shard_id));
    }
    let tombstones = forget_tombstones(transaction, change)?;
    let commons = !change.backups.is_empty() && forget_commons(transaction, change)?;
    if tombstones || commons {
        concerned.insert(ShardId::VAULT);
    }
    Ok(concerned)
}

/// Takes tombstones away, and the keys of quarters that have none left. Says whether a key went.
fn forget_tombstones(transaction: &Transaction<'_>, change: &Change<'_>) -> Result<bool, OpsError> {
    if change.tombstones.is_empty() {
        return Ok(false);
    }
    let before = tombstones::quarters(transaction)?;
    for mac in change.tombstones {
        tombstones::delete(transaction, mac)?;
    }
    let left = tombstones::quarters(transaction)?;
    let mut any = false;
    for quarter in before.iter().filter(|quarter| !left.contains(quarter)) {
        let kind = format!("{}{quarter}", kinds::TOMBSTONE_PREFIX);
        if vault_keys::get(transaction, &kind)?.is_some() {
            vault_keys::delete(transaction, &kind)?;
            any = true;
        }
    }
    Ok(any)
}

/// Takes away commons keys of earlier rotations that seal nothing of a backup that is left. Says
/// whether there were any.
fn forget_commons(transaction: &Transaction<'_>, change: &Change<'_>) -> Result<bool, OpsError> {
    let used: BTreeSet<String> = backups::list(transaction, &backups::BackupFilter::default())?
        .into_iter()
        .filter(|row| !change.backups.contains(&row.backup_id))
        .map(|row| row.commons_kind)
        .collect();
    let all = vault_keys::all(transaction)?;
    let newest = kinds::newest_commons(all.iter().map(|row| row.kind.as_str()));
    let mut any = false;
    for row in all.iter().filter(|row| row.kind.starts_with(kinds::COMMONS)) {
        if row.kind != newest && !used.contains(&row.kind) {
            vault_keys::delete(transaction, &row.kind)?;
            any = true;
        }
    }
    Ok(any)
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

/// Wraps the survivors of one shard anew. One shard at a time: memory stays bounded.
fn store_rewrapped(
    transaction: &Transaction<'_>,
    ring: &KeyRing,
    next: &KeyRing,
    survivors: Vec<KeyWrapping>,
) -> Result<(), OpsError> {
    let (mut of_subjects, mut of_backups, mut of_vault) = (Vec::new(), Vec::new(), Vec::new());
    for key in survivors {
        let wrapped = rewrap(ring, next, &key, &mut random::system())?;
        match key.name {
            KeyName::Subject(reference) => of_subjects.push((reference, wrapped)),
            KeyName::Backup(id) => of_backups.push((id, wrapped)),
            KeyName::Vault(kind) => of_vault.push((kind, wrapped)),
        }
    }
    subjects::update_wrapped(transaction, &of_subjects)?;
    backups::update_wrapped(transaction, &of_backups)?;
    vault_keys::update_wrapped(transaction, &of_vault)?;
    Ok(())
}

/// Opens every shard and the canary from what the catalog now says, with a secret that came back
/// from the custodians.
fn check_canary(
    connection: &Connection,
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
