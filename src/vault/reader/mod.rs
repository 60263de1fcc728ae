//! A backup as it lies in the store: its manifest and index, opened and authenticated.

use crate::store::read_exact;
use crate::store::read_whole;
use std::sync::Arc;

use bytes::Bytes;

use super::OpsError;
use super::handle::Vault;
use super::stores::Copies;
use crate::base::digest;
use crate::base::ids::VaultId;
use crate::catalog::backups::BackupRow;
use crate::container::age_file::BackupIdentity;
use crate::container::bounds::MANIFEST_BYTES_MAX;
use crate::container::manifest::{LayerSummary, Manifest, PackSummary};
use crate::container::{ContainerError, names};
use crate::crypto::kdf::DerivedKey;
use crate::store::ObjectName;

pub mod authenticate;
mod cache;
mod entries;
mod layers;
mod look_up;
pub mod scan;
pub mod select;

pub use cache::ReaderCache;
pub use entries::Entries;
pub use look_up::LookedUp;

use layers::UsedLayer;

/// An opened backup.
pub struct BackupReader {
    copies: Copies,
    identity: BackupIdentity,
    manifest: Arc<Manifest>,
    /// The lowest first.
    layers: Vec<UsedLayer>,
    cache: Arc<ReaderCache>,
}

impl BackupReader {
    /// Opens a backup that the catalog knows: the manifest must be the very object that the catalog
    /// recorded, and the directories of the index's layers must open under the backup's key.
    pub async fn open(
        vault: &Vault,
        row: &BackupRow,
        identity: BackupIdentity,
    ) -> Result<Self, OpsError> {
        Self::open_with(vault, row, identity, &Arc::default()).await
    }

    /// The same for one of several backups, which may share layers, or once more for one that was
    /// opened before: `cache` keeps what was opened.
    pub async fn open_with(
        vault: &Vault,
        row: &BackupRow,
        identity: BackupIdentity,
        cache: &Arc<ReaderCache>,
    ) -> Result<Self, OpsError> {
        let copies = Copies::of(vault.stores()).await?;
        Self::open_in(copies, vault.id(), row, identity, cache).await
    }

    /// The same from these stores only.
    pub async fn open_in(
        copies: Copies,
        vault: VaultId,
        row: &BackupRow,
        identity: BackupIdentity,
        cache: &Arc<ReaderCache>,
    ) -> Result<Self, OpsError> {
        let manifest = if let Some(kept) = cache.manifest(&row.manifest_sha256) {
            kept
        } else {
            let opened = Arc::new(open_manifest(&copies, vault, row, &identity).await?);
            cache.keep_manifest(row.manifest_sha256, &opened);
            opened
        };
        let layers = layers::open_all(&copies, &manifest, &identity, cache).await?;
        Ok(Self { copies, identity, manifest, layers, cache: Arc::clone(cache) })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The stores that hold the backup's objects.
    #[must_use]
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// `pg_dump`'s archive of the schema.
    pub async fn schema_archive(&self) -> Result<Vec<u8>, OpsError> {
        let object: ObjectName = names::schema(&self.manifest.backup).parse()?;
        // The manifest, which is authentic, says how long it is.
        let bytes_max = self.manifest.schema_archive.as_ref().map_or(0, |archive| archive.bytes);
        let mut attempts = self.copies.attempts(&object);
        while let Some(store) = attempts.next_store() {
            let opened = match read_whole(store, &object, bytes_max).await {
                Ok(sealed) => self.identity.open(object.as_str(), &sealed).map_err(OpsError::from),
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(archive) => return Ok(attempts.succeeded(archive)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }

    /// The entries of one relation that count in this backup, in the order of subjects.
    #[must_use]
    pub fn entries(&self, relation: u32) -> Entries<'_> {
        Entries::new(self, relation, None)
    }

    /// The key of one of its layers, to be wrapped for another backup.
    pub fn layer_key(&self, layer: &LayerSummary) -> Result<DerivedKey, OpsError> {
        Ok(layers::key_of(&self.manifest, layer, &self.identity)?)
    }

    /// The pack of that number in the manifest, and its object.
    pub fn pack(&self, number: u32) -> Result<(&PackSummary, ObjectName), OpsError> {
        let pack = self.manifest.packs.get(number as usize).ok_or_else(|| {
            ContainerError::malformed(
                &format!("the index of backup {}", self.manifest.backup),
                "it names a pack that the manifest does not list",
            )
        })?;
        Ok((pack, names::pack(pack.id).parse()?))
    }

    /// Part of a pack, from the copy that was good or else the nearest that can be read.
    pub async fn read_pack(
        &self,
        number: u32,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, OpsError> {
        let (_, name) = self.pack(number)?;
        let mut attempts = self.copies.attempts(&name);
        while let Some(store) = attempts.next_store() {
            match read_exact(store, &name, offset, length).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }
}

/// The manifest: the very object that the catalog recorded, from any store.
pub async fn open_manifest(
    copies: &Copies,
    vault: VaultId,
    row: &BackupRow,
    identity: &BackupIdentity,
) -> Result<Manifest, OpsError> {
    let object: ObjectName = row.manifest_name.parse()?;
    let mut attempts = copies.attempts(&object);
    while let Some(store) = attempts.next_store() {
        let opened = match read_whole(store, &object, MANIFEST_BYTES_MAX).await {
            Ok(sealed) if digest::sha256(&sealed) != row.manifest_sha256 => {
                Err(ContainerError::not_authentic(object.as_str()).into())
            }
            Ok(sealed) => Manifest::open(&sealed, identity, vault, &row.backup_id, object.as_str())
                .map_err(OpsError::from),
            Err(error) => Err(error.into()),
        };
        match opened {
            Ok(manifest) => return Ok(attempts.succeeded(manifest)),
            Err(error) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}
