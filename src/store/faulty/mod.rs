//! A store that fails on purpose, wrapped around one that works. [`Fault`] says which faults there
//! are, and [`Operation::faults`] where each can happen.
//!
//! They stand for what is left of a failure once a store's own retries are used up. Faults are given
//! per call ([`FaultyStore::inject`]) or drawn from a seed ([`FaultyStore::seeded`]); the same calls
//! with the same seed meet the same faults, whatever else goes on at the same time. Only debug builds
//! have this module. In them, `STRONGROOM_STORE_FAULTS` (a text of [`Faults`]) wraps every store that
//! the program opens, and [`stand_in`] one place of a process.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Capabilities, ConnectionProblem, Leftover, Lock, ObjectInfo, ObjectName, ObjectWriter,
    OldVersion, Store, StoreError,
};

mod plan;
mod stand_in;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use stand_in::standing_in;
pub use stand_in::{StandIn, stand_in};

pub use plan::{Fault, Faults, Operation};
use plan::{Plan, mix};
use writer::FaultyWriter;

/// The environment variable that makes every store of the process faulty.
pub const VARIABLE: &str = "STRONGROOM_STORE_FAULTS";

/// How many changes a stale list does not show yet.
const UNSEEN_MAX: usize = 8;

/// A store that fails on purpose.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Mutex<Plan>>,
    recent: Arc<Mutex<Recent>>,
}

/// The last changes, for lists that lag behind.
#[derive(Default)]
struct Recent {
    written: VecDeque<ObjectName>,
    deleted: VecDeque<ObjectInfo>,
}

impl FaultyStore {
    /// A wrapper that injects nothing until it is told to.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self::with(inner, Faults::default())
    }

    /// A wrapper in which `per_mille` of a thousand calls fail, chosen by `seed`, lies included.
    #[must_use]
    pub fn seeded(inner: Arc<dyn Store>, seed: u64, per_mille: u64) -> Self {
        Self::with(inner, Faults { seed, per_mille, lies: true, ..Faults::default() })
    }

    /// A wrapper with these faults.
    #[must_use]
    pub fn with(inner: Arc<dyn Store>, faults: Faults) -> Self {
        let plan = Plan::new(faults);
        Self { inner, plan: Arc::new(Mutex::new(plan)), recent: Arc::default() }
    }

    /// Lets the `call`-th call of an operation from the beginning, counted from 1, have a fault.
    /// One that the operation cannot have ([`Operation::faults`]) is never injected.
    pub fn inject(&self, operation: Operation, call: u64, fault: Fault) {
        self.plan().faults.given.insert((operation, call), fault);
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

    /// Goes on with other faults, and counts calls and what is injected anew. A stale list still
    /// knows the changes before.
    pub fn go_on(&self, faults: Faults) {
        *self.plan() = Plan::new(faults);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of this call, and whether its work is done nevertheless.
    fn next(&self, operation: Operation, name: &str) -> Option<(Fault, bool)> {
        let (fault, even) = self.plan().next(operation, name)?;
        Some((fault, fault == Fault::ErrorAfter || (fault == Fault::TimeOut && even)))
    }

    fn failure(&self, name: &str, fault: Fault) -> StoreError {
        let text = match fault {
            Fault::TimeOut => {
                let problem = ConnectionProblem::Silent { host: "the store".to_owned() };
                return StoreError::Connection { location: self.location(), problem };
            }
            Fault::Full => {
                let full = rustix::io::Errno::NOSPC.into();
                return StoreError::writing(&self.location(), name, full);
            }
            Fault::ErrorAfter => "injected after the work was done",
            Fault::Reset => "injected: the connection was reset in the body",
            Fault::SlowDown => "injected: SlowDown, HTTP status 503",
            Fault::Abandoned => "injected: the upload broke off",
            _ => "injected: InternalError, HTTP status 500",
        };
        StoreError::writing(&self.location(), name, io::Error::other(text))
    }

    /// A call whose faults are errors, before or after it.
    async fn with_errors<T>(
        &self,
        operation: Operation,
        name: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.next(operation, name) {
            None => call.await,
            Some((fault, done)) => {
                if done {
                    call.await?;
                }
                Err(self.failure(name, fault))
            }
        }
    }

    fn writer(&self, name: &ObjectName, inner: Box<dyn ObjectWriter>) -> Box<dyn ObjectWriter> {
        Box::new(FaultyWriter::new(self.clone(), name.clone(), inner))
    }

    /// The list before the last few changes that were made through this wrapper.
    fn stale(&self, prefix: &str, mut list: Vec<ObjectInfo>) -> Vec<ObjectInfo> {
        let recent = self.recent();
        list.retain(|object| !recent.written.contains(&object.name));
        let seen_still = |object: &&ObjectInfo| object.name.as_str().starts_with(prefix);
        list.extend(recent.deleted.iter().filter(seen_still).cloned());
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.dedup_by(|a, b| a.name == b.name);
        list
    }
}

/// The same bytes but for one bit in their middle.
fn flipped(bytes: &Bytes) -> Bytes {
    let mut flipped = bytes.to_vec();
    if let Some(byte) = flipped.get_mut(bytes.len() / 2) {
        *byte ^= 1;
    }
    flipped.into()
}

fn remember<T>(recent: &mut VecDeque<T>, what: T) {
    recent.push_back(what);
    if recent.len() > UNSEEN_MAX {
        recent.pop_front();
    }
}

/// Wraps a store as [`VARIABLE`] says. Every store that a process opens has faults of its own.
pub(super) fn from_environment(store: Arc<dyn Store>) -> Result<Arc<dyn Store>, StoreError> {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) else {
        return Ok(store);
    };
    let mut faults: Faults = text.parse().map_err(|error| StoreError::Unsupported {
        location: store.location(),
        reason: format!("{VARIABLE} is wrong: {error}"),
    })?;
    faults.seed ^= mix(OPENED.fetch_add(1, Ordering::Relaxed));
    Ok(Arc::new(FaultyStore::with(store, faults)))
}

