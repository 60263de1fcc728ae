//! The record of erasures: what was erased when and why, whom backups still meet, and the end of
//! tombstones whose time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::audit::Action;
use crate::base::clock::timestamp;
use crate::base::ids::{BackupId, Digest, Epoch, SubjectReference};
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::erasures::{self, ErasureRow};
use crate::catalog::tombstones::{self, TombstoneRow};
use crate::catalog::{erasure_proofs, erasures_met, sources};
use crate::crypto::SecretText;
use crate::keys::master::Credentials;
use crate::policy::subject_map;
use crate::vault::access::access;
use crate::vault::forget::{self, Change};
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::select::{self, Choice};
use crate::vault::subject_keys::SubjectKeys;
use crate::vault::{OpsError, reasons, replica, subject_maps};

/// One erasure, as the officer reads it.
#[derive(Debug, Clone, Serialize)]
pub struct ErasureReport {
    /// Its number.
    pub erasure: u64,
    /// When it was asked for.
    pub requested_at: String,
    /// When it was confirmed; absent while it is provisional.
    pub confirmed_at: Option<String>,
    /// `provisional` or `confirmed`.
    pub state: &'static str,
    /// The source.
    pub source: String,
    /// The number of the case, if one was given.
    pub case: Option<String>,
    /// The reason.
    pub reason: String,
    /// Rows that no longer open, all backups together.
    pub rows: u64,
    /// Backups that held rows of hers.
    pub backups: u64,
    /// Whether a tombstone still keeps her out of backups.
    pub tombstone: bool,
    /// The snapshot of the newest backup that met her in the source; absent if none did.
    pub met_at: Option<String>,
    /// Whether the time of her tombstone is over: `erasure forget-tombstones` takes it away.
    pub tombstone_over: bool,
    /// What the negative test found; absent where it could not run.
    pub proof: Option<ProofReport>,
}

/// What the negative test after an erasure found.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ProofReport {
    /// Segments that were tried.
    pub segments_tried: u64,
    /// Those that opened.
    pub segments_opened: u64,
    /// Segments of other people that had to open and did.
    pub bystanders_opened: u64,
}

/// All erasures, the newest first.
#[derive(Debug, Clone, Serialize)]
pub struct ErasuresReport {
    /// The erasures.
    pub erasures: Vec<ErasureReport>,
    /// Tombstones.
    pub tombstones: u64,
    /// Those whose time is over.
    pub tombstones_over: u64,
}

/// Reads the record of erasures. A tombstone's time is over `keep_days` after its person was erased or
/// met last.
pub async fn list(
    vault: &Vault,
    credentials: &Credentials,
    keep_days: u32,
) -> Result<ErasuresReport, OpsError> {
    access(vault, Action::ErasureList, "erasures")
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let over = over(vault, keep_days)?;
            let all = {
                let catalog = vault.catalog();
                tombstones::all(catalog.connection())?
            };
            let rows = erasures::list(vault.catalog().connection())?;
            let told = rows.iter().map(|row| told(vault, &unlocked, row, &all, &over));
            Ok(ErasuresReport {
                erasures: told.collect::<Result<_, _>>()?,
                tombstones: all.len() as u64,
                tombstones_over: over.len() as u64,
            })
        })
        .await
}

fn told(
    vault: &Vault,
    unlocked: &Unlocked,
    row: &ErasureRow,
    all: &[TombstoneRow],
    over: &BTreeSet<Digest>,
) -> Result<ErasureReport, OpsError> {
    let reason = reasons::open(vault, unlocked, &row.erasure.reason_sealed)?;
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let source = sources::by_id(connection, row.erasure.source_id)?;
    let tombstone = all.iter().find(|one| one.erasure_id == Some(row.erasure_id));
    let proof = erasure_proofs::get(connection, row.erasure_id)?.map(|proof| ProofReport {
        segments_tried: proof.segments_tried,
        segments_opened: proof.segments_opened,
        bystanders_opened: proof.bystanders_opened,
    });
    Ok(ErasureReport {
        erasure: row.erasure_id,
        requested_at: timestamp(row.erasure.requested_at),
        confirmed_at: row.confirmed_at.map(timestamp),
        state: if row.confirmed_at.is_some() { "confirmed" } else { "provisional" },
        source: source.map_or_else(String::new, |source| source.name),
        case: reason.case,
        reason: reason.text,
        rows: row.erasure.row_count,
        backups: row.erasure.backup_count,
        tombstone: tombstone.is_some(),
        met_at: tombstone.and_then(|one| one.met_at).map(timestamp),
        tombstone_over: tombstone.is_some_and(|one| over.contains(&one.mac)),
        proof,
    })
}

/// Tombstones whose time is over: their people were neither erased nor met for so long, the newest
/// backup of their source did not meet them, and no backup is left from before the erasure, which
/// needs the tombstone to know that her rows are forgotten and not lost.
fn over(vault: &Vault, keep_days: u32) -> Result<BTreeSet<Digest>, OpsError> {
    let end = vault.clock().now() - TimeDelta::days(keep_days.into());
    let catalog = vault.catalog();
    let connection = catalog.connection();
    let made = backups::list(connection, &BackupFilter::default())?;
    let oldest: Option<Epoch> = made.iter().map(|row| row.epoch).min();
    let newest: BTreeSet<DateTime<Utc>> = made
        .iter()
        .fold(BTreeMap::new(), |mut newest, row| {
            let at = newest.entry(row.source_id).or_insert(row.snapshot_at);
            *at = row.snapshot_at.max(*at);
            newest
        })
        .into_values()
        .collect();
    let is_over = |row: &TombstoneRow| {
        row.erased_at.max(row.met_at.unwrap_or(row.erased_at)) < end
            && !row.met_at.is_some_and(|met| newest.contains(&met))
            && oldest.is_none_or(|oldest| oldest >= row.epoch)
    };
    Ok(tombstones::all(connection)?.into_iter().filter(is_over).map(|row| row.mac).collect())
}

