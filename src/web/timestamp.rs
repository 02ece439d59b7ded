//! Times as pages show them: once for people, once for `<time datetime>`. UTC, since the server knows no other zone.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// A time, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timestamp {
    /// RFC 3339, for machines.
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
    fn a_time_is_shown_for_people_and_for_machines() {
        let at = DateTime::parse_from_rfc3339("2026-11-03T04:05:06.789Z")
            .unwrap()
            .to_utc();
        let moment = Timestamp::from(at);
        assert_eq!(moment.datetime, "2026-11-03T04:05:06Z");
        assert_eq!(moment.date, "3 November 2026");
        assert_eq!(moment.full, "3 November 2026, 04:05 UTC");
    }
}
