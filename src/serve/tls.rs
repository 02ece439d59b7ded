//! The TLS configuration of a server. The room `tls` creates and replaces it; the server only uses it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// Which clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None: no client is asked for one.
    NotRequested,
    /// All, except for probes: every client gets `/health…`.
    Required,
}

/// The TLS configuration of a server. It can be replaced while connections are open, which keep the one they began with.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    is_ready: Arc<AtomicBool>,
    client_certificates: ClientCertificates,
}

impl Tls {
    /// HTTPS with this configuration.
    pub fn new(config: Arc<ServerConfig>, client_certificates: ClientCertificates) -> Self {
        Self {
            config: Arc::new(ArcSwap::new(config)),
            is_ready: Arc::new(AtomicBool::new(true)),
            client_certificates,
        }
    }

    /// New connections use this configuration.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Sets whether clients can trust the certificate. Until then, readiness is 503.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Whether clients can trust the certificate.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Which clients must have a certificate.
    pub(super) fn client_certificates(&self) -> ClientCertificates {
        self.client_certificates
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("client_certificates", &self.client_certificates)
            .finish_non_exhaustive()
    }
}
