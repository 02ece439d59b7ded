//! The client certificate and its private key, loaded and checked.

use crate::config::CertificateSettings;

/// Digests of a certificate's DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbprints {
    /// SHA-1.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl Thumbprints {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let _ = der;
        unimplemented!()
    }
    /// As the portal shows it: upper-case hex.
    pub fn sha1_hex(&self) -> String {
        unimplemented!()
    }
    /// Upper-case hex.
    pub fn sha256_hex(&self) -> String {
        unimplemented!()
    }
    /// base64url without padding (RFC 7515 §4.1.7).
    pub fn x5t(&self) -> String {
        unimplemented!()
    }
    /// base64url without padding (RFC 7515 §4.1.8).
    pub fn x5t_s256(&self) -> String {
        unimplemented!()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No path is set.
    #[error("client.cert_path is not set")]
    NotConfigured,
}

/// A certificate with its private key: they belong together, are in date, RSA of 2048 bits or more.
pub struct ClientCertificate {}

impl ClientCertificate {
    /// Reads and checks what the settings name.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, key and certificate do not belong together, the certificate is out of date
    /// or weak, or its thumbprint is not the configured one.
    pub fn load(settings: &CertificateSettings) -> Result<Self, CertificateError> {
        let _ = settings;
        unimplemented!()
    }
    /// Of the leaf.
    pub fn thumbprints(&self) -> &Thumbprints {
        unimplemented!()
    }
}
