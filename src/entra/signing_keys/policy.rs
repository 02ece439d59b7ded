//! When signing keys are fetched, and how long they are used.

use std::time::Duration;

/// The intervals for signing keys.
#[derive(Debug, Clone)]
pub struct KeyPolicy {
    /// Age at which keys are refreshed in the background; earlier if the provider says so (`Cache-Control`).
    pub refresh_after: Duration,
    /// Lower bound for the age that the provider may ask for.
    pub refresh_not_before: Duration,
    /// A random part of this is added to `refresh_after`, so that replicas do not all refresh at once.
    pub refresh_jitter: Duration,
    /// Age at which keys must no longer be used. During an outage of the provider, the last good keys serve this long.
    pub expire_after: Duration,
    /// Unknown `kid`s lead to one fetch at most in this time.
    pub unknown_kid_interval: Duration,
    /// Delay after a failed refresh.
    pub retry_after: Duration,
    /// Delay after a failed fetch while there are no keys, so that every request fails.
    pub retry_without_keys_after: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_hours(1),
            refresh_not_before: Duration::from_mins(5),
            refresh_jitter: Duration::from_mins(6),
            expire_after: Duration::from_hours(24),
            unknown_kid_interval: Duration::from_mins(5),
            retry_after: Duration::from_mins(1),
            retry_without_keys_after: Duration::from_secs(1),
        }
    }
}
