//! What has just failed is not tried again for a few seconds: whoever has waited for it, and whoever comes right after, is told
//! the same at once, instead of each waiting for the same outage in turn.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::AzureError;

/// So long; a person who tries again has new luck.
const KEPT: Duration = Duration::from_secs(5);

/// The last failures, by what failed.
pub(super) struct RecentFailures<K>(Mutex<HashMap<K, (Instant, AzureError)>>);

impl<K> Default for RecentFailures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> RecentFailures<K> {
    pub(super) fn of(&self, key: &K) -> Option<AzureError> {
        let kept = self.0.lock();
        kept.get(key)
            .filter(|(at, _)| at.elapsed() < KEPT)
            .map(|(_, error)| error.clone())
    }

    pub(super) fn keep(&self, key: K, error: &AzureError) {
        self.0.lock().insert(key, (Instant::now(), error.clone()));
    }
}
