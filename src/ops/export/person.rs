//! One person's segments in a backup: found by the index, read by themselves, opened with her key.

use crate::store::read_exact;
use std::collections::BTreeSet;

use crate::base::ids::SubjectReference;
use crate::container::index_block::IndexEntry;
use crate::keys::SubjectKey;
use crate::vault::OpsError;
use crate::vault::reader::BackupReader;
use crate::vault::reader::scan::open_segment;

/// A person in a backup.
pub struct Person<'a> {
    /// The backup.
    pub reader: &'a BackupReader,
    /// Who she is.
    pub reference: SubjectReference,
    /// Her key.
    pub key: SubjectKey,
}

/// Her segments of one relation.
pub struct Share {
    /// The relation's place in the manifest.
    pub number: u32,
    /// The segments.
    pub entries: Vec<IndexEntry>,
}

impl Share {
    /// Her rows.
    pub fn rows(&self) -> u64 {
        self.entries.iter().map(|entry| entry.rows).sum()
    }

    /// Their length in bytes before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.raw_bytes).sum()
    }
}

impl Person<'_> {
    /// Her segments, relation by relation; only those in which she has any.
    pub async fn shares(&self) -> Result<Vec<Share>, OpsError> {
        let wanted = BTreeSet::from([self.reference]);
        let mut shares = Vec::new();
        for (number, _) in (0..).zip(&self.reader.manifest().relations) {
            let entries = self.reader.find_all(number, &wanted).await?.entries;
            if !entries.is_empty() {
                shares.push(Share { number, entries });
            }
        }
        Ok(shares)
    }

    /// The rows of one of her segments, from the nearest copy that authenticates. Nothing else of the
    /// pack is read.
    pub async fn open(&self, relation: u32, entry: &IndexEntry) -> Result<Vec<u8>, OpsError> {
        let manifest = self.reader.manifest();
        let Some(summary) = manifest.relations.get(relation as usize) else {
            return Err(OpsError::Bug("a relation was found that does not exist"));
        };
        let (_, name) = self.reader.pack(entry.pack)?;
        let key = self.key.expose();
        let mut attempts = self.reader.copies().attempts(&name);
        while let Some(store) = attempts.next_store() {
            let opened = match read_exact(store, &name, entry.offset, entry.length).await {
                Ok(sealed) => {
                    open_segment(manifest.vault, manifest.source, summary, entry, key, &sealed)
                        .map_err(OpsError::from)
                }
                Err(error) => Err(error.into()),
            };
            match opened {
                Ok(rows) => return Ok(attempts.succeeded(rows)),
                Err(error) => attempts.failed(error)?,
            }
        }
        Err(attempts.error())
    }
}
