//! A backup as it lies in the store: its manifest and index, opened and authenticated.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::catalog::backups::BackupRow;
use crate::container::age_file::BackupIdentity;
use crate::container::index::{BlockPlace, HEADER_BYTES, IndexSeal};
use crate::container::index_block::IndexEntry;
use crate::container::manifest::{IndexSummary, Manifest, PackSummary};
use crate::container::{ContainerError, names};
use crate::crypto::digest;
use crate::ids::{SubjectReference, VaultId};
use crate::ops::OpsError;
use crate::ops::stores::{Copies, read_exact};
use crate::ops::vault::Vault;
use crate::store::{ObjectName, Store};

/// What a look into an index found.
pub struct LookedUp {
    /// The entries of those who were looked for, in the order of subjects.
    pub entries: Vec<IndexEntry>,
    /// An entry of somebody else from the same blocks, if they have one.
    pub bystander: Option<IndexEntry>,
}

/// An opened backup.
pub struct BackupReader {
    copies: Copies,
    identity: BackupIdentity,
    manifest: Manifest,
    index: Option<OpenIndex>,
}

struct OpenIndex {
    name: ObjectName,
    seal: IndexSeal,
    places: Vec<BlockPlace>,
}

impl BackupReader {
    /// Opens a backup that the catalog knows: the manifest must be the very object that the catalog
    /// recorded, and the index's directory must open under the backup's key.
    pub async fn open(
        vault: &Vault,
        row: &BackupRow,
        identity: BackupIdentity,
    ) -> Result<Self, OpsError> {
        let copies = Copies::of(vault).await?;
        let manifest = open_manifest(&copies, vault.id(), row, &identity).await?;
        let index = match &manifest.index {
            Some(summary) => Some(open_index(&copies, &manifest, summary, &identity).await?),
            None => None,
        };
        Ok(Self { copies, identity, manifest, index })
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
        let mut attempts = self.copies.attempts(&object);
        while let Some(store) = attempts.next_store() {
            let opened = match read_whole(store, &object).await {
                Ok(sealed) => self.identity.open(object.as_str(), &sealed).map_err(OpsError::from),
                Err(error) => Err(error),
            };
            match opened {
                Ok(archive) => return Ok(attempts.succeeded(archive)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }

    /// The numbers of the index blocks of one relation, in the order of subjects.
    pub fn blocks(&self, relation: u32) -> impl Iterator<Item = u64> + '_ {
        let places = self.index.as_ref().map_or(&[][..], |index| &index.places);
        (0..).zip(places).filter(move |(_, place)| place.relation == relation).map(|(n, _)| n)
    }

    /// The entries of one index block.
    pub async fn block(&self, number: u64) -> Result<Vec<IndexEntry>, OpsError> {
        let missing = OpsError::Bug("an index block was asked for that does not exist");
        let Some(index) = &self.index else { return Err(missing) };
        let place = usize::try_from(number).ok().and_then(|number| index.places.get(number));
        let Some(place) = place else { return Err(missing) };
        let name = &index.name;
        let mut attempts = self.copies.attempts(name);
        while let Some(store) = attempts.next_store() {
            let opened = match read_exact(store, name, place.offset, place.length).await {
                Ok(sealed) => index
                    .seal
                    .open_block(number, place, &sealed, name.as_str())
                    .map_err(OpsError::from),
                Err(error) => Err(error),
            };
            match opened {
                Ok(entries) => return Ok(attempts.succeeded(entries)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }

    /// The entries of some subjects in one relation, by the directory and the few blocks that may
    /// hold them.
    pub async fn find_all(
        &self,
        relation: u32,
        wanted: &BTreeSet<SubjectReference>,
    ) -> Result<LookedUp, OpsError> {
        let mut found = LookedUp { entries: Vec::new(), bystander: None };
        let Some(index) = &self.index else { return Ok(found) };
        for (number, place) in (0..).zip(&index.places) {
            let may_hold = || wanted.range(place.first..=place.last).next().is_some();
            if place.relation != relation || !may_hold() {
                continue;
            }
            for entry in self.block(number).await? {
                if wanted.contains(&entry.reference) {
                    found.entries.push(entry);
                } else if found.bystander.is_none() && !entry.reference.is_commons() {
                    found.bystander = Some(entry);
                }
            }
        }
        Ok(found)
    }

    /// The pack of that number and its object.
    pub fn pack(&self, number: u32) -> Result<(&PackSummary, ObjectName), OpsError> {
        let pack = self.manifest.packs.get(number as usize).ok_or_else(|| {
            ContainerError::malformed(
                &names::index(&self.manifest.backup),
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
        let opened = match read_whole(store, &object).await {
            Ok(sealed) if digest::sha256(&sealed) != row.manifest_sha256 => {
                Err(ContainerError::not_authentic(object.as_str()).into())
            }
            Ok(sealed) => Manifest::open(&sealed, identity, vault, &row.backup_id, object.as_str())
                .map_err(OpsError::from),
            Err(error) => Err(error),
        };
        match opened {
            Ok(manifest) => return Ok(attempts.succeeded(manifest)),
            Err(error) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}

async fn open_index(
    copies: &Copies,
    manifest: &Manifest,
    summary: &IndexSummary,
    identity: &BackupIdentity,
) -> Result<OpenIndex, OpsError> {
    let name: ObjectName = names::index(&manifest.backup).parse()?;
    let mut attempts = copies.attempts(&name);
    while let Some(store) = attempts.next_store() {
        match open_index_in(store, &name, manifest, summary, identity).await {
            Ok(index) => return Ok(attempts.succeeded(index)),
            Err(error) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}

async fn open_index_in(
    store: &dyn Store,
    name: &ObjectName,
    manifest: &Manifest,
    summary: &IndexSummary,
    identity: &BackupIdentity,
) -> Result<OpenIndex, OpsError> {
    let seal = IndexSeal::new(identity.index_key(), manifest.vault, manifest.backup.clone());
    let header = read_exact(store, name, 0, HEADER_BYTES as u64).await?;
    seal.check_header(&header, name.as_str())?;
    let length = summary.bytes.checked_sub(summary.directory_offset).ok_or_else(|| {
        ContainerError::malformed(name.as_str(), "the manifest places its directory past its end")
    })?;
    let sealed = read_exact(store, name, summary.directory_offset, length).await?;
    let places = seal.open_directory(&sealed, name.as_str())?;
    Ok(OpenIndex { name: name.clone(), seal, places })
}

/// A whole object that fits in memory (manifest, schema archive, vault marker).
pub async fn read_whole(store: &dyn Store, name: &ObjectName) -> Result<Bytes, OpsError> {
    let length = store.size(name).await?;
    read_exact(store, name, 0, length).await
}
