//! What is told of a backup that was made.

use serde::Serialize;

use super::{ErasedMet, StoreCopy, Waited};
use crate::base::ids::BackupId;
use crate::policy::subject_map::TableOwners;

/// What was backed up.
#[derive(Debug, Clone, Serialize)]
pub struct BackupReport {
    /// The backup.
    pub backup: BackupId,
    /// Its source.
    pub source: String,
    /// Its class.
    pub class: &'static str,
    /// `full`, `schema-only` or `data-only`.
    pub contents: &'static str,
    /// The snapshot's moment.
    pub snapshot_at: String,
    /// Tables whose rows were read.
    pub tables: u64,
    /// Rows sealed.
    pub rows: u64,
    /// Data subjects: rows of the classes' root tables.
    pub subjects: u64,
    /// Rows left out because their subject was erased from the vault before.
    pub rows_of_erased: u64,
    /// The same by erasure.
    pub erased_met: Vec<ErasedMet>,
    /// Rows whose owner is in doubt, by table; tables of which there is nothing to say are left out.
    pub owners: Vec<TableOwners>,
    /// The rows' bytes before compression.
    pub raw_bytes: u64,
    /// Bytes that this backup wrote, everything included.
    pub stored_bytes: u64,
    /// Bytes that earlier backups wrote and that this one refers to.
    pub referenced_bytes: u64,
    /// The stores where it shall lie, and whether it is whole there.
    pub copies: Vec<StoreCopy>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How often it was begun: more than once when it gave way, or could not have a lock.
    pub attempts: u32,
    /// Who waited for a lock behind it, in the order in which they were seen.
    pub waited: Vec<Waited>,
    /// What the operator should know: unlogged tables, foreign tables, and so on.
    pub notices: Vec<String>,
}
