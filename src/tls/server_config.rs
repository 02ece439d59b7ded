//! Creates rustls configurations: TLS 1.2 and 1.3, and HTTP/1.1 only.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{NoClientAuth, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::error::{Purpose, TlsError};
use crate::certificate::{TlsIdentity, certificates_from_file};

/// The only protocol in ALPN. actix's HTTP/2 stays off: docs/decisions/0090.
const HTTP_1_1: &[u8] = b"http/1.1";

/// What all configurations of one server share, so that a client can resume its session after a reload.
pub(super) struct ConfigFactory {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl ConfigFactory {
    /// The crypto provider is explicit: the default is process-wide, and any library may set it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new() -> Result<Self, TlsError> {
        Ok(Self {
            provider: Arc::new(ring::default_provider()),
            tickets: ring::Ticketer::new()?,
        })
    }

    /// A configuration with this certificate. With `client_cas`, clients may send a certificate, which must then be from one
    /// of them.
    ///
    /// # Errors
    /// When rustls cannot use the key, or `client_cas`.
    pub(super) fn create(
        &self,
        identity: &TlsIdentity,
        client_cas: Option<&ClientCas>,
    ) -> Result<ServerConfig, TlsError> {
        let verifier = match client_cas {
            Some(cas) => cas.verifier(&self.provider)?,
            None => Arc::new(NoClientAuth),
        };
        let chain = identity.chain().iter().cloned().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key().to_vec()));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|_| TlsError::UnsupportedKey {
                purpose: Purpose::Server,
                location: identity.location().clone(),
                kind: identity.details().key_type,
            })?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // Tickets need no memory for each client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if client_cas.is_none() {
            config.ticketer = Arc::clone(&self.tickets);
        }
        // A resumed session would skip the check of a client certificate, which may have expired meanwhile.
        config.send_tls13_tickets = if client_cas.is_none() { 2 } else { 0 };
        Ok(config)
    }
}

/// The certificates in the file of `server.tls.client_ca`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClientCas {
    path: Arc<Path>,
    certificates: Vec<Vec<u8>>,
}

impl ClientCas {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no certificate.
    pub(super) fn load(path: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            path: path.into(),
            certificates: certificates_from_file(path).map_err(TlsError::ClientCaFile)?,
        })
    }

    /// Clients without a certificate are let in, because probes have none; `serve` limits them to `/health…`.
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let unusable = |reason: String| TlsError::ClientCa {
            path: self.path.to_path_buf(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        for certificate in &self.certificates {
            roots
                .add(CertificateDer::from(certificate.clone()))
                .map_err(|error| unusable(error.to_string()))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| unusable(error.to_string()))
    }
}
