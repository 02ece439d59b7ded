//! The details of a certificate for people: subject, issuer, serial number, key, validity, thumbprints.

use chrono::{DateTime, Utc};
use openssl::x509::X509;
use x509_parser::{
    certificate::X509Certificate,
    prelude::FromDer as _,
    public_key::PublicKey,
    time::ASN1Time,
    x509::{SubjectPublicKeyInfo, X509Name},
};

use super::{Thumbprints, checks::key_type};

/// A certificate with fewer days left expires soon: about the time that a change takes in a large organisation.
pub const SOON_DAYS: i64 = 30;
const MILLISECONDS_A_DAY: i64 = 24 * 60 * 60 * 1000;

/// The details of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDetails {
    /// Subject, such as `CN=blog`.
    pub subject: String,
    /// Issuer; equal to the subject if self-signed.
    pub issuer: String,
    /// Serial number, upper-case hex.
    pub serial: String,
    /// Kind of key, such as `RSA`.
    pub key_type: &'static str,
    /// Size of the key in bits; 0 if unknown.
    pub key_bits: usize,
    /// Valid from.
    pub not_before: DateTime<Utc>,
    /// Valid until, inclusive.
    pub not_after: DateTime<Utc>,
    /// Digests of its DER.
    pub thumbprints: Thumbprints,
}

impl CertificateDetails {
    /// Parses a certificate in DER; `None` when it is something else.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (key_type, key_bits) = parse_key(certificate.public_key())
            .or_else(|| parse_key_with_openssl(der))
            .unwrap_or(("other", 0));
        Some(Self {
            subject: printable(certificate.subject()),
            issuer: printable(certificate.issuer()),
            serial: serial(certificate.raw_serial()),
            key_type,
            key_bits,
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            thumbprints: Thumbprints::from_der(der),
        })
    }
    /// Whole days from `now` until the certificate expires; negative once it has: -1 on the first day after.
    pub fn days_left(&self, now: DateTime<Utc>) -> i64 {
        // Rounded down, so that the last day before (0) and the first day after (-1) differ.
        (self.not_after - now).num_milliseconds().div_euclid(MILLISECONDS_A_DAY)
    }
    /// When the certificate expires or expired: `in 89 days`, `within a day`, `3 days ago`.
    pub fn relative_expiry(&self, now: DateTime<Utc>) -> String {
        if now > self.not_after {
            return days_ago((now - self.not_after).num_days());
        }
        match self.days_left(now) {
            0 => "within a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        }
    }
}

pub(super) fn days_ago(days: i64) -> String {
    match days {
        0 => "less than a day ago".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

/// DER puts a zero byte before a number whose first bit is set. It is not part of the number.
fn serial(raw: &[u8]) -> String {
    hex::encode_upper(raw.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(raw))
}

fn parse_key(key: &SubjectPublicKeyInfo<'_>) -> Option<(&'static str, usize)> {
    match key.parsed() {
        // `key_size` ignores a leading zero byte of the encoded modulus.
        Ok(PublicKey::RSA(rsa)) if key.algorithm.algorithm.to_id_string() == RSA_ENCRYPTION => {
            Some(("RSA", rsa.key_size()))
        }
        Ok(PublicKey::EC(point)) => Some(("EC", point.key_size())),
        Ok(PublicKey::DSA(_)) => Some(("DSA", 0)),
        _ => None,
    }
}

/// For key types that x509-parser does not know.
fn parse_key_with_openssl(der: &[u8]) -> Option<(&'static str, usize)> {
    let key = X509::from_der(der).ok()?.public_key().ok()?;
    Some((key_type(key.id()), usize::try_from(key.bits()).unwrap_or_default()))
}

/// Object identifier of plain RSA keys (RFC 8017, appendix C).
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// Certificates come from untrusted sources: a subject must not send control characters to a terminal.
fn printable(name: &X509Name<'_>) -> String {
    name.to_string().replace(char::is_control, "\u{fffd}")
}

fn time(time: ASN1Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_expiry_is_described_before_and_after_it() {
        let not_after = DateTime::UNIX_EPOCH;
        let details = CertificateDetails {
            subject: "CN=site".to_owned(),
            issuer: "CN=site".to_owned(),
            serial: "01".to_owned(),
            key_type: "RSA",
            key_bits: 2048,
            not_before: not_after - TimeDelta::days(365),
            not_after,
            thumbprints: Thumbprints::from_der(b"site"),
        };
        for (hours_after, days_left, expected) in [
            (-50, 2, "in 2 days"),
            (-47, 1, "in 1 day"),
            (-23, 0, "within a day"),
            (0, 0, "within a day"),
            (1, -1, "less than a day ago"),
            (25, -2, "1 day ago"),
            (50, -3, "2 days ago"),
        ] {
            let now = not_after + TimeDelta::hours(hours_after);
            assert_eq!(
                (details.days_left(now), &*details.relative_expiry(now)),
                (days_left, expected),
                "{hours_after}"
            );
        }
        assert_eq!(
            details.days_left(not_after + TimeDelta::seconds(1)),
            -1,
            "from the first second on"
        );
    }
}