#[async_trait]
impl Store for FaultyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn create(&self, name: &ObjectName) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let create = self.inner.create(name);
        let inner = self.with_errors(Operation::Create, name.as_str(), create).await?;
        Ok(self.writer(name, inner))
    }

    async fn create_locked(
        &self,
        name: &ObjectName,
        lock: &Lock,
    ) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let create = self.inner.create_locked(name, lock);
        let inner = self.with_errors(Operation::Create, name.as_str(), create).await?;
        Ok(self.writer(name, inner))
    }

    async fn read_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let fault = self.next(Operation::ReadRange, name.as_str()).map(|(fault, _)| fault);
        if let Some(fault @ (Fault::ServerError | Fault::SlowDown | Fault::TimeOut)) = fault {
            return Err(self.failure(name.as_str(), fault));
        }
        let mut bytes = self.inner.read_range(name, offset, length).await?;
        match fault {
            Some(Fault::ShortRead) => bytes.truncate(bytes.len() / 2),
            Some(Fault::FlippedBit) => bytes = flipped(&bytes),
            None => {}
            Some(fault) => return Err(self.failure(name.as_str(), fault)),
        }
        Ok(bytes)
    }

    async fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
        self.with_errors(Operation::Size, name.as_str(), self.inner.size(name)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        match self.next(Operation::List, prefix) {
            None => self.inner.list(prefix).await,
            Some((Fault::Stale, _)) => Ok(self.stale(prefix, self.inner.list(prefix).await?)),
            Some((fault, _)) => Err(self.failure(prefix, fault)),
        }
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let delete = async {
            let bytes = self.inner.size(name).await.ok();
            self.inner.delete(name).await?;
            if let Some(bytes) = bytes {
                remember(&mut self.recent().deleted, ObjectInfo { name: name.clone(), bytes });
            }
            Ok(())
        };
        self.with_errors(Operation::Delete, name.as_str(), delete).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.with_errors(Operation::Leftovers, "*", self.inner.leftovers()).await
    }

    async fn remove_leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        self.with_errors(Operation::Leftovers, "*", self.inner.remove_leftovers()).await
    }

    async fn lock_of(&self, name: &ObjectName) -> Result<Lock, StoreError> {
        self.with_errors(Operation::Lock, name.as_str(), self.inner.lock_of(name)).await
    }

    async fn lock(&self, name: &ObjectName, lock: &Lock) -> Result<(), StoreError> {
        self.with_errors(Operation::Lock, name.as_str(), self.inner.lock(name, lock)).await
    }

    async fn old_versions(&self, prefix: &str) -> Result<Vec<OldVersion>, StoreError> {
        self.with_errors(Operation::Versions, prefix, self.inner.old_versions(prefix)).await
    }

    async fn bring_back(&self, name: &ObjectName) -> Result<bool, StoreError> {
        let bring_back = self.inner.bring_back(name);
        self.with_errors(Operation::Versions, name.as_str(), bring_back).await
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.inner.probe().await
    }
}
