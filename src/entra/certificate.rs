//! The client certificate and its private key, loaded and checked: what the web site proves itself with. The key never
//! leaves this type; nothing here prints it.

mod details;
mod error;
mod examination;
mod pem;
mod pfx;
mod source;
mod thumbprints;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use josekit::jws::{
    JwsSigner, PS256, RS256,
    alg::{rsassa::RsassaJwsSigner, rsassa_pss::RsassaPssJwsSigner},
};
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use zeroize::Zeroizing;

pub use details::{CertificateDetails, SOON_DAYS, relative_days};
pub use error::CertificateError;
pub use examination::{Examination, Observation, Severity};
pub use pem::certificates_in;
use source::Found;
pub use thumbprints::Thumbprints;

use crate::config::{AssertionForm, CertificateSettings};

/// Shorter RSA keys are refused (NIST SP 800-131A; Entra refuses them too).
pub const MIN_KEY_BITS: u32 = 2048;

/// The certificates that the settings name, in DER, whether or not there is a key of one of them.
///
/// # Errors
/// When they cannot be read.
pub fn certificates_of(settings: &CertificateSettings) -> Result<Vec<Vec<u8>>, CertificateError> {
    let source::Parts { certificates, path, .. } = source::read_apart(settings)?;
    pem::all_to_der(&certificates?, &path)
}

/// A certificate with its private key: they belong together, are in date, RSA of 2048 bits or more.
pub struct ClientCertificate {
    path: PathBuf,
    details: CertificateDetails,
    /// DER, leaf first, each followed by its issuer.
    chain: Vec<Vec<u8>>,
    ps256: RsassaPssJwsSigner,
    rs256: RsassaJwsSigner,
}

impl ClientCertificate {
    /// Reads and checks what the settings name.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, key and certificate do not belong together, the certificate is out of date
    /// or weak, or its thumbprint is not the configured one.
    pub fn load(settings: &CertificateSettings) -> Result<Self, CertificateError> {
        let Found { certificates, key, path, key_path } = source::read(settings)?;
        check_key(&key, &key_path)?;
        let leaf = certificates
            .iter()
            .position(|certificate| belongs_to(certificate, &key))
            .ok_or_else(|| CertificateError::KeyMismatch { certificate: path.clone(), key: key_path.clone() })?;
        let chain = pem::chain_from(leaf, certificates, &path)?;
        let details = chain
            .first()
            .and_then(|der| CertificateDetails::from_der(der))
            .ok_or_else(|| CertificateError::BadCertificate { path: path.clone() })?;
        let (ps256, rs256) = signers(&key).ok_or(CertificateError::BadKey { path: key_path })?;

        let loaded = Self { path, details, chain, ps256, rs256 };
        loaded.check_dates(Utc::now())?;
        if let Some(configured) = &settings.thumbprint {
            check_thumbprint(&loaded.details, configured, &loaded.path)?;
        }
        Ok(loaded)
    }
    /// Of the leaf.
    pub fn thumbprints(&self) -> &Thumbprints {
        &self.details.thumbprints
    }
    /// Subject, validity and so on of the leaf.
    pub fn details(&self) -> &CertificateDetails {
        &self.details
    }
    /// The certificates in DER, leaf first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
    /// Whether it is in date at `now`: a certificate may expire while the program runs.
    ///
    /// # Errors
    /// [`CertificateError::Expired`] or [`CertificateError::NotYetValid`].
    pub fn check_dates(&self, now: DateTime<Utc>) -> Result<(), CertificateError> {
        check_dates(&self.details, &self.path, now)
    }
    /// What signs in the given form.
    pub(super) fn signer(&self, form: AssertionForm) -> &dyn JwsSigner {
        match form {
            AssertionForm::Ps256Sha256 => &self.ps256,
            AssertionForm::Rs256Sha1 => &self.rs256,
        }
    }
    /// The error of a signature that could not be made.
    pub(super) fn signing_failed(&self) -> CertificateError {
        CertificateError::Signing { path: self.path.clone() }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("path", &self.path)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

fn check_dates(details: &CertificateDetails, path: &Path, now: DateTime<Utc>) -> Result<(), CertificateError> {
    let CertificateDetails { not_before, not_after, .. } = *details;
    let path = path.to_owned();
    if now > not_after {
        return Err(CertificateError::Expired { path, not_after, days: (now - not_after).num_days() });
    }
    if now < not_before {
        return Err(CertificateError::NotYetValid { path, not_before });
    }
    Ok(())
}

fn check_thumbprint(details: &CertificateDetails, configured: &str, path: &Path) -> Result<(), CertificateError> {
    let thumbprints = &details.thumbprints;
    let wanted = thumbprints::normalized(configured);
    let actual = match wanted.len() {
        40 => thumbprints.sha1_hex(),
        64 => thumbprints.sha256_hex(),
        _ => return Err(CertificateError::ThumbprintFormat { configured: configured.to_owned() }),
    };
    if wanted == actual {
        return Ok(());
    }
    Err(CertificateError::ThumbprintMismatch { path: path.to_owned(), configured: wanted, actual })
}

fn check_key(key: &PKey<Private>, path: &Path) -> Result<(), CertificateError> {
    if key.rsa().is_err() {
        return Err(CertificateError::NotRsa { path: path.to_owned() });
    }
    if key.bits() < MIN_KEY_BITS {
        return Err(CertificateError::Weak { path: path.to_owned(), bits: key.bits() });
    }
    Ok(())
}

fn belongs_to(certificate: &X509, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

/// The signers of both forms, made once. They take PKCS#1, which josekit wraps for each as its algorithm wants it.
fn signers(key: &PKey<Private>) -> Option<(RsassaPssJwsSigner, RsassaJwsSigner)> {
    let der = Zeroizing::new(key.rsa().ok()?.private_key_to_der().ok()?);
    Some((PS256.signer_from_der(der.as_slice()).ok()?, RS256.signer_from_der(der.as_slice()).ok()?))
}
