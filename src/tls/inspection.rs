//! Loads certificates as a server or the site would, for checks.

use super::{
    api_agent, certificate_files,
    error::{Purpose, TlsError},
    installation::Installation,
};
use crate::{
    certificate::CertificateDetails,
    config::{CertificateSettings, Settings},
};

/// A certificate that can be used.
pub struct LoadedCertificate {
    /// Subject, validity and other details.
    pub details: CertificateDetails,
    /// The certificate itself, in DER.
    pub leaf: Vec<u8>,
}

/// Loads a certificate and its key, and for a server also `server.tls.client_ca`.
///
/// # Errors
/// Those with which the server would not start.
pub fn load(settings: &Settings, purpose: Purpose, files: &CertificateSettings) -> Result<LoadedCertificate, TlsError> {
    let identity = match purpose {
        Purpose::Server => certificate_files::load(files, purpose)?,
        Purpose::ApiClient => api_agent::load(files)?,
    };
    let loaded = LoadedCertificate {
        details: identity.details().clone(),
        leaf: identity.chain().first().cloned().unwrap_or_default(),
    };
    if purpose == Purpose::Server {
        Installation::new("api", identity, settings.server.tls.client_ca.clone())?;
    }
    Ok(loaded)
}
