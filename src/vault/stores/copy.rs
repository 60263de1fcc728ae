//! Copying objects from store to store. Every byte that is copied passes a digest, and an object whose
//! digest is wrong never becomes visible.

use crate::store::read_exact;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Copies, NamedStore};
use crate::base::digest::RunningDigest;
use crate::base::durable;
use crate::base::ids::Digest;
use crate::base::progress::ProgressSink;
use crate::catalog::backups::BackupRow;
use crate::container::manifest::Manifest;
use crate::container::{ContainerError, names};
use crate::store::{Lock, ObjectName, Store, StoreError};
use crate::vault::OpsError;

/// How much of an object is in memory at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// An object that a copy must hold.
#[derive(Debug, Clone)]
pub struct CopyObject {
    /// Its name.
    pub name: ObjectName,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: Digest,
}

/// What was done for one backup in one store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Objects that were written.
    pub objects: u64,
    /// Their length.
    pub bytes: u64,
}

/// What a backup consists of, in the order in which it is written: the manifest last.
pub fn objects_of(row: &BackupRow, manifest: &Manifest) -> Result<Vec<CopyObject>, OpsError> {
    let mut objects = Vec::new();
    let mut add = |name: String, bytes, sha256| {
        objects.push(CopyObject { name: name.parse()?, bytes, sha256 });
        Ok::<_, OpsError>(())
    };
    for pack in &manifest.packs {
        add(names::pack(pack.id), pack.bytes, pack.sha256)?;
    }
    if let Some(archive) = &manifest.schema_archive {
        add(names::schema(&manifest.backup), archive.bytes, archive.sha256)?;
    }
    objects.append(&mut layers_of(manifest)?);
    let mut add = |name: String, bytes, sha256| {
        objects.push(CopyObject { name: name.parse()?, bytes, sha256 });
        Ok::<_, OpsError>(())
    };
    add(row.manifest_name.clone(), row.manifest_bytes, row.manifest_sha256)?;
    Ok(objects)
}

/// The objects of a backup's index, whoever wrote them.
pub fn layers_of(manifest: &Manifest) -> Result<Vec<CopyObject>, OpsError> {
    let layers = manifest.layers.iter();
    let objects = layers.map(|layer| {
        let name = names::index(&layer.backup).parse()?;
        Ok(CopyObject { name, bytes: layer.bytes, sha256: layer.sha256 })
    });
    objects.collect()
}

/// Copies what one store lacks of a backup. What `listed` has with its length is taken to be there;
/// with `verify`, its digest decides, and a copy that is wrong is made anew.
pub async fn all(
    copies: &Copies,
    to: &NamedStore,
    objects: &[CopyObject],
    listed: &BTreeMap<ObjectName, u64>,
    verify: bool,
    progress: &Arc<dyn ProgressSink>,
) -> Result<Copied, OpsError> {
    let mut copied = Copied::default();
    let mut were_there = Vec::new();
    for object in objects {
        let is_listed = listed.get(&object.name) == Some(&object.bytes);
        if (!is_listed || verify) && one(copies, to, object, verify).await? {
            copied.objects += 1;
            copied.bytes += object.bytes;
        } else {
            were_there.push(object.name.clone());
        }
        progress.advance(0, object.bytes);
    }
    if let Some(manifest) = objects.last() {
        hold_as_long(&*to.store, &manifest.name, &were_there).await?;
    }
    Ok(copied)
}

/// Sees to it that objects which were there before a backup that needs them are retained at least as
/// long as its manifest is.
pub async fn hold_as_long(
    store: &dyn Store,
    manifest: &ObjectName,
    objects: &[ObjectName],
) -> Result<(), OpsError> {
    if objects.is_empty() {
        return Ok(());
    }
    let Some(wanted) = store.lock_of(manifest).await?.retention else { return Ok(()) };
    for object in objects {
        let held = store.lock_of(object).await?;
        if held.retention.is_none_or(|held| held.until < wanted.until) {
            let lock = Lock { retention: Some(wanted), ..held };
            durable::step_async("backup.hold", store.lock(object, &lock)).await?;
        }
    }
    Ok(())
}

/// The objects that a store lists under a prefix, with their lengths.
pub async fn listed(
    store: &dyn Store,
    prefixes: &[&str],
) -> Result<BTreeMap<ObjectName, u64>, OpsError> {
    let mut all = BTreeMap::new();
    for prefix in prefixes {
        let objects = store.list(prefix).await?;
        all.extend(objects.into_iter().map(|object| (object.name, object.bytes)));
    }
    Ok(all)
}

