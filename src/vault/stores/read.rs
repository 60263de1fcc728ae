//! Reading from the nearest copy that authenticates, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{NamedStore, Stores, ready};
use crate::store::{ObjectName, Store, StoreError};
use crate::vault::OpsError;

/// The stores that objects are read from, and which copy of each was good.
pub struct Copies {
    stores: Vec<NamedStore>,
    /// A store that is away: what no other has may be there.
    away: Option<(String, String)>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    good: BTreeMap<ObjectName, usize>,
    /// Stores that failed to answer: asked last.
    silent: BTreeSet<usize>,
}

impl Copies {
    /// Copies in these stores, the nearest first.
    #[must_use]
    pub fn new(stores: Vec<NamedStore>) -> Self {
        Self { stores, away: None, seen: Mutex::default() }
    }

    /// Copies in a vault's stores.
    pub async fn of(stores: &Stores) -> Result<Self, OpsError> {
        let found = ready(stores).await?;
        Ok(Self::among(stores, found))
    }

    /// Copies in some of a vault's stores.
    #[must_use]
    pub fn among(all: &Stores, stores: Vec<NamedStore>) -> Self {
        Self { away: all.away().into_iter().next(), ..Self::new(stores) }
    }

    /// The stores.
    #[must_use]
    pub fn stores(&self) -> &[NamedStore] {
        &self.stores
    }

    /// The same object read from one store after the other, until a copy is good.
    pub fn attempts(&self, name: &ObjectName) -> Attempts<'_> {
        let seen = self.seen();
        let mut order: Vec<usize> = (0..self.stores.len()).collect();
        let good = seen.good.get(name).copied();
        order.sort_by_key(|place| (Some(*place) != good, seen.silent.contains(place), *place));
        order.reverse();
        Attempts { copies: self, name: name.clone(), left: order, at: 0, failure: None }
    }

    /// Notes that a store's copy was seen to be good.
    pub fn is_good(&self, name: &ObjectName, place: usize) {
        self.seen().good.insert(name.clone(), place);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One store after the other.
pub struct Attempts<'a> {
    copies: &'a Copies,
    name: ObjectName,
    left: Vec<usize>,
    at: usize,
    failure: Option<OpsError>,
}

impl<'a> Attempts<'a> {
    /// The store to try next.
    pub fn next_store(&mut self) -> Option<&'a dyn Store> {
        self.at = self.left.pop()?;
        Some(&*self.copies.stores[self.at].store)
    }

    /// The copy is good: later reads of the object begin here.
    pub fn succeeded<T>(&self, value: T) -> T {
        self.copies.is_good(&self.name, self.at);
        value
    }

    /// The copy is not good, or could not be had.
    ///
    /// # Errors
    /// The error itself where no other copy could help.
    pub fn failed(&mut self, error: impl Into<OpsError>) -> Result<(), OpsError> {
        let error = error.into();
        if !matches!(error, OpsError::Store(_) | OpsError::Container(_)) {
            return Err(error);
        }
        if matches!(
            error,
            OpsError::Store(StoreError::Connection { .. } | StoreError::Unreachable { .. })
        ) {
            self.copies.seen().silent.insert(self.at);
        }
        // Where one copy could not be had, nobody can say that the object is damaged.
        match &self.failure {
            Some(before) if !before.is_damage() || error.is_damage() => {}
            _ => self.failure = Some(error),
        }
        Ok(())
    }

    /// Why there is no good copy.
    #[must_use]
    pub fn error(self) -> OpsError {
        match (self.failure, &self.copies.away) {
            (None | Some(OpsError::Store(StoreError::NotFound { .. })), Some((name, reason))) => {
                let location = format!("`{name}`, where `{}` may be", self.name);
                let source = std::io::Error::other(reason.clone());
                StoreError::Unreachable { location, source }.into()
            }
            (Some(failure), _) => failure,
            (None, None) => {
                let location = "any other store".to_owned();
                StoreError::NotFound { location, name: self.name.to_string() }.into()
            }
        }
    }
}
