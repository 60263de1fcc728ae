//! A negative test that could not read everything is made up for later, by the same command.
//!
//! The wrapped keys from before the erasure are gone by then, as they must be: what is tried is whatever
//! this vault still has.

use std::sync::Arc;

use super::proof::Before;
use super::{EraseReport, EraseRequest, look};
use crate::base::clock::timestamp;
use crate::base::ids::SubjectReference;
use crate::catalog::erasures::{self, ErasureRow};
use crate::catalog::sources::SourceRow;
use crate::policy::subject_map::{self, SubjectClass};
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::subject_keys::SubjectKeys;

/// People who are erased already, and the erasure of each, whose test is still to be made up for.
pub type Unproven = (Vec<SubjectReference>, Vec<ErasureRow>);

/// The people of a request and their erasures, where all of them are erased already, and the test of
/// each is still to be made up for.
pub fn of_all(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: &SubjectClass,
    request: &EraseRequest,
    name: impl Fn(&SubjectReference) -> Result<(), OpsError>,
) -> Result<Option<Unproven>, OpsError> {
    let (mut references, mut rows) = (Vec::new(), Vec::new());
    for subject in &request.subjects {
        // What is wrong with a key is told by the erasure that this then is.
        let Ok(key) = subject_map::canonical_key(class, subject.key.expose()) else {
            return Ok(None);
        };
        let made = unlocked.references.reference(source.source_id, &class.name, key.as_bytes());
        if references.contains(&made) {
            continue;
        }
        let Some(row) = unproven(vault, unlocked, source, made)? else { return Ok(None) };
        references.push(made);
        rows.push(row);
    }
    references.iter().try_for_each(name)?;
    Ok((!references.is_empty()).then_some((references, rows)))
}

/// The erasure of somebody whose test is still to be made up for.
fn unproven(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    reference: SubjectReference,
) -> Result<Option<ErasureRow>, OpsError> {
    let now = vault.clock().now();
    let keys =
        SubjectKeys::new(vault.shared_catalog(), Arc::clone(unlocked), source.source_id, now);
    let Some(erased_at) = keys.erased_at(reference)? else { return Ok(None) };
    let rows = erasures::unproven(vault.catalog().connection())?;
    let hers = |row: &ErasureRow| {
        row.erasure.source_id == source.source_id && row.erasure.requested_at == erased_at
    };
    Ok(rows.into_iter().find(hers))
}

/// Makes up for the tests of these erasures.
pub async fn prove(
    vault: &Vault,
    unlocked: &Arc<Unlocked>,
    source: &SourceRow,
    class: String,
    references: &[SubjectReference],
    unproven: &[ErasureRow],
) -> Result<EraseReport, OpsError> {
    let mut found = look::look(vault, unlocked, source, references).await?;
    let mut subjects = std::mem::take(&mut found.subjects);
    // Those who were erased together have one moment, and which number is whose nobody has kept.
    let together = unproven[0].erasure.requested_at;
    let numbers: Vec<u64> = erasures::unproven(vault.catalog().connection())?
        .into_iter()
        .filter(|row| row.erasure.requested_at == together)
        .map(|row| row.erasure_id)
        .collect();
    if let ([only], [subject]) = (numbers.as_slice(), subjects.as_mut_slice()) {
        subject.erasure = Some(*only);
    }
    let everybody = references.len() >= numbers.len();
    if !everybody {
        vault.warn(
            "others were erased at the same moment: the test counts once it is made for all of them",
        );
    }
    let recorded = if everybody { numbers.as_slice() } else { &[] };
    let proof = Before::nothing(vault)?.prove(vault, unlocked, source, &found, recorded).await?;
    let row = &unproven[0];
    Ok(EraseReport {
        state: if row.confirmed_at.is_some() { "confirmed" } else { "provisional" },
        source: source.name.clone(),
        class,
        rows: subjects.iter().map(|subject| subject.rows).sum(),
        backups: found.backups.len() as u64,
        subjects,
        skipped: Vec::new(),
        epoch_before: row.erasure.epoch_before,
        epoch_after: Some(row.erasure.epoch_before.next()),
        confirmed_at: row.confirmed_at.map(timestamp),
        waiting: Vec::new(),
        proof: Some(proof),
    })
}
