//! The system's clock, which a test can set forward instead of waiting.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock; its clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_seconds: Arc<AtomicU64>,
}

impl Clock {
    /// Date and time, for the times inside tokens and certificates.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + Duration::from_secs(self.ahead_seconds.load(Ordering::Relaxed))
    }
    /// Monotonic time since a fixed moment, for intervals.
    pub fn elapsed(&self) -> Duration {
        START.elapsed() + Duration::from_secs(self.ahead_seconds.load(Ordering::Relaxed))
    }
    /// Sets the clock forward by whole seconds. For tests.
    pub fn advance(&self, by: Duration) {
        self.ahead_seconds.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}
