//! What backups hold of the people who are to be forgotten: told to the officer before, and tried
//! in vain after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::report::{BackupShare, ErasedSubject};
use crate::base::clock::timestamp;
use crate::base::ids::SubjectReference;
use crate::catalog::backups::{self, BackupFilter, BackupRow};
use crate::catalog::sources::SourceRow;
use crate::container::index_block::IndexEntry;
use crate::vault::handle::Vault;
use crate::vault::keys::Unlocked;
use crate::vault::reader::{BackupReader, ReaderCache};
use crate::vault::{ErrorKind, OpsError};

/// What was found.
pub struct Found {
    /// Person by person, in the order asked for.
    pub subjects: Vec<ErasedSubject>,
    /// Backup by backup, the newest first; only those that hold rows of any of them.
    pub backups: Vec<Affected>,
    /// Why backups, or parts of them, could not be looked into, one sentence each.
    pub unread: Vec<String>,
    /// What was opened of them.
    pub opened: Arc<ReaderCache>,
}

/// A backup that holds rows of people who are to be forgotten.
pub struct Affected {
    /// The backup.
    pub row: BackupRow,
    /// Their segments, with the number of the relation.
    pub segments: Vec<(u32, IndexEntry)>,
    /// A segment of somebody else, where the same index blocks have one.
    pub bystander: Option<(u32, IndexEntry)>,
}

/// Looks people up in every backup of the source. What cannot be read there is forgotten all the same:
/// only the count is short, and the test afterwards has nothing to try.
pub async fn look(
    vault: &Vault,
    unlocked: &Unlocked,
    source: &SourceRow,
    references: &[SubjectReference],
) -> Result<Found, OpsError> {
    let filter = BackupFilter { source_id: Some(source.source_id), class: None };
    let rows = backups::list(vault.catalog().connection(), &filter)?;
    let wanted: BTreeSet<_> = references.iter().copied().collect();
    let mut shares: BTreeMap<SubjectReference, Vec<BackupShare>> = BTreeMap::new();
    let mut affected = Vec::new();
    let mut unread = Vec::new();
    // Backups share layers of their indexes: each is read once for all.
    let opened = Arc::default();
    for row in rows {
        let reader = match unlocked.backup_identity(&row) {
            Ok(identity) => BackupReader::open_with(vault, &row, identity, &opened).await,
            Err(error) => Err(error),
        };
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) if cannot_be_read(&error) => {
                unread.push(format!("backup {}: {error}", row.backup_id));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut backup = Affected { row, segments: Vec::new(), bystander: None };
        let mut of_backup: BTreeMap<SubjectReference, BackupShare> = BTreeMap::new();
        for (number, summary) in (0..).zip(&reader.manifest().relations) {
            let looked_up = match reader.find_all(number, &wanted).await {
                Ok(looked_up) => looked_up,
                Err(error) if cannot_be_read(&error) => {
                    let (backup, table) = (&backup.row.backup_id, &summary.relation);
                    unread.push(format!("backup {backup}, {table}: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for entry in &looked_up.entries {
                let share = of_backup.entry(entry.reference).or_insert_with(|| BackupShare {
                    backup: backup.row.backup_id.clone(),
                    snapshot_at: timestamp(backup.row.snapshot_at),
                    tables: BTreeMap::new(),
                    rows: 0,
                    segments: 0,
                });
                *share.tables.entry(summary.relation.to_string()).or_default() += entry.rows;
                share.rows += entry.rows;
                share.segments += 1;
            }
            backup.segments.extend(looked_up.entries.into_iter().map(|entry| (number, entry)));
            if backup.bystander.is_none() {
                backup.bystander = looked_up.bystander.map(|entry| (number, entry));
            }
        }
        for (reference, share) in of_backup {
            shares.entry(reference).or_default().push(share);
        }
        if !backup.segments.is_empty() {
            affected.push(backup);
        }
    }
    let subjects = references
        .iter()
        .map(|reference| {
            let backups = shares.remove(reference).unwrap_or_default();
            ErasedSubject {
                erasure: None,
                subject_reference: *reference,
                rows: backups.iter().map(|share| share.rows).sum(),
                backups,
            }
        })
        .collect();
    Ok(Found { subjects, backups: affected, unread, opened })
}

/// Whether an error is about what lies in a store: it is damaged, or cannot be had now.
pub(super) fn cannot_be_read(error: &OpsError) -> bool {
    error.is_damage() || error.kind() == ErrorKind::Store
}
