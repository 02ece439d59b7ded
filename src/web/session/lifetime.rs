//! How long sessions and their tokens live.

use std::time::{Duration, Instant};

use moka::Expiry;

use crate::config::ClientSettings;

/// The limits of a session's lifetime.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Longest time without use.
    pub idle: Duration,
    /// Longest time in total.
    pub max: Duration,
}

impl Lifetime {
    /// The limits in the settings.
    pub fn from_settings(settings: &ClientSettings) -> Self {
        Self {
            idle: settings.session_idle,
            max: settings.session_max,
        }
    }

    /// How long a record that began at `started` and is used at `now` lives without further use.
    pub fn left(self, started: Instant, now: Instant) -> Duration {
        self.idle
            .min(self.max.saturating_sub(now.saturating_duration_since(started)))
    }
}

/// A record with a start time.
pub trait Started {
    /// When the record was created.
    fn started(&self) -> Instant;
}

/// Expires records like sessions: each use extends them.
pub struct SessionExpiry(pub Lifetime);

impl<K, R: Started> Expiry<K, R> for SessionExpiry {
    fn expire_after_create(&self, _: &K, record: &R, now: Instant) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }

    fn expire_after_read(&self, _: &K, record: &R, now: Instant, _: Option<Duration>, _: Instant) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }

    fn expire_after_update(&self, _: &K, record: &R, now: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_prolongs_a_session_but_not_beyond_its_longest_time() {
        let lifetime = Lifetime {
            idle: Duration::from_mins(1),
            max: Duration::from_secs(100),
        };
        let start = Instant::now();
        let left = |after| lifetime.left(start, start + Duration::from_secs(after)).as_secs();
        assert_eq!(
            [left(0), left(30), left(50), left(99), left(100), left(500)],
            [60, 60, 50, 1, 0, 0]
        );
    }
}
