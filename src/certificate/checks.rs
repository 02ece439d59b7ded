//! The checks that a certificate and its key must pass.

use chrono::{DateTime, Utc};
use openssl::pkey::{HasPublic, Id, PKey};

use super::{CertificateDetails, CertificateError, CertificateLocation, thumbprints};

/// Lower bound for RSA keys (NIST SP 800-131A). Entra rejects shorter keys too.
pub(super) const MIN_KEY_BITS: u32 = 2048;

const RSA: &str = "RSA";

pub(super) fn check_dates(
    details: &CertificateDetails,
    location: &CertificateLocation,
    now: DateTime<Utc>,
) -> Result<(), CertificateError> {
    let CertificateDetails {
        not_before, not_after, ..
    } = *details;
    let location = location.clone();
    if now > not_after {
        return Err(CertificateError::Expired {
            location,
            not_after,
            days: (now - not_after).num_days(),
        });
    }
    if now < not_before {
        return Err(CertificateError::NotYetValid { location, not_before });
    }
    Ok(())
}

pub(super) fn check_thumbprint(
    details: &CertificateDetails,
    configured: &str,
    location: &CertificateLocation,
) -> Result<(), CertificateError> {
    let thumbprints = &details.thumbprints;
    let expected = thumbprints::normalized(configured);
    let actual = match expected.len() {
        40 => thumbprints.sha1_hex(),
        64 => thumbprints.sha256_hex(),
        _ => {
            return Err(CertificateError::ThumbprintFormat {
                configured: configured.to_owned(),
            });
        }
    };
    if expected == actual {
        return Ok(());
    }
    Err(CertificateError::ThumbprintMismatch {
        location: location.clone(),
        configured: expected,
        actual,
    })
}

pub(super) fn check_key<T: HasPublic>(key: &PKey<T>, location: &CertificateLocation) -> Result<(), CertificateError> {
    let kind = key_type(key.id());
    // OpenSSL can sign with an RSASSA-PSS key, but Entra ID does not accept its certificate.
    if kind != RSA {
        return Err(CertificateError::NotRsa {
            location: location.clone(),
            kind,
        });
    }
    if key.bits() < MIN_KEY_BITS {
        return Err(CertificateError::Weak {
            location: location.clone(),
            bits: key.bits(),
        });
    }
    Ok(())
}

/// The type of a key, as certificate tools name it.
pub(super) fn key_type(id: Id) -> &'static str {
    match id {
        Id::RSA => RSA,
        Id::RSA_PSS => "RSA-PSS (id-RSASSA-PSS)",
        Id::EC => "EC",
        Id::ED25519 => "Ed25519",
        Id::ED448 => "Ed448",
        Id::DSA => "DSA",
        Id::X25519 | Id::X448 | Id::DH => "for key agreement",
        _ => "of another kind",
    }
}
