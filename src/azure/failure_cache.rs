//! Failures of the last few seconds. A request that waited for a failed attempt, or that follows it, gets the same error at once
//! instead of waiting for the same outage again.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::AzureError;

/// Short enough that a person who tries again starts a new attempt.
const LIFETIME: Duration = Duration::from_secs(5);

/// The last failure for each key.
pub(super) struct FailureCache<K>(Mutex<HashMap<K, (Instant, AzureError)>>);

impl<K> Default for FailureCache<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> FailureCache<K> {
    pub(super) fn get(&self, key: &K) -> Option<AzureError> {
        let failures = self.0.lock();
        failures
            .get(key)
            .filter(|(at, _)| at.elapsed() < LIFETIME)
            .map(|(_, error)| error.clone())
    }

    pub(super) fn insert(&self, key: K, error: &AzureError) {
        self.0.lock().insert(key, (Instant::now(), error.clone()));
    }
}
