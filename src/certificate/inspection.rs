//! Everything that can be said of a certificate and its key at once: what [`super::ClientCertificate::load`] would refuse, not
//! just the first of it, and what works but should be known.

use std::path::Path;

use chrono::{DateTime, Utc};
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use serde::Serialize;

use super::{
    CertificateDetails, CertificateError, ClientCertificate, MIN_KEY_BITS, check_dates, check_key, check_thumbprint,
    leaf_among, pem, source, successor_among,
};
use crate::{certificate::signature_algorithm::weak_digest, config::CertificateSettings};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, and should be looked at.
    Warning,
    /// It cannot be used.
    Bad,
}

/// One thing that was looked at. Scripts rely on the names of its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Observation {
    /// As it should be.
    pub fn good(seen: String) -> Self {
        Self {
            severity: Severity::Good,
            seen,
            hint: None,
        }
    }

    /// It cannot be used.
    pub fn bad(seen: String, hint: String) -> Self {
        Self {
            severity: Severity::Bad,
            seen,
            hint: Some(hint),
        }
    }

    /// Of the mode of the file that holds the key, where there is one: a key in a setting is in no file, whatever holds the
    /// certificate.
    pub fn of_key_file(settings: &CertificateSettings) -> Option<Self> {
        let parts = source::read_apart(settings).ok()?;
        parts.key.ok().and_then(|_| of_mode(&parts.key_path))
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

/// What was looked at, and the certificate itself where one can be read.
#[derive(Debug)]
pub struct Examination {
    /// In the order in which they are best mended.
    pub observations: Vec<Observation>,
    /// Of the certificate that belongs to the key, or of the first in the file when none does.
    pub details: Option<CertificateDetails>,
}

impl Examination {
    /// Looks at what the settings name; an end within `soon_days` is one that comes soon. Reads files, no network.
    pub fn of(settings: &CertificateSettings, soon_days: i64, now: DateTime<Utc>) -> Self {
        let mut observations = Vec::new();
        let parts = match source::read_apart(settings) {
            Ok(parts) => parts,
            Err(error) => {
                return Self {
                    observations: vec![Observation::from(&error)],
                    details: None,
                };
            }
        };
        let key = noted(parts.key, &mut observations);
        let certificates = noted(parts.certificates, &mut observations).unwrap_or_default();
        let leaf = key.as_ref().and_then(|key| leaf_among(&certificates, key, now));
        if let (Some(_), None, false) = (&key, leaf, certificates.is_empty()) {
            let (certificate, key) = (parts.path.clone(), parts.key_path.clone());
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
            observations.push(of_key(key, &parts.key_path));
        } else if let Some(Err(error)) = certificate.map(|one| check_public_key(one, &parts.path)) {
            observations.push(Observation::from(&error));
        }
        if let Some(details) = &details {
            observations.push(of_dates(details, &parts.path, soon_days, now));
            if let Some(configured) = &settings.thumbprint {
                observations.push(match check_thumbprint(details, configured, &parts.path) {
                    Ok(()) => Observation::good("client.cert_thumbprint is its thumbprint".to_owned()),
                    Err(error) => Observation::from(&error),
                });
            }
        }
        observations.extend(der.as_deref().and_then(weak_digest).map(of_weak_digest));
        let successor = leaf
            .zip(key.as_ref())
            .and_then(|(leaf, key)| successor_among(leaf, &certificates, key, now));
        match &successor {
            Some(successor) => observations.push(of_successor(successor)),
            None => observations.extend(leaf.and_then(|leaf| of_order(leaf, &certificates, &parts.path))),
        }
        observations.extend(key.and_then(|_| of_mode(&parts.key_path)));
        Self { observations, details }
    }

    /// Of a certificate that is not in a file: what a vault has told of it.
    pub fn of_loaded(certificate: &ClientCertificate, soon_days: i64, now: DateTime<Utc>) -> Self {
        let details = certificate.details();
        let observations = vec![
            Observation::good(format!("{} can be used", details.subject)),
            of_dates(details, certificate.place(), soon_days, now),
        ];
        Self {
            observations,
            details: Some(details.clone()),
        }
    }

    /// Of what cannot even be looked at, or is no certificate.
    pub fn of_one(observation: Observation) -> Self {
        Self {
            observations: vec![observation],
            details: None,
        }
    }

    /// The worst of all.
    pub fn severity(&self) -> Severity {
        self.observations
            .iter()
            .map(|one| one.severity)
            .max()
            .unwrap_or(Severity::Good)
    }
}

fn noted<T>(part: Result<T, CertificateError>, observations: &mut Vec<Observation>) -> Option<T> {
    part.inspect_err(|error| observations.push(Observation::from(error)))
        .ok()
}

fn of_key(key: &PKey<Private>, path: &Path) -> Observation {
    match check_key(key, path) {
        Ok(()) => Observation::good(format!(
            "the key is RSA with {} bits, and {MIN_KEY_BITS} are the least",
            key.bits()
        )),
        Err(error) => Observation::from(&error),
    }
}

fn check_public_key(certificate: &X509, path: &Path) -> Result<(), CertificateError> {
    let key = certificate
        .public_key()
        .map_err(|_| CertificateError::BadCertificate { path: path.to_owned() })?;
    check_key(&key, path)
}

fn of_dates(details: &CertificateDetails, path: &Path, soon_days: i64, now: DateTime<Utc>) -> Observation {
    if let Err(error) = check_dates(details, path, now) {
        return Observation::from(&error);
    }
    let (days, end) = (details.relative_end(now), details.not_after.format("%Y-%m-%d"));
    if details.days_left(now) <= soon_days {
        let hint = "make the next one beside it with blogctl cert renew, or as docs/rotate-a-certificate.md has it";
        return Observation::warning(format!("in date, but expires {days} ({end})"), hint);
    }
    Observation::good(format!("in date; expires {days} ({end})"))
}

fn of_successor(successor: &CertificateDetails) -> Observation {
    Observation::good(format!(
        "the next certificate of the same key is beside it (SHA-1 {}): it is used from {} on, and must be uploaded by then",
        successor.thumbprints.sha1_hex(),
        successor.not_before.format("%Y-%m-%d")
    ))
}

/// Entra ID takes the public key and never looks at who signed it; other readers of the file may.
fn of_weak_digest(name: &'static str) -> Observation {
    let seen = format!("the certificate is signed with {name}, which nobody should rely on any more");
    Observation::warning(seen, "have it issued with SHA-256; blogctl cert new does so")
}

/// Whether the file has the leaf first, then its issuers, and nothing else.
fn of_order(leaf: usize, certificates: &[X509], path: &Path) -> Option<Observation> {
    if certificates.len() < 2 {
        return None;
    }
    let der = |certificate: &X509| certificate.to_der().ok();
    let ordered = pem::chain_from(leaf, certificates.to_vec(), path).ok()?;
    let given: Vec<Vec<u8>> = certificates.iter().filter_map(der).collect();
    if ordered == given {
        let seen = format!("the chain of {} certificates is whole and in its order", given.len());
        return Some(Observation::good(seen));
    }
    let strangers = given.len() - ordered.len();
    if strangers > 0 {
        let them = if strangers == 1 {
            "1 more certificate, which is"
        } else {
            &*format!("{strangers} more certificates, which are")
        };
        let seen = format!("{} holds {them} not of its chain", path.display());
        return Some(Observation::warning(
            seen,
            "leave only the certificate and its issuers in the file",
        ));
    }
    let seen = format!(
        "{} has its certificates in another order than leaf first",
        path.display()
    );
    Some(Observation::warning(
        seen,
        "put the certificate first, then the issuer of each; blogctl sorts them itself",
    ))
}

#[cfg(unix)]
fn of_mode(path: &Path) -> Option<Observation> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    // The group may read it: that is how secrets are mounted into containers.
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
fn of_mode(_: &Path) -> Option<Observation> {
    None
}
