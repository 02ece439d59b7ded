//! All findings about a certificate and its key: every error that [`super::ClientCertificate::load`] could report, not only the
//! first, and problems that do not prevent its use.

use chrono::{DateTime, Utc};
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use serde::Serialize;

use super::{
    CertificateDetails, CertificateError, CertificateLocation, ClientCertificate,
    checks::{MIN_KEY_BITS, check_dates, check_key, check_thumbprint},
    leaf::{find_leaf, find_successor},
    pem,
    signature_algorithm::weak_digest,
    source,
};
use crate::config::CertificateSettings;

/// The severity of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No problem.
    Good,
    /// Usable, but needs attention.
    Warning,
    /// Not usable.
    Bad,
}

/// The result of one check. Scripts rely on the names of the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Severity of the result.
    pub severity: Severity,
    /// What the check found.
    pub seen: String,
    /// What the operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Observation {
    /// A check that passed.
    pub fn good(seen: String) -> Self {
        Self {
            severity: Severity::Good,
            seen,
            hint: None,
        }
    }

    /// A check that failed.
    pub fn bad(seen: String, hint: String) -> Self {
        Self {
            severity: Severity::Bad,
            seen,
            hint: Some(hint),
        }
    }

    /// The mode of the key's file. `None` if the key is in a setting, or cannot be read.
    pub fn for_key_file(settings: &CertificateSettings) -> Option<Self> {
        let parts = source::read_parts(settings).ok()?;
        parts.key.ok().and_then(|_| inspect_mode(&parts.key_location))
    }

    fn warning(seen: String, hint: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            seen,
            hint: Some(hint.into()),
        }
    }
}

impl From<&CertificateError> for Observation {
    fn from(error: &CertificateError) -> Self {
        Self::bad(error.to_string(), error.hint().into_owned())
    }
}

/// The results of all checks, and the details of the certificate if it can be read.
#[derive(Debug)]
pub struct Inspection {
    /// In the order in which they should be resolved.
    pub observations: Vec<Observation>,
    /// Details of the key's certificate, or of the first in the file if none belongs to the key.
    pub details: Option<CertificateDetails>,
}

impl Inspection {
    /// Checks what the settings name. Warns if the certificate expires within `soon_days`. Reads files; no network.
    pub fn new(settings: &CertificateSettings, soon_days: i64, now: DateTime<Utc>) -> Self {
        let mut observations = Vec::new();
        let parts = match source::read_parts(settings) {
            Ok(parts) => parts,
            Err(error) => {
                return Self {
                    observations: vec![Observation::from(&error)],
                    details: None,
                };
            }
        };
        let key = record_error(parts.key, &mut observations);
        let certificates = record_error(parts.certificates, &mut observations).unwrap_or_default();
        let leaf = key.as_ref().and_then(|key| find_leaf(&certificates, key, now));
        if let (Some(_), None, false) = (&key, leaf, certificates.is_empty()) {
            let (certificate, key) = (parts.location.clone(), parts.key_location.clone());
            observations.push(Observation::from(&CertificateError::KeyMismatch { certificate, key }));
        }
        let certificate = certificates.get(leaf.unwrap_or(0));
        let der = certificate.and_then(|one| one.to_der().ok());
        let details = der.as_deref().and_then(CertificateDetails::from_der);
        if let (Some(_), Some(details)) = (leaf, &details) {
            observations.push(Observation::good(format!(
                "{} is the certificate of its private key",
                details.subject
            )));
        }
        if let Some(key) = &key {
            observations.push(inspect_key(key, &parts.key_location));
        } else if let Some(Err(error)) = certificate.map(|one| check_public_key(one, &parts.location)) {
            observations.push(Observation::from(&error));
        }
        if let Some(details) = &details {
            observations.push(inspect_dates(details, &parts.location, soon_days, now));
            if let Some(configured) = &settings.thumbprint {
                observations.push(match check_thumbprint(details, configured, &parts.location) {
                    Ok(()) => Observation::good("client.cert_thumbprint is its thumbprint".to_owned()),
                    Err(error) => Observation::from(&error),
                });
            }
        }
        observations.extend(der.as_deref().and_then(weak_digest).map(warn_of_weak_digest));
        let successor = leaf
            .zip(key.as_ref())
            .and_then(|(leaf, key)| find_successor(leaf, &certificates, key, now));
        match &successor {
            Some(successor) => observations.push(describe_successor(successor)),
            None => observations.extend(leaf.and_then(|leaf| inspect_order(leaf, &certificates, &parts.location))),
        }
        observations.extend(key.and_then(|_| inspect_mode(&parts.key_location)));
        Self { observations, details }
    }

