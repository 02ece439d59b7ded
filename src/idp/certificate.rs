//! A certificate registered for an application: its thumbprints, its validity, and the verifiers of its signatures.

use josekit::jws::{
    JwsVerifier, PS256, RS256,
    alg::{rsassa::RsassaJwsVerifier, rsassa_pss::RsassaPssJwsVerifier},
};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    error::ErrorStack,
    hash::MessageDigest,
    x509::X509,
};

/// Why a certificate cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text is not a certificate in PEM.
    #[error("no certificate in PEM form: {0}")]
    Unreadable(#[from] ErrorStack),
    /// Assertions are signed with RSA of 2048 bits or more.
    #[error("its key must be RSA with 2048 bits or more: {0}")]
    Key(#[from] josekit::JoseError),
}

/// One registered certificate, with its public key ready to verify.
#[derive(Debug, Clone)]
pub struct RegisteredCertificate {
    /// SHA-1 of the DER encoding, as in `x5t`.
    pub sha1: Vec<u8>,
    /// SHA-256 of the DER encoding, as in `x5t#S256`.
    pub sha256: Vec<u8>,
    /// First second of its validity.
    pub not_before: i64,
    /// Last second of its validity.
    pub not_after: i64,
    /// Whether its issuer revoked it.
    pub revoked: bool,
    ps256: RsassaPssJwsVerifier,
    rs256: RsassaJwsVerifier,
}

impl RegisteredCertificate {
    /// Reads the first certificate in `pem`.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let certificate = X509::from_pem(pem)?;
        let public_key = certificate.public_key()?.public_key_to_der()?;
        Ok(Self {
            sha1: certificate.digest(MessageDigest::sha1())?.to_vec(),
            sha256: certificate.digest(MessageDigest::sha256())?.to_vec(),
            not_before: unix_seconds(certificate.not_before())?,
            not_after: unix_seconds(certificate.not_after())?,
            revoked: false,
            ps256: PS256.verifier_from_der(&public_key)?,
            rs256: RS256.verifier_from_der(&public_key)?,
        })
    }

    /// The verifier for this algorithm; `None` except for the two that Entra accepts.
    pub fn verifier(&self, alg: &str) -> Option<&dyn JwsVerifier> {
        match alg {
            "PS256" => Some(&self.ps256),
            "RS256" => Some(&self.rs256),
            _ => None,
        }
    }
}

fn unix_seconds(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since_1970 = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since_1970.days) * 86400 + i64::from(since_1970.secs))
}
