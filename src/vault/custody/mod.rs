//! Custody: the epoch secrets at their custodians. Which custodian has which share is the catalog's
//! to know; the shares themselves are read here, put together, given out and destroyed.

use std::collections::{BTreeMap, BTreeSet};

use super::handle::{Vault, Writing};
use super::{CustodyError, OpsError};
use crate::audit::{Action, Outcome};
use crate::base::ids::{Epoch, VaultId};
use crate::base::{durable, random};
use crate::catalog::custody::{self, SetState, ShareRow, ShareSetRow, ShareState};
use crate::catalog::erasures;
use crate::crypto::kdf::MacKey;
use crate::keys::custodians::share::{Share, ShareSet};
use crate::keys::custodians::{Custodian, quorum};
use crate::keys::{EpochSecret, KeyError};

pub mod returned;

/// Who is to hold the shares of an epoch secret, and how many of them make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The custodians' names, each once.
    pub custodians: Vec<String>,
    /// How many shares make the secret.
    pub threshold: u8,
}

impl Membership {
    /// The members of a splitting.
    #[must_use]
    pub fn of(set: &ShareSetRow) -> Self {
        let custodians = set.shares.iter().map(|share| share.custodian.clone()).collect();
        Self { custodians, threshold: set.threshold }
    }
}

/// A share that must go and that nobody could destroy yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// The custodian.
    pub custodian: String,
    /// The epoch of the share.
    pub epoch: Epoch,
    /// Why it could not be destroyed, as one sentence.
    pub reason: String,
}

/// Puts the secret of a splitting together from as many custodians as it needs.
pub fn read_secret(vault: &Vault, set: &ShareSetRow) -> Result<EpochSecret, OpsError> {
    let mut shares: Vec<Share> = Vec::new();
    let mut failures: Vec<KeyError> = Vec::new();
    let rows = set.shares.iter().filter(|share| share.state != ShareState::Destroyed);
    for row in rows {
        if shares.len() == usize::from(set.threshold) {
            break;
        }
        match read_share(vault, set, row) {
            Ok(share) => shares.push(share),
            Err(error) => failures.push(error),
        }
    }
    if shares.len() == usize::from(set.threshold) {
        return Ok(quorum::combine(&shares)?);
    }
    match (failures.pop(), set.shares.len()) {
        (Some(only), 1) => Err(only.into()),
        (last, _) => Err(CustodyError::TooFew {
            epoch: set.epoch,
            needed: set.threshold,
            answered: shares.len(),
            reasons: failures.iter().chain(&last).map(ToString::to_string).collect(),
        }
        .into()),
    }
}

fn read_share(vault: &Vault, set: &ShareSetRow, row: &ShareRow) -> Result<Share, KeyError> {
    let custodian = vault.custodian(&row.custodian)?;
    let share = custodian.get(vault.id(), set.epoch)?;
    if share.set == set.set {
        return Ok(share);
    }
    Err(KeyError::OtherShare { custodian: row.custodian.clone(), epoch: set.epoch })
}

/// Gives the shares of a new secret out. The catalog has their rows already, as `asked`.
///
/// # Errors
/// [`CustodyError::TooFew`] when fewer than the threshold took theirs.
pub fn install(vault: &Vault, set: &ShareSetRow, secret: &EpochSecret) -> Result<(), OpsError> {
    let count = u8::try_from(set.shares.len()).unwrap_or(u8::MAX);
    let shares = quorum::split(
        secret,
        vault.id(),
        set.epoch,
        set.set,
        set.threshold,
        count,
        &mut random::system(),
    )?;
    let mut failures = Vec::new();
    let mut held = 0;
    for (row, share) in set.shares.iter().zip(&shares) {
        let asked = durable::step("forget.install", || put(vault, &row.custodian, share));
        match asked {
            Ok(()) => {
                held += 1;
                mark(vault, (set.epoch, set.set), &row.custodian, ShareState::Held)?;
            }
            Err(error) => failures.push(error),
        }
    }
    if held >= usize::from(set.threshold) {
        for error in failures {
            vault.warn(&format!(
                "a custodian took no share of the new epoch: {error}; it gets one when the secret is \
                 shared anew (custody reconcile)"
            ));
        }
        return Ok(());
    }
    match (failures.pop(), set.shares.len()) {
        (Some(only), 1) => Err(only),
        (last, _) => Err(CustodyError::TooFew {
            epoch: set.epoch,
            needed: set.threshold,
            answered: held,
            reasons: failures.iter().chain(&last).map(ToString::to_string).collect(),
        }
        .into()),
    }
}

