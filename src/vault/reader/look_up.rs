//! Single subjects in a backup, by the directories and the few blocks that may hold them.

use std::collections::BTreeSet;

use super::BackupReader;
use super::entries::Entries;
use crate::base::ids::{PackId, SubjectReference};
use crate::container::index_block::IndexEntry;
use crate::container::layer_block::Listed;
use crate::vault::OpsError;

/// What a look into an index found.
pub struct LookedUp {
    /// The entries of those who were looked for, in the order of subjects.
    pub entries: Vec<IndexEntry>,
    /// An entry of somebody else from the same blocks, if they have one.
    pub bystander: Option<IndexEntry>,
}

impl BackupReader {
    /// The entries of some subjects in one relation.
    pub async fn find_all(
        &self,
        relation: u32,
        wanted: &BTreeSet<SubjectReference>,
    ) -> Result<LookedUp, OpsError> {
        let mut found = LookedUp { entries: Vec::new(), bystander: None };
        for reference in wanted {
            found.entries.append(&mut self.find(relation, *reference).await?);
        }
        if let Some(entry) = found.entries.first() {
            found.bystander = self.bystander(relation, entry.reference, wanted).await?;
        }
        Ok(found)
    }

    async fn find(
        &self,
        relation: u32,
        reference: SubjectReference,
    ) -> Result<Vec<IndexEntry>, OpsError> {
        self.range(relation, (reference, reference)).await
    }

    /// The entries of a range of subjects in one relation that count in this backup.
    pub async fn range(
        &self,
        relation: u32,
        range: (SubjectReference, SubjectReference),
    ) -> Result<Vec<IndexEntry>, OpsError> {
        Entries::new(self, relation, Some(range)).all().await
    }

    /// The entries of a range of subjects as they stand in the lowest layer, with the packs that they
    /// name; nothing of version 1.
    pub async fn range_of_base(
        &self,
        relation: u32,
        (first, last): (SubjectReference, SubjectReference),
    ) -> Result<(Vec<IndexEntry>, &[PackId]), OpsError> {
        let mut entries = Vec::new();
        let Some(base) = self.layers.first() else { return Ok((entries, &[])) };
        for number in base.layer.blocks(relation, Some((first, last))) {
            let block = base.block(&self.copies, *number, Some(&self.cache)).await?;
            entries.extend(block.iter().filter_map(|listed| match listed {
                Listed::Segment(entry) if (first..=last).contains(&entry.reference) => {
                    Some(entry.clone())
                }
                _ => None,
            }));
        }
        Ok((entries, base.layer.packs()))
    }

    /// Somebody who is not wanted, from the blocks that hold `beside`.
    async fn bystander(
        &self,
        relation: u32,
        beside: SubjectReference,
        wanted: &BTreeSet<SubjectReference>,
    ) -> Result<Option<IndexEntry>, OpsError> {
        for layer in &self.layers {
            for number in layer.layer.blocks(relation, Some((beside, beside))) {
                let block = layer.block(&self.copies, *number, Some(&self.cache)).await?;
                for listed in block.iter() {
                    let reference = listed.reference();
                    if wanted.contains(&reference) || reference.is_commons() {
                        continue;
                    }
                    // Another layer may have replaced it.
                    if let Some(entry) = self.find(relation, reference).await?.pop() {
                        return Ok(Some(entry));
                    }
                }
            }
        }
        Ok(None)
    }
}
