//! Every object of a backup read and compared with its manifest, before a row of it goes anywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::BackupReader;
use crate::base::digest::RunningDigest;
use crate::base::ids::{Digest, PackId};
use crate::base::progress::ProgressSink;
use crate::container::manifest::Manifest;
use crate::container::{ContainerError, names, pack};
use crate::store::{ObjectName, Store, read_exact};
use crate::vault::OpsError;

/// How much of an object is read at a time.
const READ_BYTES: u64 = 4 << 20;

/// A backup whose objects have all been read and found to be what the manifest says. Nothing is
/// restored without one.
pub struct Verified<'a>(&'a BackupReader);

impl Verified<'_> {
    /// The backup.
    #[must_use]
    pub fn reader(&self) -> &BackupReader {
        self.0
    }
}

/// Reads every object of a backup and compares it with the manifest, which the catalog and the
/// backup's key authenticate.
pub async fn authenticate<'a>(
    reader: &'a BackupReader,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Verified<'a>, OpsError> {
    let problems = objects(reader, &every_pack(reader), progress).await?;
    if problems.is_empty() { Ok(Verified(reader)) } else { Err(OpsError::Damaged { problems }) }
}

/// Accepts a backup although objects of it are damaged, for a salvage: every segment is still
/// authenticated by itself before a row of it goes anywhere.
pub async fn authenticate_for_salvage<'a>(
    reader: &'a BackupReader,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(Verified<'a>, Vec<String>), OpsError> {
    let problems = objects(reader, &every_pack(reader), progress).await?;
    Ok((Verified(reader), problems))
}

fn every_pack(reader: &BackupReader) -> BTreeSet<PackId> {
    reader.manifest().packs.iter().map(|pack| pack.id).collect()
}

/// The problems of a backup's objects, one sentence each: those of which no copy is right. Segments
/// are not opened here. Of a pack that is not in `read`, only header and length are looked at.
pub async fn objects(
    reader: &BackupReader,
    read: &BTreeSet<PackId>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Vec<String>, OpsError> {
    let mut problems = Vec::new();
    for object in parts_of(reader.manifest())? {
        let mut attempts = reader.copies().attempts(&object.name);
        let outcome = loop {
            let Some(store) = attempts.next_store() else { break Err(attempts.error()) };
            match compare(store, reader.manifest(), &object, read, progress).await {
                Ok(()) => {
                    attempts.succeeded(());
                    break Ok(());
                }
                Err(error) => attempts.failed(error)?,
            }
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_damage() => problems.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(problems)
}

/// An object of a backup, as its manifest has it.
pub struct Part {
    pub name: ObjectName,
    pub bytes: u64,
    pub sha256: Digest,
    pub pack: Option<PackId>,
}

/// All objects of a backup but its manifest.
pub fn parts_of(manifest: &Manifest) -> Result<Vec<Part>, OpsError> {
    let mut parts = Vec::new();
    let mut add = |name: String, bytes, sha256, pack| {
        parts.push(Part { name: name.parse()?, bytes, sha256, pack });
        Ok::<_, OpsError>(())
    };
    if let Some(archive) = &manifest.schema_archive {
        add(names::schema(&manifest.backup), archive.bytes, archive.sha256, None)?;
    }
    for layer in &manifest.layers {
        add(names::index(&layer.backup), layer.bytes, layer.sha256, None)?;
    }
    for pack in &manifest.packs {
        add(names::pack(pack.id), pack.bytes, pack.sha256, Some(pack.id))?;
    }
    Ok(parts)
}

/// Compares one copy of an object with the manifest. Of a pack that is not in `read`, only header and
/// length are looked at.
pub async fn compare(
    store: &dyn Store,
    manifest: &Manifest,
    part: &Part,
    read: &BTreeSet<PackId>,
    progress: &Arc<dyn ProgressSink>,
) -> Result<(), OpsError> {
    let Part { name, bytes, sha256, pack } = part;
    if let Some(id) = pack {
        let header = read_exact(store, name, 0, pack::HEADER_BYTES as u64).await?;
        pack::check_header(&header, manifest.vault, *id, name.as_str())?;
    }
    if store.size(name).await? != *bytes {
        return Err(ContainerError::malformed(
            name.as_str(),
            "it has another length than when it was written",
        )
        .into());
    }
    if pack.is_some_and(|id| !read.contains(&id)) {
        return Ok(());
    }
    let mut digest = RunningDigest::default();
    let mut offset = 0;
    while offset < *bytes {
        let length = READ_BYTES.min(bytes - offset);
        digest.update(&read_exact(store, name, offset, length).await?);
        offset += length;
        progress.advance(0, length);
    }
    if digest.finish() == *sha256 {
        Ok(())
    } else {
        Err(ContainerError::not_authentic(name.as_str()).into())
    }
}