/// Puts a share; one of a given-up splitting of the same epoch makes room for it.
fn put(vault: &Vault, custodian: &str, share: &Share) -> Result<(), OpsError> {
    let place = vault.custodian(custodian)?;
    match place.put(share) {
        Err(KeyError::EpochTaken { .. }) => {}
        other => return Ok(other?),
    }
    let there = place.get(vault.id(), share.epoch)?;
    let given_up = {
        let catalog = vault.catalog();
        custody::with_shares_to_destroy(catalog.connection())?
            .iter()
            .any(|set| (set.epoch, set.set) == (share.epoch, there.set))
    };
    if !given_up {
        // Nobody here knows of it: it may be what another machine's catalog hangs on.
        let custodian = custodian.to_owned();
        return Err(KeyError::EpochTaken { custodian, epoch: share.epoch }.into());
    }
    place.destroy(vault.id(), share.epoch)?;
    mark(vault, (share.epoch, there.set), custodian, ShareState::Destroyed)?;
    Ok(place.put(share)?)
}

/// Destroys every share that must go and can be reached, and confirms the erasures that nothing
/// undoes any more. Says what is left to do. Erasures of the epoch `reported` are those of the
/// command itself, which puts their end on record.
pub fn destroy_leaving(
    vault: &Vault,
    _: &Writing,
    signer: &MacKey,
    reported: Option<Epoch>,
) -> Result<Vec<Waiting>, OpsError> {
    let sets = custody::with_shares_to_destroy(vault.catalog().connection())?;
    let mut waiting = Vec::new();
    for set in &sets {
        for row in &set.shares {
            if row.state == ShareState::Destroyed {
                continue;
            }
            let gone = durable::step("forget.destroy", || {
                destroy_share(vault, set.epoch, set.set, &row.custodian)
            });
            match gone {
                Ok(()) => {
                    mark(vault, (set.epoch, set.set), &row.custodian, ShareState::Destroyed)?;
                    if row.state == ShareState::Returned {
                        returned::note_destroyed(vault, signer, &row.custodian, set.epoch)?;
                    }
                }
                Err(error) => waiting.push(Waiting {
                    custodian: row.custodian.clone(),
                    epoch: set.epoch,
                    reason: error.to_string(),
                }),
            }
        }
    }
    settle(vault, signer, reported)?;
    Ok(waiting)
}

/// Records as held the shares that their custodians are found to have.
pub fn confirm_held(
    vault: &Vault,
    set: &ShareSetRow,
    has_it: impl Fn(&str) -> bool,
) -> Result<(), OpsError> {
    for share in set.shares.iter().filter(|share| share.state == ShareState::Asked) {
        if has_it(&share.custodian) {
            mark(vault, (set.epoch, set.set), &share.custodian, ShareState::Held)?;
        }
    }
    Ok(())
}

