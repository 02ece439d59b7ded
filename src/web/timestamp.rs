//! Times as pages show them: for readers, and for `<time datetime>`. In UTC, because the server does not know the
//! reader's time zone.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// A time, formatted for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timestamp {
    /// RFC 3339, for programs.
    pub datetime: String,
    /// Such as `23 November 2026`.
    pub date: String,
    /// Such as `23 November 2026, 14:05 UTC`.
    pub full: String,
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self {
            datetime: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            date: at.format("%-d %B %Y").to_string(),
            full: at.format("%-d %B %Y, %H:%M UTC").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_for_readers_and_for_programs() {
        let at = DateTime::parse_from_rfc3339("2026-11-03T04:05:06.789Z")
            .unwrap()
            .to_utc();
        let timestamp = Timestamp::from(at);
        assert_eq!(timestamp.datetime, "2026-11-03T04:05:06Z");
        assert_eq!(timestamp.date, "3 November 2026");
        assert_eq!(timestamp.full, "3 November 2026, 04:05 UTC");
    }
}
