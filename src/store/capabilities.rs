//! What a store was seen to do, and what follows from that.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ObjectName, Store, StoreError};
use crate::base::clock::{Clock, SystemClock};
use crate::base::random;

crate::words! {
    /// Something that stores differ in.
    Capability, "capability of a store",
    /// An object written with one request never replaces another.
    ConditionalPut = "conditional-put",
    /// An object written in parts never replaces another.
    ConditionalMultipart = "conditional-multipart",
    /// A write may carry its checksum in a header.
    ChecksumHeader = "checksum-header",
    /// Bytes that were changed on their way are refused.
    Checksums = "checksums",
    /// A part of an object can be read.
    Ranges = "ranges",
    /// What was written is listed at once, and what was deleted no more.
    Listing = "listing",
    /// A deleted object is gone, with all its versions.
    Deleting = "deleting",
    /// An overwritten or deleted object is kept below the new state.
    Versioning = "versioning",
    /// An object can be locked until a date.
    ObjectLock = "object-lock",
    /// Objects that ask for nothing are locked too.
    DefaultRetention = "default-retention",
}

crate::words! {
    /// What was seen.
    Verdict, "verdict",
    /// It does.
    Yes = "yes",
    /// It does not.
    No = "no",
    /// It could not be seen.
    Unknown = "unknown",
}

/// One capability as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether the store has it.
    pub verdict: Verdict,
    /// What follows from that, as one sentence without its full stop.
    pub consequence: String,
}

/// What a store was seen to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// When it was looked at.
    pub probed_at: DateTime<Utc>,
    /// What was seen, by capability.
    pub findings: BTreeMap<Capability, Finding>,
}

impl Capabilities {
    pub(super) fn new() -> Self {
        Self { probed_at: SystemClock.now(), findings: BTreeMap::new() }
    }

    pub(super) fn found(
        &mut self,
        capability: Capability,
        verdict: Verdict,
        consequence: impl Into<String>,
    ) {
        self.findings.insert(capability, Finding { verdict, consequence: consequence.into() });
    }

    /// What was seen of a capability; `Unknown` where nobody looked.
    #[must_use]
    pub fn verdict(&self, capability: Capability) -> Verdict {
        self.findings.get(&capability).map_or(Verdict::Unknown, |finding| finding.verdict)
    }

    /// What its owner should know before anything is kept there, as sentences without full stops.
    pub fn worth_knowing(&self) -> impl Iterator<Item = &str> {
        let finding = self.findings.get(&Capability::ChecksumHeader);
        let finding = finding.filter(|finding| finding.verdict == Verdict::No);
        finding.into_iter().map(|finding| finding.consequence.as_str())
    }

    /// What makes the store unfit for a vault: nothing makes up for these.
    pub fn unfit(&self) -> impl Iterator<Item = (Capability, &Finding)> {
        [Capability::Ranges, Capability::Listing, Capability::Deleting].into_iter().filter_map(
            |needed| {
                let finding = self.findings.get(&needed)?;
                (finding.verdict != Verdict::Yes).then_some((needed, finding))
            },
        )
    }
}

/// A fresh name that no object has.
pub(super) fn fresh(kind: &str) -> String {
    format!("{kind}-{}", hex::encode(random::bytes::<8>(&mut random::system())))
}

/// Looks at a store through nothing but what every store has. Leaves nothing behind.
pub(super) async fn probe_any<S: Store + ?Sized>(store: &S) -> Result<Capabilities, StoreError> {
    let mut seen = Capabilities::new();
    let text = fresh("probe");
    let name: ObjectName = text.parse().map_err(|error| StoreError::Io {
        location: store.location(),
        name: text.clone(),
        source: std::io::Error::other(error),
    })?;
    put(store, &name, b"0123456789").await?;
    let again = put(store, &name, b"replaced").await;
    let kept = matches!(again, Err(StoreError::AlreadyExists { .. }));
    if let Err(error) = again
        && !kept
    {
        return Err(error);
    }
    let (verdict, says) = if kept {
        (Verdict::Yes, "an object is never replaced")
    } else {
        (Verdict::No, "objects can be replaced here")
    };
    seen.found(Capability::ConditionalPut, verdict, says);
    let part = store.read_range(&name, 3, 4).await?;
    let whole = if part == "3456" { Verdict::Yes } else { Verdict::No };
    seen.found(Capability::Ranges, whole, "parts of objects are read by themselves");
    let listed = store.list(&text).await?.len() == 1;
    store.delete(&name).await?;
    let gone = store.list(&text).await?.is_empty();
    let verdict = |good| if good { Verdict::Yes } else { Verdict::No };
    seen.found(Capability::Listing, verdict(listed), "what is written is listed at once");
    seen.found(Capability::Deleting, verdict(gone), "what is deleted is gone at once");
    for (capability, says) in [
        (Capability::Versioning, "whoever can write here can destroy objects for good"),
        (Capability::ObjectLock, "nothing keeps objects from being deleted"),
    ] {
        seen.found(capability, Verdict::No, says);
    }
    Ok(seen)
}

/// Writes an object, reads it and removes it again.
///
/// # Errors
/// What keeps the store from taking objects, giving them back or letting them go.
pub async fn try_writing(store: &dyn Store) -> Result<(), StoreError> {
    const CONTENTS: &[u8] = b"written, read and removed";
    let text = fresh("probe");
    let io = |source| StoreError::Io { location: store.location(), name: text.clone(), source };
    let name: ObjectName = text.parse().map_err(|error| io(std::io::Error::other(error)))?;
    put(store, &name, CONTENTS).await?;
    let read = store.read_range(&name, 0, CONTENTS.len() as u64).await;
    let removed = store.delete(&name).await;
    if read? != CONTENTS {
        return Err(io(std::io::Error::other("it gives back other bytes than were written")));
    }
    removed
}

async fn put<S: Store + ?Sized>(
    store: &S,
    name: &ObjectName,
    contents: &'static [u8],
) -> Result<(), StoreError> {
    let mut writer = store.create(name).await?;
    writer.write(Bytes::from_static(contents)).await?;
    writer.finish().await.map(|_| ())
}

/// What the store at a place can do, seen with real objects. They are removed again.
///
/// # Errors
/// As [`super::open`], and whatever the store reports.
pub async fn probe(place: &str) -> Result<Capabilities, StoreError> {
    let store: Arc<dyn Store> = super::open(place)?;
    store.probe().await
}
