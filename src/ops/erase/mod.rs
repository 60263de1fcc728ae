//! Erase: people are forgotten in every backup there is, by one forgetting however many they are.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::{Digest, Epoch, SubjectReference};
use crate::base::random;
use crate::catalog::Transaction;
use crate::catalog::erasures::{self, NewErasure};
use crate::catalog::sources::SourceRow;
use crate::catalog::tombstones::{self, TombstoneRow};
use crate::catalog::vault_keys;
use crate::catalog::vault_keys::VaultKeyRow;
use crate::crypto::SecretText;
use crate::keys::master::Credentials;
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::quarter;
use crate::keys::vault_keys::{TombstoneKey, kinds, name};
use crate::policy::subject_map::{self, SubjectClass};
use crate::vault::access::{DRY_RUN, access};
use crate::vault::forget::{self, Change};
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reasons::{self, Reason};
use crate::vault::subject_keys::ensure_known;
use crate::vault::{ErrorKind, OpsError, custody, replica};
use crate::vault::{sources, subject_maps};

mod later;
mod look;
mod proof;
pub mod readmit;
mod report;

pub use proof::Proof;
pub use report::{BackupShare, ErasedSubject};

use look::cannot_be_read;
use proof::Before;

/// Whom to forget, and why.
pub struct EraseRequest {
    /// The source's name.
    pub source: String,
    /// The subject class, needed where the source has several.
    pub class: Option<String>,
    /// The people; all of them cost one epoch.
    pub subjects: Vec<Asked>,
    /// Go on without those of a list whom the vault does not know, or knows as erased.
    pub skip_unknown: bool,
    /// The officer's reason. Kept sealed.
    pub reason: Reason,
    /// Only show what would be forgotten.
    pub dry_run: bool,
}

/// One person who is to be forgotten.
pub struct Asked {
    /// Her key, as the officer has it.
    pub key: SecretText,
    /// Her line in a list.
    pub line: Option<usize>,
}

/// Somebody in a list who was left out.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// Her line.
    pub line: usize,
    /// Why, as one sentence.
    pub reason: String,
}

/// What an erasure concerns.
#[derive(Debug, Clone, Serialize)]
pub struct EraseReport {
    /// `dry-run`, `provisional` or `confirmed`.
    pub state: &'static str,
    /// The source.
    pub source: String,
    /// The subject class.
    pub class: String,
    /// The people.
    pub subjects: Vec<ErasedSubject>,
    /// Those of the list who were left out.
    pub skipped: Vec<Skipped>,
    /// Their rows, all backups together.
    pub rows: u64,
    /// Backups that hold rows of any of them.
    pub backups: u64,
    /// The epoch before.
    pub epoch_before: Epoch,
    /// The epoch after; absent from a dry run.
    pub epoch_after: Option<Epoch>,
    /// When so many shares of the old epoch's secret were destroyed that nobody can make it any
    /// more; absent from a dry run and while the erasure is provisional.
    pub confirmed_at: Option<String>,
    /// Why it is provisional, one sentence each.
    pub waiting: Vec<String>,
    /// What the negative test found; absent from a dry run, and where the store could not be read.
    pub proof: Option<Proof>,
}

impl EraseReport {
    /// Whether the negative test tried everything.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proof.as_ref().is_some_and(Proof::is_conclusive)
    }
}

/// Erases people, after `confirm` has seen what it concerns. `confirm` is not asked on a dry run.
pub async fn erase(
    vault: &Vault,
    credentials: &Credentials,
    request: &EraseRequest,
    confirm: impl FnOnce(&EraseReport) -> bool,
) -> Result<EraseReport, OpsError> {
    let source = sources::find(vault, &request.source)?;
    let lock = vault.lock_for_writing("erase")?;
    let detail = if request.dry_run { DRY_RUN } else { "" };
    access(vault, Action::Erase, &source.name)
        .writing(&lock)
        .detail(detail)
        .run(async |access| {
            let requested_at = vault.clock().now();
            let unlocked = access.unlock(credentials).await?;
            match access.check_store().await {
                Ok(()) => {}
                // Nobody waits for her erasure until a store can be read: it is provisional meanwhile.
                Err(error @ OpsError::Store(_))
                    if error.kind() == ErrorKind::Store && !request.dry_run =>
                {
                    vault.warn(&format!("the store could not be looked at before: {error}"));
                }
                Err(error) => return Err(error),
            }
            let class = subject_maps::find_class(vault, &source, request.class.as_deref())?;
            let name = |reference: &SubjectReference| access.name_object(&reference.to_string());
            let again = later::of_all(vault, &unlocked, &source, &class, request, name)?;
            if let Some((references, rows)) = again {
                let class = class.name.clone();
                return later::prove(vault, &unlocked, &source, class, &references, &rows).await;
            }
            let (references, skipped) = people(vault, &unlocked, &source, &class, request, name)?;

            let mut found = look::look(vault, &unlocked, &source, &references).await?;
            let subjects = std::mem::take(&mut found.subjects);
            let mut report = EraseReport {
                state: "dry-run",
                source: source.name.clone(),
                class: class.name.clone(),
                rows: subjects.iter().map(|subject| subject.rows).sum(),
                backups: found.backups.len() as u64,
                subjects,
                skipped,
                epoch_before: unlocked.ring().epoch(),
                epoch_after: None,
                confirmed_at: None,
                waiting: Vec::new(),
                proof: None,
            };
            if request.dry_run {
                return Ok(report);
            }
            if !confirm(&report) {
                return Err(OpsError::NotConfirmed);
            }
            let before = Before::remember(vault, &references)?;
            let reason_sealed = reasons::seal(vault, &unlocked, &request.reason);
            let change = Change { subjects: &references, ..Change::default() };
            let forgotten =
                forget::forget(vault, &unlocked, &lock, &change, |transaction, ring, epoch| {
                    let mut tombstones = Tombstones {
                        transaction,
                        unlocked: &unlocked,
                        ring,
                        epoch,
                        requested_at,
                        new: None,
                    };
                    for subject in &mut report.subjects {
                        let erasure = NewErasure {
                            requested_at,
                            source_id: source.source_id,
                            epoch_before: report.epoch_before,
                            reason_sealed: reason_sealed.clone(),
                            backup_count: subject.backups.len() as u64,
                            segment_count: subject.backups.iter().map(|share| share.segments).sum(),
                            row_count: subject.rows,
                            subject_key_count: 1,
                        };
                        let number = erasures::insert(transaction, &erasure)?;
                        tombstones.write(subject.subject_reference, number)?;
                        subject.erasure = Some(number);
                    }
                    Ok(())
                })
                .await?;
            report.epoch_after = Some(forgotten.epoch);
            report.state = if forgotten.waiting.is_empty() { "confirmed" } else { "provisional" };
            report.waiting = forgotten.waiting;
            let numbers: Vec<u64> =
                report.subjects.iter().filter_map(|subject| subject.erasure).collect();
            access.add_detail(&format!(
                "state={} erasures={} rows={} backups={}",
                report.state,
                custody::spans(&numbers).first().map_or("0", String::as_str),
                report.rows,
                report.backups
            ));
            match before.prove(vault, &unlocked, &source, &found, &numbers).await {
                Ok(proof) => report.proof = Some(proof),
                Err(error) if cannot_be_read(&error) => {
                    vault.warn(&format!("the erasure was not tried out afterwards: {error}"));
                }
                Err(error) => return Err(error),
            }
            replica::clear_superseded(vault, &lock).await;
            if let Some(first) = numbers.first() {
                report.confirmed_at = erasures::get(vault.catalog().connection(), *first)?
                    .and_then(|row| row.confirmed_at)
                    .map(timestamp);
            }
            Ok(report)
        })
        .await
}