    /// Checks a loaded certificate, such as one from a vault.
    pub fn from_loaded(certificate: &ClientCertificate, soon_days: i64, now: DateTime<Utc>) -> Self {
        let details = certificate.details();
        let observations = vec![
            Observation::good(format!("{} can be used", details.subject)),
            inspect_dates(details, certificate.location(), soon_days, now),
        ];
        Self {
            observations,
            details: Some(details.clone()),
        }
    }

    /// A single result, for a source that cannot be read or has no certificate.
    pub fn from_observation(observation: Observation) -> Self {
        Self {
            observations: vec![observation],
            details: None,
        }
    }

    /// The worst severity.
    pub fn severity(&self) -> Severity {
        self.observations
            .iter()
            .map(|one| one.severity)
            .max()
            .unwrap_or(Severity::Good)
    }
}

fn record_error<T>(part: Result<T, CertificateError>, observations: &mut Vec<Observation>) -> Option<T> {
    part.inspect_err(|error| observations.push(Observation::from(error)))
        .ok()
}

fn inspect_key(key: &PKey<Private>, location: &CertificateLocation) -> Observation {
    match check_key(key, location) {
        Ok(()) => Observation::good(format!(
            "the key is RSA with {} bits; at least {MIN_KEY_BITS} are required",
            key.bits()
        )),
        Err(error) => Observation::from(&error),
    }
}

fn check_public_key(certificate: &X509, location: &CertificateLocation) -> Result<(), CertificateError> {
    let key = certificate.public_key().map_err(|_| CertificateError::BadCertificate {
        location: location.clone(),
    })?;
    check_key(&key, location)
}

fn inspect_dates(
    details: &CertificateDetails,
    location: &CertificateLocation,
    soon_days: i64,
    now: DateTime<Utc>,
) -> Observation {
    if let Err(error) = check_dates(details, location, now) {
        return Observation::from(&error);
    }
    let (days, end) = (details.relative_expiry(now), details.not_after.format("%Y-%m-%d"));
    if details.days_left(now) <= soon_days {
        let hint = "make the next one with blogctl cert renew, or follow docs/rotate-a-certificate.md";
        return Observation::warning(format!("valid, but expires {days} ({end})"), hint);
    }
    Observation::good(format!("valid; expires {days} ({end})"))
}

fn describe_successor(successor: &CertificateDetails) -> Observation {
    Observation::good(format!(
        "the file also has the next certificate of the same key (SHA-1 {}): it is used from {} on, and must be uploaded by then",
        successor.thumbprints.sha1_hex(),
        successor.not_before.format("%Y-%m-%d")
    ))
}

/// Entra ID uses only the public key and ignores the signature; other programs may check it.
fn warn_of_weak_digest(name: &'static str) -> Observation {
    let seen = format!("the certificate is signed with {name}, which is no longer secure");
    Observation::warning(seen, "have it issued with SHA-256, as blogctl cert new does")
}

/// Checks that the file has the leaf first, then its issuers, and no other certificate.
fn inspect_order(leaf: usize, certificates: &[X509], location: &CertificateLocation) -> Option<Observation> {
    if certificates.len() < 2 {
        return None;
    }
    let der = |certificate: &X509| certificate.to_der().ok();
    let ordered = pem::chain_from(leaf, certificates.to_vec(), location).ok()?;
    let given: Vec<Vec<u8>> = certificates.iter().filter_map(der).collect();
    if ordered == given {
        let seen = format!("the chain of {} certificates is complete and in order", given.len());
        return Some(Observation::good(seen));
    }
    let strangers = given.len() - ordered.len();
    if strangers > 0 {
        let them = if strangers == 1 {
            "1 more certificate, which is"
        } else {
            &*format!("{strangers} more certificates, which are")
        };
        let seen = format!("{location} contains {them} not part of its chain");
        return Some(Observation::warning(
            seen,
            "keep only the certificate and its issuers in the file",
        ));
    }
    let seen = format!("{location} does not have the certificate first and its issuers after it");
    Some(Observation::warning(
        seen,
        "put the certificate first, then the issuer of each; blogctl itself accepts any order",
    ))
}

#[cfg(unix)]
fn inspect_mode(location: &CertificateLocation) -> Option<Observation> {
    use std::os::unix::fs::PermissionsExt as _;

    let path = location.file()?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    // The group may read it, since secrets are mounted into containers that way.
    let who = match (mode & 0o006, mode & 0o020) {
        (0, 0) => return Some(Observation::good(format!("the key's file has mode {mode:04o}"))),
        (0, _) => "the file's group may replace",
        (0o004, _) => "every user of this machine may read",
        (0o002, _) => "every user of this machine may replace",
        _ => "every user of this machine may read or replace",
    };
    let seen = format!("{who} the private key in {} (mode {mode:04o})", path.display());
    Some(Observation::warning(seen, format!("chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
fn inspect_mode(_: &CertificateLocation) -> Option<Observation> {
    None
}