/// Records which splittings are destroyed by now, and which erasures that confirms or, where a
/// secret can be made again, undoes.
fn settle(vault: &Vault, signer: &MacKey, reported: Option<Epoch>) -> Result<(), OpsError> {
    let now = vault.clock().now();
    let is_settled = {
        let catalog = vault.catalog();
        let connection = catalog.connection();
        custody::in_state(connection, SetState::Leaving)?.is_empty()
            && custody::oldest_leaving(connection)?.is_none()
            && erasures::provisional(connection)?.is_empty()
    };
    if is_settled {
        return Ok(());
    }
    let confirmed = durable::step("forget.confirm", || {
        vault.catalog().transaction(|transaction| {
            for set in custody::in_state(transaction, SetState::Leaving)? {
                if !set.can_be_combined() {
                    let key = (set.epoch, set.set);
                    custody::set_state(transaction, key, SetState::Destroyed, now)?;
                }
            }
            let oldest = custody::oldest_leaving(transaction)?;
            if let Some(oldest) = oldest {
                erasures::reopen(transaction, oldest)?;
            }
            Ok::<_, OpsError>(erasures::confirm(transaction, oldest, now)?)
        })
    })?;
    note_confirmed(vault, signer, &confirmed, reported)
}

/// Puts on record that erasures are confirmed whose command ended before.
fn note_confirmed(
    vault: &Vault,
    signer: &MacKey,
    confirmed: &[u64],
    reported: Option<Epoch>,
) -> Result<(), OpsError> {
    let mut by_source: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    {
        let catalog = vault.catalog();
        let sources = crate::catalog::sources::all(catalog.connection())?;
        for number in confirmed {
            let Some(row) = erasures::get(catalog.connection(), *number)? else { continue };
            if Some(row.erasure.epoch_before.next()) == reported {
                continue;
            }
            let source = sources.iter().find(|one| one.source_id == row.erasure.source_id);
            let name = source.map_or_else(|| "vault".to_owned(), |one| one.name.clone());
            by_source.entry(name).or_default().push(*number);
        }
    }
    for (source, numbers) in by_source {
        for span in spans(&numbers) {
            let detail = format!("state=confirmed erasures={span}");
            vault.note_signed(
                Some(signer),
                Action::Erase,
                &source,
                Outcome::Done,
                Some(&detail),
            )?;
        }
    }
    Ok(())
}

/// Numbers as people and the audit log write them, those that follow one another together: `3`, `7-12`.
#[must_use]
pub fn spans(numbers: &[u64]) -> Vec<String> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted
        .chunk_by(|one, next| one + 1 == *next)
        .filter_map(|run| match run {
            [] => None,
            [only] => Some(only.to_string()),
            [first, .., last] => Some(format!("{first}-{last}")),
        })
        .collect()
}

