//! A certificate chain and its private key for TLS, from the same kinds of files as the client certificate.

use std::fmt;

use chrono::{DateTime, Utc};
use openssl::pkey::{Id, PKey, Private};
use zeroize::Zeroizing;

use super::{
    CertificateDetails, CertificateError, CertificateLocation,
    checks::{MIN_KEY_BITS, check_dates},
    content::Content,
    leaf, pem,
    source::{self, Parts, Source},
};
use crate::config::CertificateSettings;

/// A certificate chain and its key. They belong together, and the certificate was valid when it was loaded.
pub struct TlsIdentity {
    details: CertificateDetails,
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    location: CertificateLocation,
}

impl TlsIdentity {
    /// Reads and checks the files that the settings name. Warns if other users may read the key.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, key and certificate do not belong together, the certificate is not valid at
    /// `now`, or its RSA key is weak.
    pub fn load(settings: &CertificateSettings, now: DateTime<Utc>) -> Result<Self, CertificateError> {
        Self::from_source(source::read(settings)?, now)
    }

    /// Parses and checks a chain and its unencrypted key in PEM.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_pem(pem: &[u8], location: &CertificateLocation, now: DateTime<Utc>) -> Result<Self, CertificateError> {
        let parts = Parts::from_content(&Content::parse(pem), location, &|| Ok(None))?;
        Self::from_source(parts.complete()?, now)
    }

    fn from_source(source: Source, now: DateTime<Utc>) -> Result<Self, CertificateError> {
        let Source {
            certificates,
            key,
            location,
            key_location,
        } = source;
        check_strength(&key, &key_location)?;
        let leaf = leaf::find_leaf(&certificates, &key, now).ok_or_else(|| CertificateError::KeyMismatch {
            certificate: location.clone(),
            key: key_location.clone(),
        })?;
        let chain = pem::chain_from(leaf, certificates, &location)?;
        let details = chain
            .first()
            .and_then(|der| CertificateDetails::from_der(der))
            .ok_or_else(|| CertificateError::BadCertificate {
                location: location.clone(),
            })?;
        check_dates(&details, &location, now)?;
        let key = key
            .private_key_to_pkcs8()
            .map(Zeroizing::new)
            .map_err(|_| CertificateError::BadKey { location: key_location })?;
        Ok(Self {
            details,
            chain,
            key,
            location,
        })
    }

    /// Subject, validity and other details of the leaf.
    pub fn details(&self) -> &CertificateDetails {
        &self.details
    }

    /// The certificates in DER: the leaf, then the issuer of each as far as the file has them. The order in the file does not
    /// matter.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key in DER, PKCS#8.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The private key in PEM, PKCS#8. `None` when there is no memory for it.
    pub fn key_pem(&self) -> Option<Zeroizing<Vec<u8>>> {
        let key = PKey::private_key_from_pkcs8(&self.key).ok()?;
        key.private_key_to_pem_pkcs8().ok().map(Zeroizing::new)
    }

    /// Where the certificate was loaded from.
    pub fn location(&self) -> &CertificateLocation {
        &self.location
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("location", &self.location)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

/// Which other kinds of keys can be used, rustls decides.
fn check_strength(key: &PKey<Private>, location: &CertificateLocation) -> Result<(), CertificateError> {
    if key.id() == Id::RSA && key.bits() < MIN_KEY_BITS {
        return Err(CertificateError::Weak {
            location: location.clone(),
            bits: key.bits(),
        });
    }
    Ok(())
}
