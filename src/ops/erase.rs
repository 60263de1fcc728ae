//! Erase: one person is forgotten in every backup there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Serialize;

use super::audited::{DRY_RUN, audited_with};
use super::backup_reader::BackupReader;
use super::subject_keys::SubjectKeys;
use super::vault::{Unlocked, Vault};
use super::{OpsError, forget, sources, subject_maps};
use crate::audit::Action;
use crate::catalog::backups::{self, BackupFilter};
use crate::catalog::erasures::{self, NewErasure};
use crate::catalog::sources::SourceRow;
use crate::catalog::tombstones::{self, TombstoneRow};
use crate::catalog::vault_keys::VaultKeyRow;
use crate::catalog::{subjects, vault_keys};
use crate::clock::timestamp;
use crate::crypto::{SecretText, labels};
use crate::ids::{BackupId, Digest, Epoch, SubjectReference};
use crate::keys::master::Credentials;
use crate::keys::ring::KeyRing;
use crate::keys::vault_keys::{TombstoneKey, kinds, name};
use crate::policy::subject_map::{self, SubjectClass};
use crate::random;

/// Whom to forget, and why.
pub struct EraseRequest {
    /// The source's name.
    pub source: String,
    /// The subject class, needed where the source has several.
    pub class: Option<String>,
    /// The subject's key, as the officer has it.
    pub subject: SecretText,
    /// The officer's reason. Kept sealed.
    pub reason: String,
    /// Only show what would be forgotten.
    pub dry_run: bool,
}

/// What an erasure concerns.
#[derive(Debug, Clone, Serialize)]
pub struct EraseReport {
    /// The erasure's number; absent from a dry run.
    pub erasure: Option<u64>,
    /// `dry-run` or `confirmed`.
    pub state: &'static str,
    /// The source.
    pub source: String,
    /// The subject class.
    pub class: String,
    /// The subject's reference: what the audit log calls her.
    pub subject_reference: SubjectReference,
    /// Backups that hold rows of hers, the newest first.
    pub backups: Vec<BackupShare>,
    /// Rows of hers, all those backups together.
    pub rows: u64,
    /// The epoch before.
    pub epoch_before: Epoch,
    /// The epoch after; absent from a dry run.
    pub epoch_after: Option<Epoch>,
    /// When the old epoch's secret was destroyed; absent from a dry run.
    pub confirmed_at: Option<String>,
}

/// A subject's share of one backup.
#[derive(Debug, Clone, Serialize)]
pub struct BackupShare {
    /// The backup.
    pub backup: BackupId,
    /// The backup's snapshot.
    pub snapshot_at: String,
    /// Her rows by table.
    pub tables: BTreeMap<String, u64>,
    /// Her rows.
    pub rows: u64,
    /// Her segments.
    pub segments: u64,
}

/// Erases a person, after `confirm` has seen what it concerns. `confirm` is not asked on a dry run.
pub async fn erase(
    vault: &Vault,
    credentials: &Credentials,
    request: &EraseRequest,
    confirm: impl FnOnce(&EraseReport) -> bool,
) -> Result<EraseReport, OpsError> {
    let source = sources::find(vault, &request.source)?;
    let lock = vault.lock_for_writing("erase")?;
    let detail = request.dry_run.then_some(DRY_RUN);
    audited_with(vault, Action::Erase, &source.name, detail, async |access| {
        let requested_at = vault.clock().now();
        let unlocked = Arc::new(vault.unlock(credentials, access.recorded())?);
        vault.check_store().await?;
        let class = find_class(vault, &source, request.class.as_deref())?;
        let key = subject_map::canonical_key(&class, request.subject.expose())?;
        let reference =
            unlocked.references.reference(source.source_id, &class.name, key.as_bytes());
        access.name_object(&reference.to_string())?;
        ensure_known(vault, &unlocked, &source, &class, reference)?;

        let mut report = look(vault, &unlocked, &source, &class, reference).await?;
        if request.dry_run {
            return Ok(report);
        }
        if !confirm(&report) {
            return Err(OpsError::NotConfirmed);
        }
        let mut erasure_id = 0;
        let epoch_before = unlocked.ring().epoch();
        let reason_id = random::bytes::<16>(&mut random::system());
        let erasure = NewErasure {
            requested_at,
            source_id: source.source_id,
            epoch_before,
            reason_sealed: seal_reason(vault, &unlocked, reason_id, &request.reason),
            backup_count: report.backups.len() as u64,
            segment_count: report.backups.iter().map(|share| share.segments).sum(),
            row_count: report.rows,
            subject_key_count: 1,
        };
        let epoch_after =
            forget::subjects(vault, &unlocked, &lock, &[reference], |transaction, ring, epoch| {
                write_tombstone(transaction, &unlocked, ring, reference, epoch, requested_at)?;
                erasure_id = erasures::insert(transaction, &erasure)?;
                Ok(())
            })?;
        report.erasure = Some(erasure_id);
        report.state = "confirmed";
        report.epoch_after = Some(epoch_after);
        access.add_detail(&format!(
            "erasure={erasure_id} rows={} backups={}",
            report.rows,
            report.backups.len()
        ));
        report.confirmed_at = erasures::get(vault.catalog().connection(), erasure_id)?
            .and_then(|row| row.confirmed_at)
            .map(timestamp);
        Ok(report)
    })
    .await
}