/// Destroys one share, and no other that may be there under the same epoch.
fn destroy_share(
    vault: &Vault,
    epoch: Epoch,
    set: ShareSet,
    custodian: &str,
) -> Result<(), OpsError> {
    let custodian = vault.custodian(custodian)?;
    match custodian.get(vault.id(), epoch) {
        Ok(share) if share.set != set => return Ok(()),
        Ok(_) => {}
        // What is damaged goes too, unless it may be the present epoch's.
        Err(KeyError::Damaged { .. }) if present_epoch(vault)? != epoch => {}
        Err(KeyError::NoEpochSecret { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if present_epoch(vault)? == epoch && present_set(vault)? == set {
        return Err(OpsError::Bug("the share of the present epoch was to be destroyed"));
    }
    custodian.destroy(vault.id(), epoch)?;
    match custodian.get(vault.id(), epoch) {
        Err(KeyError::NoEpochSecret { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(KeyError::NotDestroyed { custodian: custodian.title(), epoch }.into()),
    }
}

/// The newest epoch that a custodian in the configuration holds and that the catalog has not given
/// up: where it is newer than the catalog's, the catalog is an old copy.
pub fn newest_epoch(vault: &Vault) -> Result<Option<Epoch>, OpsError> {
    let given_up: BTreeSet<Epoch> = {
        let catalog = vault.catalog();
        let sets = custody::with_shares_to_destroy(catalog.connection())?;
        sets.into_iter().map(|set| set.epoch).collect()
    };
    let mut newest = None;
    for custodian in vault.custodians() {
        // One that cannot be asked says nothing.
        let epochs = custodian.epochs(vault.id()).unwrap_or_default();
        newest = epochs.into_iter().filter(|epoch| !given_up.contains(epoch)).max().max(newest);
    }
    Ok(newest)
}

fn present_epoch(vault: &Vault) -> Result<Epoch, OpsError> {
    Ok(crate::catalog::vault::read(vault.catalog().connection())?.epoch)
}

fn present_set(vault: &Vault) -> Result<ShareSet, OpsError> {
    Ok(custody::present(vault.catalog().connection())?.set)
}

fn mark(
    vault: &Vault,
    set: (Epoch, ShareSet),
    custodian: &str,
    state: ShareState,
) -> Result<(), OpsError> {
    let now = vault.clock().now();
    vault.catalog().transaction(|transaction| {
        Ok::<_, OpsError>(custody::set_share_state(transaction, set, custodian, state, now)?)
    })
}

/// Custodians of whom no catalog says what they hold: what a recovery begins with.
pub struct Quorum<'a> {
    /// The vault.
    pub vault: VaultId,
    /// The custodians that were named.
    pub custodians: &'a [Box<dyn Custodian>],
}

/// What the custodians hold, whatever their number and kind.
pub trait EpochSecrets {
    /// The epochs of which any custodian holds a secret or a share, ascending.
    fn epochs(&self) -> Result<Vec<Epoch>, KeyError>;

    /// The secrets of an epoch that a quorum makes: one, or none where no share of it is held, or
    /// two where a forgetting was given up and begun again.
    ///
    /// # Errors
    /// [`KeyError::TooFewShares`] when there are shares, and too few of them.
    fn secrets(&self, epoch: Epoch) -> Result<Vec<EpochSecret>, KeyError>;

    /// Shares of epochs after `epoch`, at custodians that have one of `epoch` too.
    fn later(&self, epoch: Epoch) -> Vec<LaterShare>;
}

/// A share of an epoch that a recovery leaves behind.
pub struct LaterShare {
    /// The number of its custodian's share of the epoch that is recovered.
    pub member: u8,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its splitting.
    pub set: ShareSet,
    /// How many shares of it make the secret.
    pub threshold: u8,
    /// Its own number.
    pub index: u8,
}

impl EpochSecrets for Quorum<'_> {
    fn epochs(&self) -> Result<Vec<Epoch>, KeyError> {
        let mut epochs = BTreeSet::new();
        let mut failure = None;
        let mut answered = false;
        for custodian in self.custodians {
            match custodian.epochs(self.vault) {
                Ok(held) => {
                    answered = true;
                    epochs.extend(held);
                }
                // One of another vault is a mistake to be told, and not a custodian that is away.
                Err(error @ KeyError::OtherVault { .. }) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !answered => Err(error),
            _ => Ok(epochs.into_iter().collect()),
        }
    }

    fn secrets(&self, epoch: Epoch) -> Result<Vec<EpochSecret>, KeyError> {
        let mut sets: BTreeMap<ShareSet, Vec<Share>> = BTreeMap::new();
        let mut failure = None;
        for custodian in self.custodians {
            match custodian.get(self.vault, epoch) {
                Ok(share) => sets.entry(share.set).or_default().push(share),
                Err(KeyError::NoEpochSecret { .. }) => {}
                Err(error) => failure = Some(error),
            }
        }
        let mut secrets = Vec::new();
        for shares in sets.values() {
            match quorum::combine(shares) {
                Ok(secret) => secrets.push(secret),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if secrets.is_empty() => Err(error),
            _ => Ok(secrets),
        }
    }

    fn later(&self, epoch: Epoch) -> Vec<LaterShare> {
        let mut later = Vec::new();
        for custodian in self.custodians {
            let Ok(own) = custodian.get(self.vault, epoch) else { continue };
            for held in custodian.epochs(self.vault).unwrap_or_default() {
                if held > epoch
                    && let Ok(share) = custodian.get(self.vault, held)
                {
                    later.push(LaterShare {
                        member: own.index,
                        epoch: held,
                        set: share.set,
                        threshold: share.threshold,
                        index: share.index,
                    });
                }
            }
        }
        later
    }
}
