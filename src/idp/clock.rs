//! The provider's clock: the machine's, moved by an offset so that tests need not wait for something to expire.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

const MOST_SECONDS: i64 = 100 * 366 * 86_400;

/// Tells the time to everything in this room.
#[derive(Debug, Default)]
pub struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    /// Seconds since 1970, offset included.
    pub fn now(&self) -> i64 {
        Utc::now()
            .timestamp()
            .saturating_add(self.offset_seconds.load(Ordering::Relaxed))
    }

    /// Sets how far this clock is ahead of the machine's; negative when behind. A century at most, so that no sum overflows.
    pub fn set_offset(&self, seconds: i64) {
        self.offset_seconds
            .store(seconds.clamp(-MOST_SECONDS, MOST_SECONDS), Ordering::Relaxed);
    }
}

/// A time as Entra writes it into `timestamp`, such as `2023-12-11 22:54:25Z`.
pub fn timestamp(unix_seconds: i64) -> String {
    format(unix_seconds, "%Y-%m-%d %H:%M:%SZ")
}

/// A time as Entra writes it into sentences, such as `2023-12-11T23:52:19Z`.
pub fn rfc3339(unix_seconds: i64) -> String {
    format(unix_seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// A time as HTTP has it (RFC 9110 §5.6.7).
pub fn http_date(unix_seconds: i64) -> String {
    format(unix_seconds, "%a, %d %b %Y %H:%M:%S GMT")
}

fn format(unix_seconds: i64, pattern: &str) -> String {
    let time: Option<DateTime<Utc>> = DateTime::from_timestamp(unix_seconds, 0);
    time.map_or_else(|| unix_seconds.to_string(), |time| time.format(pattern).to_string())
}