fn find_class(
    vault: &Vault,
    source: &SourceRow,
    wanted: Option<&str>,
) -> Result<SubjectClass, OpsError> {
    let map = subject_maps::load_or_last_used(vault, source)?.map;
    match (wanted, map.classes.as_slice()) {
        (Some(wanted), _) => map.class(wanted).cloned().ok_or_else(|| OpsError::NoClass {
            name: source.name.clone(),
            class: wanted.to_owned(),
        }),
        (None, [only]) => Ok(only.clone()),
        (None, several) => Err(OpsError::ClassNeeded {
            name: source.name.clone(),
            classes: several.iter().map(|class| class.name.clone()).collect(),
        }),
    }
}

fn ensure_known(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: &SubjectClass,
    reference: SubjectReference,
) -> Result<(), OpsError> {
    if subjects::get(vault.catalog().connection(), &reference)?.is_some() {
        return Ok(());
    }
    let keys = SubjectKeys::new(
        vault.shared_catalog(),
        Arc::clone(unlocked),
        source.source_id,
        vault.clock().now(),
    );
    Err(match keys.erased_at(reference)? {
        Some(erased_at) => OpsError::AlreadyErased { reference, erased_at: timestamp(erased_at) },
        None => {
            OpsError::NoSubject { name: source.name.clone(), class: class.name.clone(), reference }
        }
    })
}

/// Looks her up in every backup of the source. What damage hides there is forgotten all the same:
/// only the count is short.
async fn look(
    vault: &Vault,
    unlocked: &Unlocked,
    source: &SourceRow,
    class: &SubjectClass,
    reference: SubjectReference,
) -> Result<EraseReport, OpsError> {
    let filter = BackupFilter { source_id: Some(source.source_id), class: None };
    let rows = backups::list(vault.catalog().connection(), &filter)?;
    let mut shares = Vec::new();
    for row in rows {
        let opened = match unlocked.backup_identity(&row) {
            Ok(identity) => BackupReader::open(vault, &row, identity).await,
            Err(error) => Err(error),
        };
        let reader = match opened {
            Ok(reader) => reader,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let mut share = BackupShare {
            backup: row.backup_id.clone(),
            snapshot_at: timestamp(row.snapshot_at),
            tables: BTreeMap::new(),
            rows: 0,
            segments: 0,
        };
        for (number, summary) in (0..).zip(&reader.manifest().relations) {
            let entries = match reader.find(number, reference).await {
                Ok(entries) => entries,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let rows: u64 = entries.iter().map(|entry| entry.rows).sum();
            if rows > 0 {
                share.tables.insert(summary.relation.to_string(), rows);
                share.rows += rows;
                share.segments += entries.len() as u64;
            }
        }
        if share.rows > 0 {
            shares.push(share);
        }
    }
    Ok(EraseReport {
        erasure: None,
        state: "dry-run",
        source: source.name.clone(),
        class: class.name.clone(),
        subject_reference: reference,
        rows: shares.iter().map(|share| share.rows).sum(),
        backups: shares,
        epoch_before: unlocked.ring().epoch(),
        epoch_after: None,
        confirmed_at: None,
    })
}

/// The reason, sealed, with the random id that its context holds before it.
fn seal_reason(vault: &Vault, unlocked: &Unlocked, id: [u8; 16], reason: &str) -> Vec<u8> {
    let sealed = unlocked.commons.seal_note(
        vault.id(),
        labels::ERASURE_REASON,
        &id,
        reason,
        &mut random::system(),
    );
    [&id[..], &sealed].concat()
}

fn write_tombstone(
    transaction: &rusqlite::Transaction<'_>,
    unlocked: &Unlocked,
    ring: &KeyRing,
    reference: SubjectReference,
    epoch: Epoch,
    erased_at: DateTime<Utc>,
) -> Result<(), OpsError> {
    let quarter = quarter(erased_at);
    let known = unlocked.tombstones.iter().find(|(name, _)| *name == quarter);
    let mac = if let Some((_, key)) = known {
        key.tombstone(reference)
    } else {
        let key = TombstoneKey::generate(&mut random::system());
        let kind = format!("{}{quarter}", kinds::TOMBSTONE_PREFIX);
        let (name, shard_id) = name(&kind);
        let wrapped_key = ring.wrap(&name, shard_id, key.expose(), &mut random::system())?;
        vault_keys::insert(transaction, &VaultKeyRow { kind, shard_id, wrapped_key })?;
        key.tombstone(reference)
    };
    let row = TombstoneRow { mac: Digest(mac), quarter, epoch, erased_at };
    Ok(tombstones::insert(transaction, &row)?)
}

/// The quarter of a moment, `2026Q4`.
#[must_use]
pub fn quarter(moment: DateTime<Utc>) -> String {
    format!("{:04}Q{}", moment.year(), moment.month0() / 3 + 1)
}
