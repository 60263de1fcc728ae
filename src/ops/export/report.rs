//! What an export says of itself.

use serde::Serialize;

use super::contents::{ExportedLargeObject, ExportedTable};
use crate::base::ids::{BackupId, SubjectReference};

/// What was handed out.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReport {
    /// The backup.
    pub backup: BackupId,
    /// The source.
    pub source: String,
    /// The subject class.
    pub class: String,
    /// Her reference: what the audit log calls her.
    pub subject_reference: SubjectReference,
    /// The moment that the rows show.
    pub snapshot_at: String,
    /// The file.
    pub output: String,
    /// The one folder in the archive that holds everything.
    pub folder: String,
    /// The number of the case.
    pub case: Option<String>,
    /// Receivers who can open it.
    pub recipients: u64,
    /// Tables in which she has rows.
    pub tables: Vec<ExportedTable>,
    /// Her large objects.
    pub large_objects: Vec<ExportedLargeObject>,
    /// Her rows, all tables together.
    pub rows: u64,
    /// The file's length.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
}
