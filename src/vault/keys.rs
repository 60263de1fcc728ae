//! The keys of a vault, released for one command.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::OpsError;
use crate::catalog::backups::BackupRow;
use crate::container::age_file::BackupIdentity;
use crate::crypto::kdf::MacKey;
use crate::keys::MasterSecret;
use crate::keys::ring::{KeyName, KeyRing};
use crate::keys::vault_keys::{CommonsKey, ReferenceMaker, TombstoneKey, audit_head_key};

/// The keys of a vault, released for one command.
pub struct Unlocked {
    pub(super) master: RwLock<MasterSecret>,
    /// Signs the audit log; of the same master secret.
    pub(super) audit_head: RwLock<Arc<MacKey>>,
    /// The commons key for what is sealed from now on.
    pub commons: CommonsKey,
    /// The kind under which the catalog has it.
    pub commons_kind: String,
    /// Makes subject references.
    pub references: ReferenceMaker,
    /// Tombstone keys by quarter.
    pub tombstones: Vec<(String, TombstoneKey)>,
    pub(super) ring: RwLock<KeyRing>,
}

impl Unlocked {
    /// The key ring.
    pub fn ring(&self) -> RwLockReadGuard<'_, KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key ring, to add shards.
    pub fn ring_mut(&self) -> RwLockWriteGuard<'_, KeyRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The master secret.
    pub fn master(&self) -> RwLockReadGuard<'_, MasterSecret> {
        self.master.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with another master secret, whose epoch has begun.
    pub(crate) fn replace_master(&self, master: &MasterSecret) {
        let key = Arc::new(audit_head_key(master, self.ring().vault()));
        *self.audit_head.write().unwrap_or_else(PoisonError::into_inner) = key;
        if let Some(copy) = MasterSecret::from_slice(master.expose()) {
            *self.master.write().unwrap_or_else(PoisonError::into_inner) = copy;
        }
    }

    /// The key that signs the audit log.
    pub(crate) fn audit_head(&self) -> Arc<MacKey> {
        Arc::clone(&self.audit_head.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The identity of a backup.
    pub fn backup_identity(&self, row: &BackupRow) -> Result<BackupIdentity, OpsError> {
        let name = KeyName::Backup(row.backup_id.clone());
        let identity = self.ring().unwrap(&name, row.shard_id, &row.wrapped_key)?;
        Ok(BackupIdentity::from_text(&identity)?)
    }
}
