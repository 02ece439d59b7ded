//! The certificate and the client CAs of a running server, and how they are replaced.

use std::{path::PathBuf, sync::Arc};

use super::{
    error::TlsError,
    served_certificate::ServedCertificate,
    server_config::{ClientCas, ConfigFactory},
};
use crate::{
    certificate::TlsIdentity,
    metrics::{self, certificates::Reload},
    serve::{ClientCertificates, Tls},
};

/// See the module.
pub(super) struct Installation {
    /// The server in the metrics.
    role: &'static str,
    factory: ConfigFactory,
    client_ca: Option<PathBuf>,
    client_cas: Option<ClientCas>,
    identity: TlsIdentity,
    tls: Tls,
    served: ServedCertificate,
}

impl Installation {
    /// Begins with this certificate. With `client_ca`, clients need a certificate from a CA in that file.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn new(role: &'static str, identity: TlsIdentity, client_ca: Option<PathBuf>) -> Result<Self, TlsError> {
        let factory = ConfigFactory::new()?;
        let client_cas = client_ca.as_deref().map(ClientCas::load).transpose()?;
        let config = factory.create(&identity, client_cas.as_ref())?;
        let client_certificates = match client_cas {
            Some(_) => ClientCertificates::Required,
            None => ClientCertificates::NotRequested,
        };
        let served = ServedCertificate::default();
        served.set(identity.details().clone());
        Ok(Self {
            role,
            factory,
            client_ca,
            client_cas,
            identity,
            tls: Tls::new(Arc::new(config), client_certificates),
            served,
        })
    }

    /// As [`Self::new`], with a certificate that no client trusts: the server is not ready.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn temporary(
        role: &'static str,
        identity: TlsIdentity,
        client_ca: Option<PathBuf>,
    ) -> Result<Self, TlsError> {
        let installation = Self::new(role, identity, client_ca)?;
        installation.served.clear();
        installation.tls.set_ready(false);
        Ok(installation)
    }

    /// Puts the time of expiry into the metrics. Not for a temporary certificate.
    pub(super) fn publish_expiry(&self) {
        if let Some(not_after) = self.served.not_after() {
            metrics::certificates::set_tls_not_after(self.role, not_after.timestamp());
        }
    }

    /// The files cannot be used.
    pub(super) fn count_failure(&self) {
        metrics::certificates::tls_reloaded(self.role, Reload::Failed);
        self.served.record_failure();
    }

    /// The configuration that the server uses.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The certificate in use.
    pub(super) fn served(&self) -> ServedCertificate {
        self.served.clone()
    }

    /// The certificate itself, in DER.
    pub(super) fn leaf(&self) -> &[u8] {
        self.identity.chain().first().map_or(&[], Vec::as_slice)
    }

    /// The file with the client CAs, if they matter.
    pub(super) fn client_ca(&self) -> Option<&PathBuf> {
        self.client_ca.as_ref()
    }

    /// Uses this certificate for new connections. Does nothing if it is already in use.
    ///
    /// # Errors
    /// See [`TlsError`]; everything stays as it is.
    pub(super) fn install(&mut self, identity: TlsIdentity) -> Result<(), TlsError> {
        // Another key has another certificate.
        if identity.chain() == self.identity.chain() {
            return Ok(());
        }
        let config = self.factory.create(&identity, self.client_cas.as_ref())?;
        self.tls.replace(Arc::new(config));
        self.tls.set_ready(true);
        let details = identity.details();
        log::info!(
            "the server has a new TLS certificate: {}, SHA-256 {}, valid until {}",
            details.subject,
            details.thumbprints.sha256_hex(),
            details.not_after.format("%Y-%m-%d %H:%M UTC")
        );
        self.served.set(details.clone());
        self.identity = identity;
        self.publish_expiry();
        metrics::certificates::tls_reloaded(self.role, Reload::Replaced);
        Ok(())
    }

    /// Uses the client CAs as they are now.
    ///
    /// # Errors
    /// See [`TlsError`]; everything stays as it is.
    pub(super) fn reload_client_cas(&mut self) -> Result<(), TlsError> {
        let client_cas = self.client_ca.as_deref().map(ClientCas::load).transpose()?;
        if client_cas == self.client_cas {
            return Ok(());
        }
        let config = self.factory.create(&self.identity, client_cas.as_ref())?;
        self.tls.replace(Arc::new(config));
        log::info!("the CAs of client certificates were reloaded");
        self.client_cas = client_cas;
        Ok(())
    }
}
