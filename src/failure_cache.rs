//! Failures of the last few seconds. A request that waited for a failed attempt, or that follows it, gets the same error at once
//! instead of waiting for the same outage again.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Short enough that a person who tries again starts a new attempt.
const LIFETIME: Duration = Duration::from_secs(5);

/// The last failure for each key.
pub(crate) struct FailureCache<K, E>(Mutex<HashMap<K, (Instant, E)>>);

impl<K, E> Default for FailureCache<K, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, E: Clone> FailureCache<K, E> {
    pub(crate) fn get(&self, key: &K) -> Option<E> {
        let failures = self.0.lock();
        failures
            .get(key)
            .filter(|(at, _)| at.elapsed() < LIFETIME)
            .map(|(_, error)| error.clone())
    }

    pub(crate) fn insert(&self, key: K, error: &E) {
        self.0.lock().insert(key, (Instant::now(), error.clone()));
    }
}
