//! Large objects as rows of their owners.
//!
//! The lines that go to the sealing thread have the owner's subject reference before them (32
//! hexadecimal digits, or `\N` for nobody), because a large object's owner is found through another
//! table's row:
//!
//! ```text
//! reference TAB oid TAB m TAB properties as JSON
//! reference TAB oid TAB offset TAB bytes in hexadecimal
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::base::ids::SubjectReference;
use crate::base::schema::OwnerWays;
use crate::ops::backup::plan::OwnerColumn;
use crate::ops::backup::reading::Reading;
use crate::postgres::Session;
use crate::postgres::rows::large_objects;
use crate::postgres::rows::owners::Verdict;
use crate::vault::OpsError;
use crate::vault::subject_keys::Met;

/// Whose a large object is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    One(Option<SubjectReference>),
    Several,
}

/// Sends every large object of the snapshot. `unowned_are_shared` says whether one that no row
/// names is everybody's; otherwise it stops the backup.
pub async fn send(
    session: &Session,
    reading: &Reading,
    columns: &[OwnerColumn],
    unowned_are_shared: bool,
    chunks: &mpsc::Sender<Vec<Bytes>>,
) -> Result<(), OpsError> {
    let owners = find_owners(session, reading, columns).await?;
    let objects = large_objects::list(session).await?;
    let orphans = objects.iter().filter(|object| !owners.contains_key(&object.oid)).count() as u64;
    let several = owners.values().filter(|owner| **owner == Owner::Several).count() as u64;
    if several > 0 || (orphans > 0 && !unowned_are_shared) {
        return Err(OpsError::LargeObjectOwners { orphans, shared: several });
    }
    for object in objects {
        let owner = match owners.get(&object.oid) {
            Some(Owner::One(Some(reference))) => reference.to_string(),
            _ => "\\N".to_owned(),
        };
        let properties = serde_json::to_string(&object)
            .map_err(|_| OpsError::Bug("a large object's properties are no JSON"))?;
        let oid = object.oid;
        if !line(chunks, format!("{owner}\t{oid}\tm\t{properties}\n")).await {
            return Ok(());
        }
        let size_bytes = large_objects::size_bytes(session, oid).await?;
        let mut offset = 0;
        while offset < size_bytes {
            let piece = large_objects::read_chunk(session, oid, offset).await?;
            if piece.is_empty() {
                break;
            }
            let digits = hex::encode(&piece);
            if !line(chunks, format!("{owner}\t{oid}\t{offset}\t{digits}\n")).await {
                return Ok(());
            }
            offset += piece.len() as u64;
        }
    }
    Ok(())
}

/// Sends a line; false when the sealing thread is gone (its error is told).
async fn line(chunks: &mpsc::Sender<Vec<Bytes>>, line: String) -> bool {
    chunks.send(vec![Bytes::from(line)]).await.is_ok()
}

async fn find_owners(
    session: &Session,
    reading: &Reading,
    columns: &[OwnerColumn],
) -> Result<BTreeMap<u32, Owner>, OpsError> {
    let mut owners = BTreeMap::new();
    for OwnerColumn { table, column, owner } in columns {
        let classes = owner.as_ref().map(OwnerWays::classes).unwrap_or_default();
        let named = large_objects::owners(session, table, column, owner.as_ref()).await?;
        for (oid, key, verdict) in named {
            let reference = |class: usize| {
                let (class, key) = (classes.get(class)?, key.as_ref()?);
                let references = &reading.unlocked.references;
                Some(references.reference(reading.source, class, key.as_bytes()))
            };
            let reference = match verdict {
                Verdict::Has(class) => reference(class),
                Verdict::Lacks(class) => match reference(class) {
                    Some(lacking) if reading.keys.met(lacking)? != Met::Never => Some(lacking),
                    // Whose it is nobody knows: as if no row named it.
                    _ => continue,
                },
                Verdict::Nobody => None,
                Verdict::Nowhere => continue,
            };
            let found = Owner::One(reference);
            owners
                .entry(oid)
                .and_modify(|known| {
                    if *known != found {
                        *known = Owner::Several;
                    }
                })
                .or_insert(found);
        }
    }
    Ok(owners)
}
