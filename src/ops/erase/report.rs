//! What an erasure says of one person.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::base::ids::{BackupId, SubjectReference};

/// One person's part of an erasure.
#[derive(Debug, Clone, Serialize)]
pub struct ErasedSubject {
    /// The erasure's number; absent from a dry run.
    pub erasure: Option<u64>,
    /// The subject's reference: what the audit log calls her.
    pub subject_reference: SubjectReference,
    /// Backups that hold rows of hers, the newest first.
    pub backups: Vec<BackupShare>,
    /// Rows of hers, all those backups together.
    pub rows: u64,
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
