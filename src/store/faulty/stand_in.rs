//! A faulty store in the place of one that works, for whoever opens that place in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::FaultyStore;
use crate::store::Store;

/// Places and what stands in for them.
static PLACES: Mutex<BTreeMap<String, FaultyStore>> = Mutex::new(BTreeMap::new());

/// Ends the standing in when it is dropped.
#[must_use]
pub struct StandIn {
    place: String,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        places().remove(&self.place);
    }
}

/// Lets whoever opens `place`, written exactly so, get `store`, until what is returned is dropped.
pub fn stand_in(place: &str, store: &FaultyStore) -> StandIn {
    places().insert(place.to_owned(), store.clone());
    StandIn { place: place.to_owned() }
}

/// What stands in for a place.
pub(in crate::store) fn standing_in(place: &str) -> Option<Arc<dyn Store>> {
    let store = places().get(place).cloned()?;
    Some(Arc::new(store))
}

fn places() -> MutexGuard<'static, BTreeMap<String, FaultyStore>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}
