//! A complete backup, copied to the other stores of its class before success is reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::base::progress::ProgressSink;
use crate::catalog::Transaction;
use crate::catalog::backups::BackupRow;
use crate::catalog::stores::{self as rows, CopyRow, CopyState};
use crate::container::manifest::Manifest;
use crate::vault::OpsError;
use crate::vault::handle::Vault;
use crate::vault::stores::{Copies, NamedStore, copy, route};

/// A backup in one of the stores where it shall lie.
#[derive(Debug, Clone, Serialize)]
pub struct StoreCopy {
    /// The store.
    pub store: String,
    /// `complete`, or `behind`: then `store reconcile` copies it once the store can be reached.
    pub state: CopyState,
    /// Why it is behind, as a sentence.
    pub reason: Option<String>,
}

/// Where a backup goes.
pub(super) struct Spread {
    /// All stores of its class.
    pub named: Vec<String>,
    /// Those that can be used; it is written to the first.
    pub usable: Vec<NamedStore>,
}

impl Spread {
    /// Notes where the backup lies, in the transaction that makes it exist: in the first store only.
    pub fn record(&self, transaction: &Transaction<'_>, row: &BackupRow) -> Result<(), OpsError> {
        let primary = self.usable.first().map(|store| store.name.as_str());
        for store in &self.named {
            let is_primary = Some(store.as_str()) == primary;
            let state = if is_primary { CopyState::Complete } else { CopyState::Behind };
            let copy = CopyRow {
                backup_id: row.backup_id.clone(),
                store: store.clone(),
                state,
                noted_at: row.finished_at,
            };
            rows::put_copy(transaction, &copy)?;
        }
        Ok(())
    }

    /// Copies the backup to the other stores. One that fails is behind, and no failure.
    pub async fn copy(
        &self,
        vault: &Vault,
        manifest: &Manifest,
        row: &BackupRow,
        progress: &Arc<dyn ProgressSink>,
    ) -> Result<Vec<StoreCopy>, OpsError> {
        let Some(primary) = self.usable.first() else { return Ok(Vec::new()) };
        let objects = copy::objects_of(row, manifest)?;
        let copies = Copies::new(vec![primary.clone()]);
        let away = vault.stores().away();
        let mut report = Vec::new();
        for name in &self.named {
            let reason = match self.usable.iter().find(|store| store.name == *name) {
                Some(store) if store.name == primary.name => None,
                Some(store) => {
                    progress.phase(&format!("copying to store `{name}`"));
                    progress.total(0, row.bytes_stored + row.bytes_referenced);
                    let fresh = BTreeMap::new();
                    match copy::all(&copies, store, &objects, &fresh, false, progress).await {
                        Ok(_) => {
                            route::note(vault, &row.backup_id, name, CopyState::Complete)?;
                            None
                        }
                        Err(error) => Some(error.to_string()),
                    }
                }
                None => {
                    let reason = away.iter().find(|(away, _)| away == name);
                    Some(reason.map_or_else(|| "it is away".to_owned(), |(_, why)| why.clone()))
                }
            };
            let state = if reason.is_none() { CopyState::Complete } else { CopyState::Behind };
            report.push(StoreCopy { store: name.clone(), state, reason });
        }
        Ok(report)
    }
}
