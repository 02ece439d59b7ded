//! The certificate that a server shows until the CA has issued the first one. It is self-signed, so no client trusts it; the
//! server is up for probes, and reports that it is not ready.

use chrono::Utc;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::error::AcmeError;
use crate::certificate::{CertificateLocation, TlsIdentity};

/// Creates it.
///
/// # Errors
/// When no key can be created.
pub(super) fn identity(domains: &[String]) -> Result<TlsIdentity, AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(domains)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "blogctl: no certificate yet");
    let pem = params.self_signed(&key)?.pem() + key.serialize_pem().as_str();
    let location = CertificateLocation::Setting("server.tls.acme");
    TlsIdentity::from_pem(pem.as_bytes(), &location, Utc::now()).map_err(AcmeError::Unusable)
}
