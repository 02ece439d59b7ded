//! Logs a failure that repeats: once when it begins, again when its reason changes, and once when it ends. Requests that run
//! into it meanwhile do not fill the log.

use std::time::Duration;

use parking_lot::Mutex;

/// A failure whose reason keeps changing is logged at most once in this time.
const LEAST_PAUSE: Duration = Duration::from_mins(1);

/// What the log says of one kind of failure.
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
    /// Warns, unless the log already says so. `now` is any clock that never runs backwards.
    pub(crate) fn failed(&self, now: Duration, message: &str) {
        if self.is_news(now, message) {
            log::warn!("{message}");
        } else {
            log::debug!("{message}");
        }
    }

    /// Says that the failure has ended, if one was logged.
    pub(crate) fn recovered(&self, message: &str) {
        if self.reported.lock().take().is_some() {
            log::info!("{message}");
        }
    }

    fn is_news(&self, now: Duration, message: &str) -> bool {
        let mut reported = self.reported.lock();
        let is_news = reported
            .as_ref()
            .is_none_or(|last| last.message != message && now.saturating_sub(last.at) >= LEAST_PAUSE);
        if is_news {
            *reported = Some(Reported {
                message: message.to_owned(),
                at: now,
            });
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_and_again_after_it_has_ended() {
        let log = FailureLog::default();
        assert!(log.is_news(Duration::ZERO, "down"));
        assert!(!log.is_news(Duration::from_hours(9), "down"), "the same");
        log.recovered("up");
        assert!(log.is_news(Duration::from_hours(9), "down"));
    }

    #[test]
    fn another_reason_is_news_after_a_minute() {
        let log = FailureLog::default();
        assert!(log.is_news(Duration::ZERO, "down"));
        assert!(!log.is_news(Duration::from_secs(59), "slow"));
        assert!(log.is_news(Duration::from_mins(1), "slow"));
    }
}
