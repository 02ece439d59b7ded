//! What a certificate says, for people: subject, issuer, serial number, key, validity, thumbprints.

use chrono::{DateTime, Utc};
use x509_parser::{
    certificate::X509Certificate,
    prelude::FromDer as _,
    public_key::PublicKey,
    time::ASN1Time,
    x509::{SubjectPublicKeyInfo, X509Name},
};

use super::Thumbprints;

/// Days before its end from which a certificate ends soon: about what it takes to get a change through in a large
/// organisation.
pub const SOON_DAYS: i64 = 30;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDetails {
    /// Subject, such as `CN=blog`.
    pub subject: String,
    /// Issuer; the subject itself when self-signed.
    pub issuer: String,
    /// Serial number, upper-case hex.
    pub serial: String,
    /// Kind of key, such as `RSA`.
    pub key_type: &'static str,
    /// Size of the key in bits; 0 when not known.
    pub key_bits: usize,
    /// Valid from.
    pub not_before: DateTime<Utc>,
    /// Valid until, inclusive.
    pub not_after: DateTime<Utc>,
    /// Digests of its DER.
    pub thumbprints: Thumbprints,
}

impl CertificateDetails {
    /// Of a certificate in DER; `None` when it is not one.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (key_type, key_bits) = key_of(certificate.public_key());
        Some(Self {
            subject: printable(certificate.subject()),
            issuer: printable(certificate.issuer()),
            serial: serial(certificate.raw_serial()),
            key_type,
            key_bits,
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            thumbprints: Thumbprints::of(der),
        })
    }
    /// Whole days from `now` until it expires; negative when it has.
    pub fn days_left(&self, now: DateTime<Utc>) -> i64 {
        (self.not_after - now).num_days()
    }
}

/// `in 89 days`, `3 days ago`: when a certificate expires.
pub fn relative_days(days: i64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        -1 => "1 day ago".to_owned(),
        days if days > 0 => format!("in {days} days"),
        days => format!("{} days ago", days.unsigned_abs()),
    }
}

/// DER puts a zero byte before a number whose first bit is set; it is no part of the number.
fn serial(raw: &[u8]) -> String {
    hex::encode_upper(raw.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(raw))
}

fn key_of(key: &SubjectPublicKeyInfo<'_>) -> (&'static str, usize) {
    match key.parsed() {
        // The encoding may start with a zero byte; the modulus is what counts.
        Ok(PublicKey::RSA(rsa)) => ("RSA", rsa.key_size()),
        Ok(PublicKey::EC(point)) => ("EC", point.key_size()),
        Ok(PublicKey::DSA(_)) => ("DSA", 0),
        _ => ("other", 0),
    }
}

/// Certificates come from anywhere: a subject must not reach a terminal with control characters in it.
fn printable(name: &X509Name<'_>) -> String {
    name.to_string().replace(char::is_control, "\u{fffd}")
}

fn time(time: ASN1Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.timestamp(), 0)
}
