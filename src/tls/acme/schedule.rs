//! When to renew a certificate, and when to try again after a failure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;

/// Delay after the first request that did not reach the CA, doubled after each further failure.
const UNREACHABLE_RETRY: Duration = Duration::from_secs(5);
/// The same after the CA has answered: CAs limit failed attempts, Let's Encrypt to five in an hour for each domain.
const REJECTED_RETRY: Duration = Duration::from_mins(5);
/// Longest delay.
const MAX_RETRY: Duration = Duration::from_hours(6);
/// Longest time for which a CA can stop the attempts.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(7 * 24);

/// When to renew a certificate with this validity: when a third of its lifetime is left, and at most a tenth of that third
/// later, so that servers which started together do not renew together. `jitter` is from 0 to 1.
pub(super) fn renewal_time(not_before: DateTime<Utc>, not_after: DateTime<Utc>, jitter: f64) -> DateTime<Utc> {
    let third = (not_after - not_before) / 3;
    not_after - third + scaled(third / 10, jitter)
}

/// A time within the window that the CA suggests (RFC 9773 §4.2).
pub(super) fn time_within(start: DateTime<Utc>, end: DateTime<Utc>, jitter: f64) -> DateTime<Utc> {
    start + scaled((end - start).max(TimeDelta::zero()), jitter)
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No response.
    Unreachable,
    /// The CA answered.
    Rejected,
}

/// How long to wait after this many failures in a row, the last of this kind. A longer time that the CA asks for wins.
/// `jitter` is from 0 to 1.
pub(super) fn retry_delay(failures: u32, last: Failure, asked: Option<Duration>, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let first = match last {
        Failure::Unreachable => UNREACHABLE_RETRY,
        Failure::Rejected => REJECTED_RETRY,
    };
    let delay = first.saturating_mul(1 << doublings).min(MAX_RETRY);
    let delay = delay + delay.mul_f64(jitter / 4.0);
    delay.max(asked.unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// From 0 to 1.
pub(super) fn jitter() -> f64 {
    rand::rng().random_range(0.0..1.0)
}

fn scaled(time: TimeDelta, factor: f64) -> TimeDelta {
    let scaled = time.to_std().unwrap_or_default().mul_f64(factor.clamp(0.0, 1.0));
    TimeDelta::from_std(scaled).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_lifetime_is_left() {
        let begin = DateTime::UNIX_EPOCH;
        for days in [6, 45, 90, 398] {
            let end = begin + TimeDelta::days(days);
            let (first, last) = (renewal_time(begin, end, 0.0), renewal_time(begin, end, 1.0));
            assert_eq!(first, begin + TimeDelta::days(days) * 2 / 3, "{days} days");
            assert_eq!(last - first, TimeDelta::days(days) / 30, "{days} days");
        }
    }

    #[test]
    fn a_suggested_window_is_used_as_a_whole_and_a_reversed_one_at_its_start() {
        let (begin, end) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::hours(10));
        assert_eq!(time_within(begin, end, 0.5), begin + TimeDelta::hours(5));
        assert_eq!(time_within(end, begin, 0.5), end);
    }

    #[test]
    fn failures_are_retried_ever_later_and_never_before_the_ca_allows_it() {
        let seconds = |failures, last| retry_delay(failures, last, None, 0.0).as_secs();
        let unreachable = [1, 2, 3, 1000].map(|failures| seconds(failures, Failure::Unreachable));
        assert_eq!(unreachable, [5, 10, 20, 6 * 3600]);
        let rejected = [1, 2, 3, 1000].map(|failures| seconds(failures, Failure::Rejected));
        assert_eq!(rejected, [300, 600, 1200, 6 * 3600]);
        assert_eq!(
            retry_delay(2, Failure::Unreachable, None, 1.0),
            Duration::from_millis(12_500)
        );
        let asked = Duration::from_hours(30);
        assert_eq!(retry_delay(1, Failure::Rejected, Some(asked), 0.0), asked);
        let short = Some(Duration::from_secs(1));
        assert_eq!(retry_delay(1, Failure::Rejected, short, 0.0), REJECTED_RETRY);
        let endless = Some(Duration::MAX);
        assert_eq!(retry_delay(1, Failure::Rejected, endless, 0.0), MAX_RETRY_AFTER);
    }
}
