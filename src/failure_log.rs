//! Logs a repeated failure once when it begins, again when its message changes, and once when it ends. Otherwise every
//! request that fails would fill the log.

use std::time::Duration;

use parking_lot::Mutex;

/// A failure whose message keeps changing is logged at most once in this time.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// The state of one kind of failure in the log.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    reported: Mutex<Option<Reported>>,
}

#[derive(Debug)]
struct Reported {
    message: String,
    /// On the caller's clock.
    at: Duration,
}

impl FailureLog {
    /// Warns, unless the log already says so. `now` is any monotonic clock.
    pub(crate) fn failed(&self, now: Duration, message: &str) {
        if self.is_new(now, message) {
            log::warn!("{message}");
        } else {
            log::debug!("{message}");
        }
    }

    /// Logs that the failure has ended, if it was logged.
    pub(crate) fn recovered(&self, message: &str) {
        if self.reported.lock().take().is_some() {
            log::info!("{message}");
        }
    }

    fn is_new(&self, now: Duration, message: &str) -> bool {
        let mut reported = self.reported.lock();
        let is_new = reported
            .as_ref()
            .is_none_or(|last| last.message != message && now.saturating_sub(last.at) >= MIN_INTERVAL);
        if is_new {
            *reported = Some(Reported {
                message: message.to_owned(),
                at: now,
            });
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_and_again_after_it_has_ended() {
        let log = FailureLog::default();
        assert!(log.is_new(Duration::ZERO, "down"));
        assert!(!log.is_new(Duration::from_hours(9), "down"), "the same");
        log.recovered("up");
        assert!(log.is_new(Duration::from_hours(9), "down"));
    }

    #[test]
    fn another_reason_is_news_after_a_minute() {
        let log = FailureLog::default();
        assert!(log.is_new(Duration::ZERO, "down"));
        assert!(!log.is_new(Duration::from_secs(59), "slow"));
        assert!(log.is_new(Duration::from_mins(1), "slow"));
    }
}
