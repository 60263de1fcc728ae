//! Shares that were destroyed and are there again: a snapshot of a machine was put back, a folder was
//! copied. Whoever holds an old copy of the catalog can then open what was erased since. So every
//! command that releases keys, and those that look at custody, compare what each custodian holds with
//! what it may hold.
//!
//! What is found is first put on record: the share as `returned`, its splitting as one that must go,
//! and the erasures that it undoes as provisional. From then on it is a share like any other that must
//! be destroyed, and the erasures are confirmed again when it is.

use std::thread;

use super::spans;
use crate::audit::{Action, Outcome};
use crate::base::durable;
use crate::base::ids::{Epoch, ShareSet};
use crate::catalog::custody::{self, SetState, ShareRow, ShareSetRow, ShareState};
use crate::catalog::erasures;
use crate::crypto::kdf::MacKey;
use crate::keys::KeyError;
use crate::keys::custodians::Custodian;
use crate::vault::handle::{Vault, Writing};
use crate::vault::{ErrorKind, OpsError};

/// A share that a custodian holds and should not.
struct Found {
    custodian: String,
    epoch: Epoch,
    what: What,
}

enum What {
    /// A share of a splitting that the catalog knows, by its number.
    Known(ShareSet, u8),
    /// A share that no splitting of the catalog has: perhaps that of another copy of this vault.
    Unknown,
}

/// Compares what the custodians hold with what they may hold, and records what came back. Nothing is
/// destroyed here. Says what is there that should not be, one sentence each.
///
/// A custodian that cannot be asked says nothing, and is asked by the next command.
pub fn notice(
    vault: &Vault,
    signer: Option<&MacKey>,
    writing: Option<&Writing>,
) -> Result<Vec<String>, OpsError> {
    let found = look(vault)?;
    let mut sentences = Vec::new();
    let mut known = Vec::new();
    for one in &found {
        match one.what {
            What::Known(set, index) => known.push((one, set, index)),
            What::Unknown => sentences.push(format!(
                "`{}` holds a share of epoch {} that this catalog knows nothing of: if another copy of \
                 this vault is in use, stop it; if not, destroy the share",
                one.custodian, one.epoch
            )),
        }
    }
    if known.is_empty() {
        return Ok(sentences);
    }
    let lock = match vault.writing_or_taken(writing, "recording a share that came back") {
        Ok(lock) => Some(lock),
        // The command that is writing met it too, or the next one does.
        Err(error) if error.kind() == ErrorKind::Busy => None,
        Err(error) => return Err(error),
    };
    let reopened = match lock {
        Some(_) => record(vault, signer, &known)?,
        None => Vec::new(),
    };
    let numbers = spans(&reopened).join(", ");
    for (one, _, _) in &known {
        let mut sentence = format!(
            "`{}` holds its share of epoch {} again, which it had destroyed: a snapshot or a copy was \
             put back",
            one.custodian, one.epoch
        );
        if !numbers.is_empty() {
            sentence.push_str(&format!(
                ". With it, an old copy of the catalog opens what was erased since: provisional again \
                 until it is destroyed: erasure {numbers}"
            ));
        }
        sentences.push(sentence);
    }
    Ok(sentences)
}

/// Says which shares that came back are still there, one sentence each.
pub fn left(vault: &Vault) -> Result<Vec<String>, OpsError> {
    let sets = custody::with_shares_to_destroy(vault.catalog().connection())?;
    let mut sentences = Vec::new();
    for set in &sets {
        let returned = set.shares.iter().filter(|share| share.state == ShareState::Returned);
        sentences.extend(returned.map(|share| {
            format!(
                "`{}` still holds the share of epoch {} that had come back: make it reachable and \
                 writable, and run `strongroom custody reconcile`",
                share.custodian, set.epoch
            )
        }));
    }
    Ok(sentences)
}

