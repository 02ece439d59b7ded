//! The emulator's clock: the system clock plus an offset, so that tests need not wait until something expires.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

const MOST_SECONDS: i64 = 100 * 366 * 86_400;

#[derive(Debug, Default)]
pub struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    /// Seconds since 1970, including the offset.
    pub fn now(&self) -> i64 {
        Utc::now()
            .timestamp()
            .saturating_add(self.offset_seconds.load(Ordering::Relaxed))
    }

    /// Sets how far this clock is ahead of the system clock; negative means behind. Limited to a century, so that no
    /// sum overflows.
    pub fn set_offset(&self, seconds: i64) {
        self.offset_seconds
            .store(seconds.clamp(-MOST_SECONDS, MOST_SECONDS), Ordering::Relaxed);
    }
}

/// Entra's format in `timestamp`, such as `2023-12-11 22:54:25Z`.
pub fn timestamp(unix_seconds: i64) -> String {
    format(unix_seconds, "%Y-%m-%d %H:%M:%SZ")
}

/// Entra's format in messages, such as `2023-12-11T23:52:19Z`.
pub fn rfc3339(unix_seconds: i64) -> String {
    format(unix_seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// HTTP's format (RFC 9110 §5.6.7).
pub fn http_date(unix_seconds: i64) -> String {
    format(unix_seconds, "%a, %d %b %Y %H:%M:%S GMT")
}

fn format(unix_seconds: i64, pattern: &str) -> String {
    let time: Option<DateTime<Utc>> = DateTime::from_timestamp(unix_seconds, 0);
    time.map_or_else(|| unix_seconds.to_string(), |time| time.format(pattern).to_string())
}
