//! Finds the certificate of a private key among those in a file, and the next one.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    pkey::{PKey, Private},
    x509::{X509, X509Ref},
};

use super::CertificateDetails;

/// Validity at a point in time, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Validity {
    Expired,
    NotYetValid,
    Valid,
}

fn validity(certificate: &X509Ref, now: &Asn1TimeRef) -> Validity {
    if certificate.not_after() < now {
        Validity::Expired
    } else if certificate.not_before() > now {
        Validity::NotYetValid
    } else {
        Validity::Valid
    }
}

/// The index of the key's certificate. After a renewal with the same key there are several: then a valid one that expires last,
/// otherwise the one that becomes valid first, otherwise the one that expired last.
pub(super) fn find_leaf(certificates: &[X509], key: &PKey<Private>, now: DateTime<Utc>) -> Option<usize> {
    let now = Asn1Time::from_unix(now.timestamp()).ok()?;
    let own = certificates
        .iter()
        .enumerate()
        .filter(|(_, certificate)| belongs_to(certificate, key));
    let best = own.max_by(|(_, one), (_, other)| {
        let state = validity(one, &now);
        state.cmp(&validity(other, &now)).then_with(|| match state {
            Validity::NotYetValid => compare(other.not_before(), one.not_before()),
            Validity::Expired | Validity::Valid => compare(one.not_after(), other.not_after()),
        })
    });
    best.map(|(at, _)| at)
}

/// The first certificate of the same key that becomes valid after `now`.
pub(super) fn find_successor(
    leaf: usize,
    certificates: &[X509],
    key: &PKey<Private>,
    now: DateTime<Utc>,
) -> Option<CertificateDetails> {
    let others = certificates
        .iter()
        .enumerate()
        .filter(|(at, other)| *at != leaf && belongs_to(other, key));
    let details = others.filter_map(|(_, other)| CertificateDetails::from_der(&other.to_der().ok()?));
    details
        .filter(|details| details.not_before > now)
        .min_by_key(|details| details.not_before)
}

fn compare(one: &Asn1TimeRef, other: &Asn1TimeRef) -> Ordering {
    one.partial_cmp(other).unwrap_or(Ordering::Equal)
}

fn belongs_to(certificate: &X509, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}
