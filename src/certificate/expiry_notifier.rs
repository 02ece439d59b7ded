//! Decides when the log warns that a certificate expires: once at each threshold, and once when it has expired.

use chrono::{DateTime, Utc};
use log::Level;

use super::CertificateDetails;

/// The kind of certificate that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpirySubject {
    /// The client certificate, for Entra ID.
    ClientCertificate,
    /// The certificate that a server shows to browsers and clients.
    ServerCertificate,
    /// The certificate that the site shows to the API.
    ApiClientCertificate,
}

impl ExpirySubject {
    fn name(self) -> &'static str {
        match self {
            Self::ClientCertificate => "the certificate",
            Self::ServerCertificate => "the TLS certificate of this server",
            Self::ApiClientCertificate => "the site's TLS certificate for the API",
        }
    }

    fn consequence(self) -> &'static str {
        match self {
            Self::ClientCertificate => "users cannot sign in",
            Self::ServerCertificate => "browsers and clients reject it",
            Self::ApiClientCertificate => "the API rejects the site",
        }
    }

    fn page(self) -> &'static str {
        match self {
            Self::ClientCertificate => "docs/rotate-a-certificate.md",
            Self::ServerCertificate | Self::ApiClientCertificate => "docs/tls.md",
        }
    }
}

/// Remembers the last warning.
pub struct ExpiryNotifier {
    subject: ExpirySubject,
    /// Days before the expiry at which to warn, the smallest first.
    thresholds: Vec<i64>,
    /// SHA-256 of the certificate that the last warning was about, and its threshold.
    warned: Option<([u8; 32], Threshold)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threshold {
    Days(i64),
    Expired,
}

impl ExpiryNotifier {
    /// Warns when so many days are left, once each.
    pub fn new(subject: ExpirySubject, warning_days: &[u32]) -> Self {
        let mut thresholds: Vec<i64> = warning_days.iter().copied().map(i64::from).collect();
        thresholds.sort_unstable();
        Self {
            subject,
            thresholds,
            warned: None,
        }
    }

    /// The warning to log now, unless it was already logged for this certificate.
    pub fn next_warning(&mut self, details: &CertificateDetails, now: DateTime<Utc>) -> Option<(Level, String)> {
        let threshold = self.threshold(details, now)?;
        let what = (details.thumbprints.sha256, threshold);
        if self.warned == Some(what) {
            return None;
        }
        self.warned = Some(what);
        let (ends, when) = (
            details.not_after.format("%Y-%m-%d %H:%M UTC"),
            details.relative_expiry(now),
        );
        let (name, page) = (self.subject.name(), self.subject.page());
        Some(match threshold {
            Threshold::Expired => (
                Level::Error,
                format!(
                    "{name} expired {when} ({ends}): {}; see {page}",
                    self.subject.consequence()
                ),
            ),
            Threshold::Days(_) => (Level::Warn, format!("{name} expires {when} ({ends}); see {page}")),
        })
    }

    /// The smallest threshold that is reached.
    fn threshold(&self, details: &CertificateDetails, now: DateTime<Utc>) -> Option<Threshold> {
        if now > details.not_after {
            return Some(Threshold::Expired);
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
    fn each_threshold_warns_once_and_the_expiry_at_its_first_second() {
        let certificate = certificate("site");
        let mut notifier = ExpiryNotifier::new(ExpirySubject::ClientCertificate, &[30, 14, 7, 1]);
        let mut warning =
            |before_the_end: TimeDelta| notifier.next_warning(&certificate, certificate.not_after - before_the_end);
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
            let warned = warning(before_the_end);
            let text = warned.as_ref().map(|(_, text)| text.as_str());
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
            assert!(warned.is_none_or(|(own, _)| own == level), "{before_the_end}");
        }
    }

    #[test]
    fn the_expiry_is_logged_without_any_threshold() {
        let (certificate, mut notifier) = (
            certificate("site"),
            ExpiryNotifier::new(ExpirySubject::ClientCertificate, &[]),
        );
        assert_eq!(notifier.next_warning(&certificate, certificate.not_after), None);
        assert!(
            notifier
                .next_warning(&certificate, certificate.not_after + TimeDelta::seconds(1))
                .is_some()
        );
    }

    #[test]
    fn a_warning_about_one_certificate_does_not_suppress_one_about_the_next() {
        let (old, new) = (certificate("old"), certificate("new"));
        let (mut notifier, now) = (
            ExpiryNotifier::new(ExpirySubject::ClientCertificate, &[30]),
            old.not_after - TimeDelta::days(9),
        );
        assert!(notifier.next_warning(&old, now).is_some());
        assert!(notifier.next_warning(&new, now).is_some(), "a new certificate");
        assert_eq!(notifier.next_warning(&new, now), None);
    }
}
