//! What to restore, and how.

use std::collections::BTreeMap;

use crate::base::schema::QualifiedName;
use crate::container::manifest::Contents;
use crate::policy::subject_map::OnGone;
use crate::postgres::ConnectionSettings;
use crate::vault::reader::select::Choice;

/// What to restore, and how.
// Each is a choice of its own, independent of the others.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// Which backup.
    pub backup: Choice,
    /// The database to restore into.
    pub target: ConnectionSettings,
    /// Whether to create the target database first.
    pub create: bool,
    /// Rows of these tables only; all when empty.
    pub tables: Vec<QualifiedName>,
    /// Schema, rows, or both.
    pub contents: Contents,
    /// Everything belongs to the restoring role.
    pub no_owner: bool,
    /// No rights are granted.
    pub no_privileges: bool,
    /// Connections that write at the same time, at least 1.
    pub jobs: usize,
    /// What becomes of references to forgotten people, where it differs from the subject map:
    /// by table and column.
    pub on_gone: BTreeMap<(QualifiedName, String), OnGone>,
    /// Whether the target may have tables already.
    pub into_non_empty: bool,
    /// Whether to restore what is left of a damaged backup.
    pub salvage: bool,
    /// Whether everything goes into the database's own tablespace.
    pub no_tablespaces: bool,
    /// Whether a copy that an earlier restore left closed is opened, and nothing restored.
    pub open: bool,
}
