//! What readers of backups have opened. Backups of one source share layers of their indexes, so a
//! command that looks into many backups opens each layer, and each block of it, once; and one that comes
//! back to the same backups finds their manifests, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::layers::{Block, OpenLayer};
use crate::base::ids::{BackupId, Digest};
use crate::container::manifest::{LayerSummary, Manifest};
use crate::crypto::kdf::DerivedKey;

/// How many blocks are kept unless said otherwise; each takes about 150 KiB when opened.
const BLOCKS_KEPT: usize = 256;
/// How many manifests are kept; each takes some 100 KiB where there are many packs and patterns.
const MANIFESTS_MAX: usize = 256;

/// What readers of backups have opened, for one command.
pub struct ReaderCache {
    blocks_max: usize,
    manifests: Mutex<HashMap<Digest, Arc<Manifest>>>,
    layers: Mutex<HashMap<(BackupId, Digest), Arc<OpenLayer>>>,
    blocks: Mutex<HashMap<(BackupId, u64), Block>>,
}

impl Default for ReaderCache {
    fn default() -> Self {
        Self::keeping(BLOCKS_KEPT)
    }
}

impl ReaderCache {
    /// A cache of so many blocks.
    #[must_use]
    pub fn keeping(blocks_max: usize) -> Self {
        let (manifests, layers, blocks) = Default::default();
        Self { blocks_max, manifests, layers, blocks }
    }

    /// The manifest with that digest, if it was opened before.
    pub fn manifest(&self, sha256: &Digest) -> Option<Arc<Manifest>> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner).get(sha256).cloned()
    }

    /// Keeps a manifest, as long as there is room.
    pub fn keep_manifest(&self, sha256: Digest, manifest: &Arc<Manifest>) {
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        if manifests.len() < MANIFESTS_MAX {
            manifests.insert(sha256, Arc::clone(manifest));
        }
    }

    /// What a block holds, if it was opened lately.
    pub fn block(&self, key: &(BackupId, u64)) -> Option<Block> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps a block. Where there are too many, all others go.
    pub fn keep_block(&self, key: (BackupId, u64), block: &Block) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= self.blocks_max {
            blocks.clear();
        }
        blocks.insert(key, Arc::clone(block));
    }

    /// A layer that was opened before, if it is the same object under the same key.
    pub fn layer(&self, summary: &LayerSummary, key: &DerivedKey) -> Option<Arc<OpenLayer>> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = layers.get(&(summary.backup.clone(), summary.sha256))?;
        kept.is_under(key).then(|| Arc::clone(kept))
    }

    /// Keeps a layer.
    pub fn keep_layer(&self, summary: &LayerSummary, layer: &Arc<OpenLayer>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert((summary.backup.clone(), summary.sha256), Arc::clone(layer));
    }
}
