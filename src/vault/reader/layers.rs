//! The layers of indexes, opened.

use crate::store::read_exact;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cache::ReaderCache;
use crate::base::ids::{PackId, SubjectReference};
use crate::container::age_file::BackupIdentity;
use crate::container::index::{BlockPlace, Directory, HEADER_BYTES, IndexSeal};
use crate::container::index_block::IndexEntry;
use crate::container::layer_block::Listed;
use crate::container::layer_key::LayerUse;
use crate::container::manifest::{LayerSummary, Manifest};
use crate::container::{ContainerError, names};
use crate::crypto::kdf::DerivedKey;
use crate::store::{ObjectName, Store};
use crate::vault::OpsError;
use crate::vault::stores::Copies;

/// An object of an index whose directory was opened.
pub struct OpenLayer {
    name: ObjectName,
    seal: IndexSeal,
    packs: Vec<PackId>,
    places: Vec<BlockPlace>,
    /// The numbers of a relation's blocks, in the order of subjects.
    by_relation: BTreeMap<u32, Vec<u64>>,
}

/// A layer as one backup uses it.
pub struct UsedLayer {
    pub layer: Arc<OpenLayer>,
    /// Which layer it is: marks that there are no rows make no sense in the lowest.
    is_lowest: bool,
    /// The layer's packs as places in the manifest's list; nothing of version 1, where entries name
    /// those places themselves.
    packs: Option<Vec<Option<u32>>>,
}

/// What a block holds, as it stands in the layer.
pub type Block = Arc<Vec<Listed>>;

impl OpenLayer {
    /// The numbers of a relation's blocks that may hold references of a range, in order.
    pub fn blocks(
        &self,
        relation: u32,
        range: Option<(SubjectReference, SubjectReference)>,
    ) -> &[u64] {
        let numbers = self.by_relation.get(&relation).map_or(&[][..], Vec::as_slice);
        let Some((first, last)) = range else { return numbers };
        let place = |number: &u64| usize::try_from(*number).ok().and_then(|at| self.places.get(at));
        let from =
            numbers.partition_point(|number| place(number).is_some_and(|at| at.last < first));
        let numbers = &numbers[from..];
        &numbers
            [..numbers.partition_point(|number| place(number).is_some_and(|at| at.first <= last))]
    }

    /// Whether that key opens it.
    pub fn is_under(&self, key: &DerivedKey) -> bool {
        self.seal.key().expose() == key.expose()
    }

    /// The packs that entries of the layer name by their places; none in version 1.
    pub fn packs(&self) -> &[PackId] {
        &self.packs
    }

