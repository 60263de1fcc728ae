//! A store that fails on purpose, wrapped around one that works. It injects exactly these faults:
//!
//! - [`Fault::ErrorBefore`]: the call does nothing and reports an I/O error.
//! - [`Fault::ErrorAfter`]: the call does its work and then reports an I/O error.
//! - [`Fault::Full`]: the call does nothing and reports that the store is full (`ENOSPC`).
//! - [`Fault::ShortRead`]: a read returns the first half of its bytes and calls that a success.
//! - [`Fault::FlippedBit`]: a read returns its bytes with one bit flipped.
//! - [`Fault::Torn`]: a write, and every later write to that object, is dropped and reported as
//!   done; finishing tells the length and digest of all bytes that were handed over.
//!
//! Faults are given per call ([`FaultyStore::inject`]) or drawn from a seed
//! ([`FaultyStore::seeded`]); the same calls with the same seed meet the same faults. Only debug
//! builds have this module.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Leftover, ObjectInfo, ObjectName, ObjectWriter, Store, StoreError, Written};
use crate::ids::Digest;

/// What goes wrong; see the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and an error is reported.
    ErrorBefore,
    /// All is done and an error is reported.
    ErrorAfter,
    /// Nothing is done: the store is full.
    Full,
    /// Half of the bytes come back, as a success.
    ShortRead,
    /// The bytes come back with one bit flipped.
    FlippedBit,
    /// The bytes of this write and all later ones are lost, as a success.
    Torn,
}

/// Where a fault can be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`Store::create`].
    Create,
    /// [`ObjectWriter::write`].
    Write,
    /// [`ObjectWriter::finish`].
    Finish,
    /// [`Store::read_range`].
    ReadRange,
    /// [`Store::size`].
    Size,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
}

impl Operation {
    /// The faults that this operation can have.
    #[must_use]
    pub fn faults(self) -> &'static [Fault] {
        use Fault::{ErrorAfter, ErrorBefore, FlippedBit, Full, ShortRead, Torn};
        match self {
            Self::Create => &[ErrorBefore, Full],
            Self::Write => &[ErrorBefore, ErrorAfter, Full, Torn],
            Self::Finish => &[ErrorBefore, ErrorAfter, Full],
            Self::ReadRange => &[ErrorBefore, ErrorAfter, ShortRead, FlippedBit],
            Self::Size | Self::List => &[ErrorBefore],
            Self::Delete => &[ErrorBefore, ErrorAfter],
        }
    }
}

/// A store that fails on purpose.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    /// Faults by operation and by the number of the call, from 1.
    given: BTreeMap<(Operation, u64), Fault>,
    /// A seed, and how many calls of a thousand fail.
    drawn: Option<(u64, u64)>,
    calls: BTreeMap<Operation, u64>,
    injected: Vec<(Operation, u64, Fault)>,
}

impl FaultyStore {
    /// A wrapper that injects nothing until it is told to.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// A wrapper in which `per_mille` of a thousand calls fail, chosen by `seed`.
    #[must_use]
    pub fn seeded(inner: Arc<dyn Store>, seed: u64, per_mille: u64) -> Self {
        let plan = Plan { drawn: Some((seed, per_mille)), ..Plan::default() };
        Self { inner, plan: Arc::new(Mutex::new(plan)) }
    }

    /// Lets the `call`-th call of an operation from the beginning, counted from 1, have a fault.
    /// One that the operation cannot have ([`Operation::faults`]) is never injected.
    pub fn inject(&self, operation: Operation, call: u64, fault: Fault) {
        self.plan().given.insert((operation, call), fault);
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plan().calls.get(&operation).copied().unwrap_or(0)
    }

    /// What was injected so far: operation, number of the call, fault.
    #[must_use]
    pub fn injected(&self) -> Vec<(Operation, u64, Fault)> {
        self.plan().injected.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says what goes wrong with it.
    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.plan();
        let calls = plan.calls.entry(operation).or_default();
        *calls += 1;
        let call = *calls;
        let possible = operation.faults();
        let given = plan.given.get(&(operation, call)).copied();
        let fault = given.filter(|fault| possible.contains(fault)).or_else(|| {
            let (seed, per_mille) = plan.drawn?;
            let draw = mix(seed ^ mix(call ^ mix(operation as u64)));
            let chosen = usize::try_from((draw >> 32) % possible.len() as u64).ok()?;
            (draw % 1000 < per_mille).then(|| possible[chosen])
        })?;
        plan.injected.push((operation, call, fault));
        Some(fault)
    }

    fn failure(&self, name: &str, fault: Fault) -> StoreError {
        let source = match fault {
            Fault::Full => rustix::io::Errno::NOSPC.into(),
            Fault::ErrorAfter => io::Error::other("injected after the work was done"),
            _ => io::Error::other("injected before any work was done"),
        };
        StoreError::writing(&self.location(), name, source)
    }

    /// A call whose faults are errors, before or after it.
    async fn with_errors<T>(
        &self,
        operation: Operation,
        name: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.next(operation) {
            None => call.await,
            Some(fault @ Fault::ErrorAfter) => {
                call.await?;
                Err(self.failure(name, fault))
            }
            Some(fault) => Err(self.failure(name, fault)),
        }
    }
}

/// `SplitMix64`'s output function: a different number for every number.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Wraps a store as `STRONGROOM_STORE_FAULTS` says.
pub(super) fn from_environment(store: Arc<dyn Store>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(store)
}