/// Sees to it that a store has an object; says whether it had to be written.
pub async fn one(
    copies: &Copies,
    to: &NamedStore,
    object: &CopyObject,
    verify: bool,
) -> Result<bool, OpsError> {
    let store = &*to.store;
    let is_there = match store.size(&object.name).await {
        Ok(bytes) => {
            if bytes == object.bytes && (!verify || is_right(store, object).await?) {
                return Ok(false);
            }
            true
        }
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    // Where versions are kept, ours may lie below what somebody put over it.
    if matches!(store.bring_back(&object.name).await, Ok(true)) && is_right(store, object).await? {
        return Ok(true);
    }
    let mut attempts = copies.attempts(&object.name);
    while let Some(from) = attempts.next_store() {
        if from.location() == store.location() {
            continue;
        }
        if is_there {
            // What is wrong here goes only when a right one is at hand.
            match digest(from, object).await {
                Ok(true) => store.delete(&object.name).await?,
                Ok(false) => {
                    let name = object.name.as_str();
                    attempts.failed(ContainerError::not_authentic(name))?;
                    continue;
                }
                Err(error) => {
                    attempts.failed(error)?;
                    continue;
                }
            }
        }
        match stream(from, store, object).await {
            Ok(()) => return Ok(true),
            Err(Failure::Target(error)) => return Err(error),
            Err(Failure::Source(error)) => attempts.failed(error)?,
        }
    }
    Err(attempts.error())
}

/// Which side a copy failed on.
enum Failure {
    Source(OpsError),
    Target(OpsError),
}

/// One object from store to store, visible only if its digest is right.
async fn stream(from: &dyn Store, to: &dyn Store, object: &CopyObject) -> Result<(), Failure> {
    let target = |error: StoreError| Failure::Target(error.into());
    let mut writer = match to.create(&object.name).await {
        Ok(writer) => writer,
        Err(StoreError::AlreadyExists { .. }) => return settled(to, object).await,
        Err(error) => return Err(target(error)),
    };
    let mut running = RunningDigest::default();
    let mut offset = 0;
    while offset < object.bytes {
        let length = PIECE_BYTES.min(object.bytes - offset);
        let piece = read_exact(from, &object.name, offset, length)
            .await
            .map_err(|error| Failure::Source(error.into()))?;
        running.update(&piece);
        writer.write(piece).await.map_err(target)?;
        offset += length;
    }
    if running.finish() != object.sha256 {
        let name = object.name.as_str();
        return Err(Failure::Source(ContainerError::not_authentic(name).into()));
    }
    match durable::step_async("store.copy", writer.finish()).await {
        Ok(written) if written.sha256 == object.sha256 => Ok(()),
        Ok(_) => Err(Failure::Target(OpsError::Bug("a copy has another digest than was written"))),
        Err(StoreError::AlreadyExists { .. }) => settled(to, object).await,
        Err(error) => Err(target(error)),
    }
}

/// The name was taken meanwhile, or an earlier attempt was reported as failed and was none.
async fn settled(to: &dyn Store, object: &CopyObject) -> Result<(), Failure> {
    if is_right(to, object).await.map_err(Failure::Target)? {
        return Ok(());
    }
    let (location, name) = (to.location(), object.name.to_string());
    Err(Failure::Target(StoreError::AlreadyExists { location, name }.into()))
}

/// Whether a store's copy has the right bytes. One that cannot be read is an error, not a wrong one.
pub async fn is_right(store: &dyn Store, object: &CopyObject) -> Result<bool, OpsError> {
    match digest(store, object).await {
        Err(error) if error.is_damage() => Ok(false),
        outcome => outcome,
    }
}

async fn digest(store: &dyn Store, object: &CopyObject) -> Result<bool, OpsError> {
    let mut running = RunningDigest::default();
    let mut offset = 0;
    if store.size(&object.name).await? != object.bytes {
        return Ok(false);
    }
    while offset < object.bytes {
        let length = PIECE_BYTES.min(object.bytes - offset);
        running.update(&read_exact(store, &object.name, offset, length).await?);
        offset += length;
    }
    Ok(running.finish() == object.sha256)
}