    async fn read_block(&self, copies: &Copies, number: u64) -> Result<Vec<Listed>, OpsError> {
        let place = usize::try_from(number).ok().and_then(|number| self.places.get(number));
        let missing = OpsError::Bug("an index block was asked for that does not exist");
        let Some(place) = place else { return Err(missing) };
        let mut attempts = copies.attempts(&self.name);
        while let Some(store) = attempts.next_store() {
            let opened = match read_exact(store, &self.name, place.offset, place.length).await {
                Ok(sealed) => self
                    .seal
                    .open_block(number, place, &sealed, self.name.as_str())
                    .map_err(OpsError::from),
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(entries) => return Ok(attempts.succeeded(entries)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }
}

impl UsedLayer {
    /// The entries of one block, as they stand in the layer. `cache` keeps them.
    pub async fn block(
        &self,
        copies: &Copies,
        number: u64,
        cache: Option<&ReaderCache>,
    ) -> Result<Block, OpsError> {
        let key = (self.layer.seal.backup().clone(), number);
        if let Some(kept) = cache.and_then(|cache| cache.block(&key)) {
            return Ok(kept);
        }
        let entries = self.layer.read_block(copies, number).await?;
        if self.is_lowest && entries.iter().any(|entry| matches!(entry, Listed::NoRows(_))) {
            let reason =
                "it says of somebody that there are no rows any more, and is the lowest layer";
            return Err(ContainerError::malformed(self.layer.name.as_str(), reason).into());
        }
        let entries = Arc::new(entries);
        if let Some(cache) = cache {
            cache.keep_block(key, &entries);
        }
        Ok(entries)
    }

    /// An entry that counts, its pack as a place in the manifest's list.
    pub fn placed(&self, entry: &IndexEntry) -> Result<IndexEntry, OpsError> {
        let Some(packs) = &self.packs else { return Ok(entry.clone()) };
        let pack = packs.get(entry.pack as usize).copied().flatten().ok_or_else(|| {
            let reason = "it names a pack that the manifest does not list";
            ContainerError::malformed(self.layer.name.as_str(), reason)
        })?;
        Ok(IndexEntry { pack, ..entry.clone() })
    }
}

/// Opens the layers of a backup.
pub async fn open_all(
    copies: &Copies,
    manifest: &Manifest,
    identity: &BackupIdentity,
    cache: &ReaderCache,
) -> Result<Vec<UsedLayer>, OpsError> {
    let places: HashMap<PackId, u32> = manifest.packs.iter().map(|pack| pack.id).zip(0..).collect();
    let mut layers = Vec::new();
    for summary in &manifest.layers {
        let key = key_of(manifest, summary, identity)?;
        let layer = match cache.layer(summary, &key) {
            Some(kept) => kept,
            None => Arc::new(open(copies, manifest, summary, key).await?),
        };
        cache.keep_layer(summary, &layer);
        let packs = layer.packs.iter().map(|id| places.get(id).copied()).collect();
        let packs = (!manifest.has_index_of_version_1()).then_some(packs);
        layers.push(UsedLayer { layer, is_lowest: layers.is_empty(), packs });
    }
    Ok(layers)
}

/// The key of a layer: the backup's own, or what its manifest holds wrapped.
pub fn key_of(
    manifest: &Manifest,
    summary: &LayerSummary,
    identity: &BackupIdentity,
) -> Result<DerivedKey, ContainerError> {
    let own = identity.index_key();
    let Some(wrapped) = &summary.key else { return Ok(own) };
    let object = names::manifest(&manifest.backup);
    let wrapped = hex::decode(wrapped)
        .map_err(|_| ContainerError::malformed(&object, "a layer's key is not hexadecimal"))?;
    let place = LayerUse { vault: manifest.vault, user: &manifest.backup, layer: &summary.backup };
    place.unwrap(&own, &wrapped, &object)
}

async fn open(
    copies: &Copies,
    manifest: &Manifest,
    summary: &LayerSummary,
    key: DerivedKey,
) -> Result<OpenLayer, OpsError> {
    let name: ObjectName = names::index(&summary.backup).parse()?;
    let (vault, writer) = (manifest.vault, summary.backup.clone());
    let seal = if manifest.has_index_of_version_1() {
        IndexSeal::of_version_1(key, vault, writer)
    } else {
        IndexSeal::new(key, vault, writer)
    };
    let mut attempts = copies.attempts(&name);
    let directory = loop {
        let Some(store) = attempts.next_store() else { return Err(attempts.error()) };
        match open_directory(store, &name, summary, &seal).await {
            Ok(directory) => break attempts.succeeded(directory),
            Err(error) => attempts.failed(error)?,
        }
    };
    let Directory { packs, places } = directory;
    let mut by_relation: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (number, place) in (0..).zip(&places) {
        by_relation.entry(place.relation).or_default().push(number);
    }
    Ok(OpenLayer { name, seal, packs, places, by_relation })
}

async fn open_directory(
    store: &dyn Store,
    name: &ObjectName,
    summary: &LayerSummary,
    seal: &IndexSeal,
) -> Result<Directory, OpsError> {
    let header = read_exact(store, name, 0, HEADER_BYTES as u64).await?;
    seal.check_header(&header, name.as_str())?;
    let length = summary.bytes.checked_sub(summary.directory_offset).ok_or_else(|| {
        ContainerError::malformed(name.as_str(), "the manifest places its directory past its end")
    })?;
    let sealed = read_exact(store, name, summary.directory_offset, length).await?;
    Ok(seal.open_directory(&sealed, name.as_str())?)
}
