//! What the log says of a certificate's end, and when: at each threshold once, and at the end itself.

use chrono::{DateTime, Utc};
use log::Level;

use crate::certificate::CertificateDetails;

/// Remembers what was said.
pub(super) struct ExpiryNotifier {
    /// Days before the end at which to warn, the smallest first.
    thresholds: Vec<i64>,
    /// SHA-256 of the certificate of which something was said last, and the threshold.
    said: Option<([u8; 32], Threshold)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threshold {
    Days(i64),
    End,
}

impl ExpiryNotifier {
    pub(super) fn new(warning_days: &[u32]) -> Self {
        let mut thresholds: Vec<i64> = warning_days.iter().copied().map(i64::from).collect();
        thresholds.sort_unstable();
        Self { thresholds, said: None }
    }

    /// What is to be said now, unless it has been said already of this certificate.
    pub(super) fn news(&mut self, details: &CertificateDetails, now: DateTime<Utc>) -> Option<(Level, String)> {
        let threshold = self.threshold(details, now)?;
        let what = (details.thumbprints.sha256, threshold);
        if self.said == Some(what) {
            return None;
        }
        self.said = Some(what);
        let (ends, when) = (
            details.not_after.format("%Y-%m-%d %H:%M UTC"),
            details.relative_expiry(now),
        );
        Some(match threshold {
            Threshold::End => (
                Level::Error,
                format!(
                    "the certificate expired {when} ({ends}): nobody signs in by it; see docs/rotate-a-certificate.md"
                ),
            ),
            Threshold::Days(_) => (
                Level::Warn,
                format!("the certificate expires {when} ({ends}); see docs/rotate-a-certificate.md"),
            ),
        })
    }

    /// The smallest one that is reached.
    fn threshold(&self, details: &CertificateDetails, now: DateTime<Utc>) -> Option<Threshold> {
        if now > details.not_after {
            return Some(Threshold::End);
        }
        let days = details.days_left(now);
        self.thresholds
            .iter()
            .find(|threshold| days <= **threshold)
            .copied()
            .map(Threshold::Days)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::certificate::Thumbprints;

    fn certificate(name: &str) -> CertificateDetails {
        let not_before = DateTime::UNIX_EPOCH;
        CertificateDetails {
            subject: name.to_owned(),
            issuer: name.to_owned(),
            serial: "01".to_owned(),
            key_type: "RSA",
            key_bits: 2048,
            not_before,
            not_after: not_before + TimeDelta::days(365),
            thumbprints: Thumbprints::from_der(name.as_bytes()),
        }
    }

    #[test]
    fn each_threshold_is_told_once_and_the_end_at_its_first_second() {
        let certificate = certificate("site");
        let mut ending = ExpiryNotifier::new(&[30, 14, 7, 1]);
        let mut news = |before_the_end: TimeDelta| ending.news(&certificate, certificate.not_after - before_the_end);
        for (before_the_end, expected) in [
            (TimeDelta::days(90), None),
            (TimeDelta::days(31), None),
            (TimeDelta::days(30), Some("expires in 30 days")),
            (TimeDelta::days(15), None),
            (TimeDelta::days(14), Some("expires in 14 days")),
            (TimeDelta::days(7), Some("expires in 7 days")),
            (TimeDelta::days(2), None),
            (TimeDelta::days(1), Some("expires in 1 day ")),
            (TimeDelta::hours(1), None),
            (TimeDelta::zero(), None),
            (TimeDelta::seconds(-1), Some("expired less than a day ago")),
            (TimeDelta::days(-9), None),
        ] {
            let told = news(before_the_end);
            let text = told.as_ref().map(|(_, text)| text.as_str());
            assert_eq!(text.is_some(), expected.is_some(), "{before_the_end}: {text:?}");
            assert!(
                text.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{before_the_end}: {text:?}"
            );
            let level = if before_the_end < TimeDelta::zero() {
                Level::Error
            } else {
                Level::Warn
            };
            assert!(told.is_none_or(|(own, _)| own == level), "{before_the_end}");
        }
    }

    #[test]
    fn its_end_is_told_without_any_threshold() {
        let (certificate, mut ending) = (certificate("site"), ExpiryNotifier::new(&[]));
        assert_eq!(ending.news(&certificate, certificate.not_after), None);
        assert!(
            ending
                .news(&certificate, certificate.not_after + TimeDelta::seconds(1))
                .is_some()
        );
    }

    #[test]
    fn what_was_said_of_one_certificate_hides_nothing_of_the_next() {
        let (old, new) = (certificate("old"), certificate("new"));
        let (mut ending, now) = (ExpiryNotifier::new(&[30]), old.not_after - TimeDelta::days(9));
        assert!(ending.news(&old, now).is_some());
        assert!(ending.news(&new, now).is_some(), "whoever has put it into use");
        assert_eq!(ending.news(&new, now), None);
    }
}