/// What became of tombstones.
#[derive(Debug, Clone, Serialize)]
pub struct TombstonesReport {
    /// `nothing`, `provisional` or `confirmed`.
    pub state: &'static str,
    /// How many were taken away: so many people could come back.
    pub tombstones: u64,
    /// Why it is provisional, one sentence each.
    pub waiting: Vec<String>,
}

/// Takes away the tombstones whose time is over, once `confirm` has heard how many people could come
/// back: a backup that meets one of them takes her in as somebody new.
pub async fn forget_tombstones(
    vault: &Vault,
    credentials: &Credentials,
    keep_days: u32,
    confirm: impl FnOnce(u64) -> bool,
) -> Result<TombstonesReport, OpsError> {
    let lock = vault.lock_for_writing("erasure forget-tombstones")?;
    access(vault, Action::Tombstones, "tombstones")
        .writing(&lock)
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            access.check_store().await?;
            let over: Vec<Digest> = over(vault, keep_days)?.into_iter().collect();
            let tombstones = over.len() as u64;
            if over.is_empty() {
                return Ok(TombstonesReport { state: "nothing", tombstones, waiting: Vec::new() });
            }
            if !confirm(tombstones) {
                return Err(OpsError::NotConfirmed);
            }
            let change = Change { tombstones: &over, ..Change::default() };
            let forgotten =
                forget::forget(vault, &unlocked, &lock, &change, |_, _, _| Ok(())).await?;
            replica::clear_superseded(vault, &lock).await;
            access.add_detail(&format!("tombstones={tombstones}"));
            let state = if forgotten.waiting.is_empty() { "confirmed" } else { "provisional" };
            Ok(TombstonesReport { state, tombstones, waiting: forgotten.waiting })
        })
        .await
}

/// Whom a backup met.
#[derive(Debug, Clone, Serialize)]
pub struct MetReport {
    /// The backup.
    pub backup: BackupId,
    /// Its source.
    pub source: String,
    /// The erasures whose people it met.
    pub met: Vec<MetErasure>,
    /// The people who were asked for, in that order.
    pub subjects: Vec<MetSubject>,
}

/// An erasure whose person a backup met.
#[derive(Debug, Clone, Serialize)]
pub struct MetErasure {
    /// Its number.
    pub erasure: u64,
    /// The number of the case, if one was given.
    pub case: Option<String>,
    /// Rows of hers that were left out.
    pub rows: u64,
}

/// Somebody who was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct MetSubject {
    /// Her place among those asked for, from 1.
    pub number: u64,
    /// Her reference.
    pub subject_reference: SubjectReference,
    /// Her erasure; absent where she was not erased, or an older strongroom did not note it.
    pub erasure: Option<u64>,
    /// Whether the backup met her.
    pub met: bool,
}

/// Tells which erased people a backup met in its source: by erasure, and of `subjects` (keys, as the
/// officer has them) each.
pub async fn met(
    vault: &Vault,
    credentials: &Credentials,
    choice: &Choice,
    class: Option<&str>,
    subjects: &[SecretText],
) -> Result<MetReport, OpsError> {
    let row = select::backup(vault, choice)?;
    access(vault, Action::ErasureList, row.backup_id.as_str())
        .run(async |access| {
            let unlocked = access.unlock(credentials).await?;
            let (source, met) = {
                let catalog = vault.catalog();
                let connection = catalog.connection();
                let source = sources::by_id(connection, row.source_id)?;
                let source = source.ok_or(OpsError::Bug("a backup has no source"))?;
                (source, erasures_met::of_backup(connection, &row.backup_id)?)
            };
            let mut told = Vec::new();
            for (number, rows) in &met {
                let erasure = erasures::get(vault.catalog().connection(), *number)?;
                let erasure = erasure.ok_or(OpsError::Bug("a backup met nobody's erasure"))?;
                let reason = reasons::open(vault, &unlocked, &erasure.erasure.reason_sealed)?;
                told.push(MetErasure { erasure: *number, case: reason.case, rows: *rows });
            }
            let mut asked = Vec::new();
            if !subjects.is_empty() {
                let class = subject_maps::find_class(vault, &source, class)?;
                let keys = SubjectKeys::new(
                    vault.shared_catalog(),
                    Arc::clone(&unlocked),
                    source.source_id,
                    vault.clock().now(),
                );
                for (number, subject) in (1..).zip(subjects) {
                    let key = subject_map::canonical_key(&class, subject.expose())?;
                    let reference = unlocked.references.reference(
                        source.source_id,
                        &class.name,
                        key.as_bytes(),
                    );
                    access.name_object(&reference.to_string())?;
                    let erasure = keys.erasure_of(reference)?;
                    let met =
                        erasure.is_some_and(|number| met.iter().any(|(one, _)| *one == number));
                    asked.push(MetSubject { number, subject_reference: reference, erasure, met });
                }
            }
            Ok(MetReport {
                backup: row.backup_id.clone(),
                source: source.name,
                met: told,
                subjects: asked,
            })
        })
        .await
}