/// The people of a request, each once, and those of a list who are left out.
fn people(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: &SubjectClass,
    request: &EraseRequest,
    name: impl Fn(&SubjectReference) -> Result<(), OpsError>,
) -> Result<(Vec<SubjectReference>, Vec<Skipped>), OpsError> {
    let (mut references, mut skipped) = (Vec::new(), Vec::new());
    let mut unknown_only = true;
    for subject in &request.subjects {
        let reference = match known(vault, unlocked, source, class, &subject.key, &name) {
            Ok(reference) => reference,
            Err(error) => {
                let Some(line) = subject.line else { return Err(error) };
                let unknown =
                    matches!(error, OpsError::NoSubject { .. } | OpsError::AlreadyErased { .. });
                if !unknown && !matches!(error, OpsError::Map(_)) {
                    return Err(error);
                }
                unknown_only &= unknown;
                skipped.push(Skipped { line, reason: error.to_string() });
                continue;
            }
        };
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    let goes_on = request.skip_unknown && unknown_only && !references.is_empty();
    if !skipped.is_empty() && !goes_on {
        return Err(OpsError::PeopleRefused {
            count: request.subjects.len(),
            lines: skipped.into_iter().map(|one| (one.line, one.reason)).collect(),
        });
    }
    Ok((references, skipped))
}

/// The reference of somebody whom the vault knows and has not forgotten.
fn known(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: &SubjectClass,
    key: &SecretText,
    name: impl FnOnce(&SubjectReference) -> Result<(), OpsError>,
) -> Result<SubjectReference, OpsError> {
    let key = subject_map::canonical_key(class, key.expose())?;
    let reference = unlocked.references.reference(source.source_id, &class.name, key.as_bytes());
    name(&reference)?;
    ensure_known(vault, unlocked, source, class, reference)?;
    Ok(reference)
}

/// Sets tombstones, as a part of the transaction that takes the keys away.
struct Tombstones<'a> {
    transaction: &'a Transaction<'a>,
    unlocked: &'a Unlocked,
    ring: &'a KeyRing,
    epoch: Epoch,
    requested_at: DateTime<Utc>,
    /// The key of the quarter, where this is its first tombstone.
    new: Option<TombstoneKey>,
}

impl Tombstones<'_> {
    fn write(&mut self, reference: SubjectReference, erasure: u64) -> Result<(), OpsError> {
        let quarter = quarter(self.requested_at);
        let kind = format!("{}{quarter}", kinds::TOMBSTONE_PREFIX);
        let known = self.unlocked.tombstones.iter().find(|(name, _)| *name == quarter);
        let key = match (known, &self.new) {
            // An end of tombstones may have destroyed a key that this command still has.
            (Some((_, key)), _) if vault_keys::get(self.transaction, &kind)?.is_some() => key,
            (_, Some(key)) => key,
            _ => {
                let key = TombstoneKey::generate(&mut random::system());
                let (name, shard_id) = name(&kind);
                let wrapped_key =
                    self.ring.wrap(&name, shard_id, key.expose(), &mut random::system())?;
                vault_keys::insert(self.transaction, &VaultKeyRow { kind, shard_id, wrapped_key })?;
                self.new.insert(key)
            }
        };
        let mac = Digest(key.tombstone(reference));
        let (epoch, erased_at) = (self.epoch, self.requested_at);
        let (erasure_id, met_at) = (Some(erasure), None);
        let row = TombstoneRow { mac, quarter, epoch, erased_at, erasure_id, met_at };
        Ok(tombstones::insert(self.transaction, &row)?)
    }
}