/// Records what came back, and says which erasures are provisional again.
fn record(
    vault: &Vault,
    signer: Option<&MacKey>,
    known: &[(&Found, ShareSet, u8)],
) -> Result<Vec<u64>, OpsError> {
    let now = vault.clock().now();
    let reopened = durable::step("custody.returned", || {
        vault.catalog().transaction(|transaction| {
            for (found, set, index) in known {
                let key = (found.epoch, *set);
                let rows = custody::all(transaction)?;
                let Some(row) = rows.iter().find(|row| (row.epoch, row.set) == key) else {
                    continue;
                };
                let state = ShareState::Returned;
                let custodian = found.custodian.clone();
                if row.shares.iter().any(|share| share.custodian == custodian) {
                    custody::set_share_state(transaction, key, &custodian, state, now)?;
                } else {
                    let share = ShareRow { custodian, index: *index, state, changed_at: now };
                    custody::insert_share(transaction, key, &share)?;
                }
            }
            for row in custody::in_state(transaction, SetState::Destroyed)? {
                if row.can_be_combined() {
                    let key = (row.epoch, row.set);
                    custody::set_state(transaction, key, SetState::Leaving, now)?;
                }
            }
            Ok::<_, OpsError>(match custody::oldest_leaving(transaction)? {
                Some(oldest) => erasures::reopen(transaction, oldest)?,
                None => Vec::new(),
            })
        })
    })?;
    for (found, _, _) in known {
        let mut detail = format!("share=returned epoch={}", found.epoch);
        if let [first, ..] = spans(&reopened).as_slice() {
            detail.push_str(&format!(" provisional={first}"));
        }
        vault.note_signed(
            signer,
            Action::Custody,
            &found.custodian,
            Outcome::Done,
            Some(&detail),
        )?;
    }
    Ok(reopened)
}

/// Puts on record that a share that had come back is destroyed again.
pub(super) fn note_destroyed(
    vault: &Vault,
    signer: &MacKey,
    custodian: &str,
    epoch: Epoch,
) -> Result<(), OpsError> {
    let detail = format!("share=destroyed-again epoch={epoch}");
    vault.note_signed(Some(signer), Action::Custody, custodian, Outcome::Done, Some(&detail))
}

fn look(vault: &Vault) -> Result<Vec<Found>, OpsError> {
    let (sets, present) = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        (custody::all(connection)?, crate::catalog::vault::read(connection)?.epoch)
    };
    let mut found = Vec::new();
    for (custodian, epochs) in held(vault) {
        for epoch in epochs {
            let of_epoch = || sets.iter().filter(move |set| set.epoch == epoch);
            let may_hold = of_epoch().any(|set| {
                let own = set.shares.iter().find(|share| share.custodian == custodian.name());
                own.is_some_and(|share| share.state != ShareState::Destroyed)
            });
            if may_hold {
                continue;
            }
            if let Some(what) = identify(vault, custodian, epoch, present, of_epoch()) {
                found.push(Found { custodian: custodian.name().to_owned(), epoch, what });
            }
        }
    }
    Ok(found)
}

/// The epochs that each custodian holds a share of, of those that can be asked. All are asked at once:
/// one that is away takes its time to say so.
fn held(vault: &Vault) -> Vec<(&dyn Custodian, Vec<Epoch>)> {
    let id = vault.id();
    thread::scope(|scope| {
        let asked: Vec<_> = vault
            .custodians()
            .map(|custodian| (custodian, scope.spawn(move || custodian.epochs(id))))
            .collect();
        let answered = asked.into_iter().filter_map(|(custodian, answer)| {
            let epochs = answer.join().ok()?.ok()?;
            Some((custodian, epochs))
        });
        answered.collect()
    })
}

/// What stands under an epoch of which a custodian should hold nothing.
fn identify<'a>(
    vault: &Vault,
    custodian: &dyn Custodian,
    epoch: Epoch,
    present: Epoch,
    mut of_epoch: impl Iterator<Item = &'a ShareSetRow>,
) -> Option<What> {
    match custodian.get(vault.id(), epoch) {
        Ok(share) => match of_epoch.find(|set| set.set == share.set) {
            // A copy of what is in use: of no use to anybody who does not have the rest.
            Some(set) if matches!(set.state, SetState::Present | SetState::Installing) => None,
            Some(_) => Some(What::Known(share.set, share.index)),
            // One of a later epoch says that the catalog is old, which is found elsewhere.
            None => (epoch <= present).then_some(What::Unknown),
        },
        // Nobody can say any more which one it was: it must go with those that it may be.
        Err(KeyError::Damaged { .. }) if epoch < present => {
            let own = of_epoch.find_map(|set| {
                let own = set.shares.iter().find(|share| share.custodian == custodian.name())?;
                Some(What::Known(set.set, own.index))
            });
            own.or(Some(What::Unknown))
        }
        Err(_) => None,
    }
}
