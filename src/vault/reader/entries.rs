//! The entries that count: what the upper layer of an index says of a subject in a relation replaces
//! what the layer below says of her.

use super::BackupReader;
use super::layers::{Block, UsedLayer};
use crate::base::ids::SubjectReference;
use crate::container::index_block::IndexEntry;
use crate::container::layer_block::Listed;
use crate::vault::OpsError;

/// A batch ends at the first block's end behind this many entries.
const BATCH_ENTRIES: usize = 1 << 10;

/// From the first reference to the last, both included.
pub type Range = (SubjectReference, SubjectReference);

/// The entries of one relation in ascending order, batch by batch.
pub struct Entries<'a> {
    reader: &'a BackupReader,
    lower: Option<Side<'a>>,
    upper: Option<Side<'a>>,
}

/// One layer's entries on their way.
struct Side<'a> {
    layer: &'a UsedLayer,
    blocks: std::slice::Iter<'a, u64>,
    range: Option<Range>,
    block: Block,
    at: usize,
    end: usize,
}

impl<'a> Side<'a> {
    fn new(layer: &'a UsedLayer, relation: u32, range: Option<Range>) -> Self {
        let blocks = layer.layer.blocks(relation, range).iter();
        Self { layer, blocks, range, block: Block::default(), at: 0, end: 0 }
    }

    /// Sees to it that an entry is at hand, if there is one left.
    async fn fill(&mut self, reader: &BackupReader) -> Result<(), OpsError> {
        while self.at == self.end {
            let Some(number) = self.blocks.next() else { return Ok(()) };
            // Looks into ranges come back to the same blocks; a walk over everything does not.
            let cache = self.range.is_some().then_some(&*reader.cache);
            self.block = self.layer.block(&reader.copies, *number, cache).await?;
            (self.at, self.end) = (0, self.block.len());
            if let Some((first, last)) = self.range {
                self.at = self.block.partition_point(|entry| entry.reference() < first);
                self.end = self.block.partition_point(|entry| entry.reference() <= last);
            }
        }
        Ok(())
    }

    fn head(&self) -> Option<&Listed> {
        self.block[self.at..self.end].first()
    }

    fn reference(&self) -> Option<SubjectReference> {
        self.head().map(Listed::reference)
    }
}

impl<'a> Entries<'a> {
    pub(super) fn new(reader: &'a BackupReader, relation: u32, range: Option<Range>) -> Self {
        let mut layers = reader.layers.iter().map(|layer| Side::new(layer, relation, range));
        let (lower, upper) = (layers.next(), layers.next());
        Self { reader, lower, upper }
    }

    /// The next entries; nothing behind the last.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<IndexEntry>>, OpsError> {
        let mut batch = Vec::new();
        while batch.len() < BATCH_ENTRIES {
            if let Some(lower) = &mut self.lower {
                lower.fill(self.reader).await?;
            }
            if let Some(upper) = &mut self.upper {
                upper.fill(self.reader).await?;
            }
            if !self.take(&mut batch)? {
                break;
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// All that are left.
    pub async fn all(mut self) -> Result<Vec<IndexEntry>, OpsError> {
        let mut all = Vec::new();
        while let Some(mut batch) = self.next_batch().await? {
            all.append(&mut batch);
        }
        Ok(all)
    }

    /// Takes entries until a side has none at hand; false when both are at their ends.
    fn take(&mut self, batch: &mut Vec<IndexEntry>) -> Result<bool, OpsError> {
        let mut moved = false;
        loop {
            let lower = self.lower.as_ref().and_then(Side::reference);
            let upper = self.upper.as_ref().and_then(Side::reference);
            let (side, counts) = match (lower, upper) {
                (None, None) => return Ok(moved),
                // The upper layer has something of her: what the lower has of her is replaced.
                (Some(lower), Some(upper)) if lower == upper => (&mut self.lower, false),
                (Some(lower), Some(upper)) if lower < upper => (&mut self.lower, true),
                (Some(_), None) => (&mut self.lower, true),
                (_, Some(_)) => (&mut self.upper, true),
            };
            let Some(side) = side else { return Ok(moved) };
            if let (true, Some(Listed::Segment(entry))) = (counts, side.head()) {
                batch.push(side.layer.placed(entry)?);
            }
            side.at += 1;
            moved = true;
            if side.at == side.end {
                return Ok(true);
            }
        }
    }
}