#[async_trait]
impl Store for FaultyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let create = self.inner.create(name);
        let inner = self.with_errors(Operation::Create, name.as_str(), create).await?;
        let (store, name) = (self.clone(), name.clone());
        Ok(Box::new(FaultyWriter {
            store,
            name,
            inner,
            torn: false,
            bytes: 0,
            sha256: Sha256::new(),
        }))
    }

    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let fault = self.next(Operation::ReadRange);
        if let Some(fault @ Fault::ErrorBefore) = fault {
            return Err(self.failure(name.as_str(), fault));
        }
        let mut bytes = self.inner.read_range(name, offset, length).await?;
        match fault {
            Some(fault @ Fault::ErrorAfter) => return Err(self.failure(name.as_str(), fault)),
            Some(Fault::ShortRead) => bytes.truncate(bytes.len() / 2),
            Some(Fault::FlippedBit) if !bytes.is_empty() => {
                let mut flipped = bytes.to_vec();
                let middle = flipped.len() / 2;
                flipped[middle] ^= 1;
                bytes = flipped.into();
            }
            _ => {}
        }
        Ok(bytes)
    }

    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
        self.with_errors(Operation::Size, name.as_str(), self.inner.size(name)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.with_errors(Operation::List, prefix, self.inner.list(prefix)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.with_errors(Operation::Delete, name.as_str(), self.inner.delete(name)).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.inner.leftovers().await
    }

    async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.inner.remove_leftovers().await
    }
}

struct FaultyWriter {
    store: FaultyStore,
    name: ObjectName,
    inner: Box<dyn ObjectWriter>,
    torn: bool,
    bytes: u64,
    sha256: Sha256,
}

#[async_trait]
impl ObjectWriter for FaultyWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        self.sha256.update(&bytes);
        let fault = self.store.next(Operation::Write);
        self.torn |= fault == Some(Fault::Torn);
        match fault {
            _ if self.torn => Ok(()),
            None => self.inner.write(bytes).await,
            Some(fault) => {
                if fault == Fault::ErrorAfter {
                    self.inner.write(bytes).await?;
                }
                Err(self.store.failure(self.name.as_str(), fault))
            }
        }
    }

    async fn finish(self: Box<Self>) -> Result<Written, StoreError> {
        let Self { store, name, inner, torn, bytes, sha256 } = *self;
        let finish = inner.finish();
        let written = store.with_errors(Operation::Finish, name.as_str(), finish).await?;
        let pretended = Written { bytes, sha256: Digest(sha256.finalize().into()) };
        Ok(if torn { pretended } else { written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::directory::DirectoryStore;

    fn stored(root: &tempfile::TempDir) -> Arc<dyn Store> {
        Arc::new(DirectoryStore::create(root.path()).unwrap())
    }

    fn name(text: &str) -> ObjectName {
        text.parse().unwrap()
    }

    async fn put(store: &dyn Store, object: &str) -> Result<Written, StoreError> {
        let mut writer = store.create(&name(object)).await?;
        writer.write(Bytes::from_static(b"01234")).await?;
        writer.write(Bytes::from_static(b"56789")).await?;
        writer.finish().await
    }

    #[tokio::test]
    async fn a_finish_that_fails_after_its_work_leaves_the_whole_object() {
        let root = tempfile::tempdir().unwrap();
        let store = FaultyStore::new(stored(&root));
        store.inject(Operation::Finish, 1, Fault::ErrorAfter);
        store.inject(Operation::Finish, 2, Fault::Full);
        assert!(matches!(put(&store, "after").await, Err(StoreError::Io { .. })));
        assert_eq!(store.size(&name("after")).await.unwrap(), 10);
        assert!(matches!(put(&store, "full").await, Err(StoreError::Full { .. })));
        assert!(matches!(store.size(&name("full")).await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.injected().len(), 2);
        assert_eq!(store.calls(Operation::Finish), 2);
    }

    #[tokio::test]
    async fn reads_are_cut_and_flipped_as_told() {
        let root = tempfile::tempdir().unwrap();
        let store = FaultyStore::new(stored(&root));
        put(&store, "a").await.unwrap();
        store.inject(Operation::ReadRange, 1, Fault::ShortRead);
        store.inject(Operation::ReadRange, 2, Fault::FlippedBit);
        let read = async || store.read_range(&name("a"), 0, 10).await.unwrap();
        assert_eq!(read().await, "01234");
        assert_eq!(read().await, "0123446789");
        assert_eq!(read().await, "0123456789");
    }

    #[tokio::test]
    async fn a_torn_object_pretends_to_be_whole() {
        let root = tempfile::tempdir().unwrap();
        let inner = stored(&root);
        let whole = put(&*inner, "whole").await.unwrap();
        let store = FaultyStore::new(inner);
        store.inject(Operation::Write, 2, Fault::Torn);
        assert_eq!(put(&store, "torn").await.unwrap(), whole);
        assert_eq!(store.size(&name("torn")).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let mut seen = Vec::new();
        for seed in [7, 7, 8] {
            let root = tempfile::tempdir().unwrap();
            let store = FaultyStore::seeded(stored(&root), seed, 200);
            for number in 0..30 {
                let _ = put(&store, &number.to_string()).await;
            }
            seen.push(store.injected());
        }
        assert!(!seen[0].is_empty());
        assert_eq!(seen[0], seen[1]);
        assert_ne!(seen[0], seen[2]);
    }
}
