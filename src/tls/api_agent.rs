//! The HTTP agent for the site's requests to the API: it trusts the API's CA, and shows the site's certificate to an API that
//! asks for one.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use chrono::Utc;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use ureq::Agent;

use super::{
    certificate_files,
    error::{Purpose, TlsError},
    report::report,
    served_certificate::ServedCertificate,
};
use crate::{
    certificate::{ExpiryNotifier, ExpirySubject, TlsIdentity},
    config::{CertificateSettings, Settings},
    file_watch::{FileWatch, Occasion},
    outbound::{self, ClientIdentity, Target},
};

/// The agent. It is replaced when the site's certificate is; requests under way keep the one that they began with.
pub struct ApiAgent {
    current: Arc<ArcSwap<Agent>>,
    certificate: ServedCertificate,
    _watch: Option<FileWatch>,
}

impl ApiAgent {
    /// Loads the certificate that the settings name, if they name one, and watches it.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn start(settings: &Settings) -> Result<Self, TlsError> {
        let certificate = ServedCertificate::default();
        let Some(files) = settings.client.api_tls_certificate() else {
            return Ok(Self {
                current: Arc::new(ArcSwap::from_pointee(agent(settings, None)?)),
                certificate,
                _watch: None,
            });
        };
        let identity = load(&files)?;
        let current = Arc::new(ArcSwap::from_pointee(agent(settings, Some(&identity))?));
        certificate.set(identity.details().clone());
        let mut reload = Reload {
            settings: settings.clone(),
            chain: identity.chain().to_vec(),
            current: Arc::clone(&current),
            certificate: certificate.clone(),
        };
        let mut expiry = ExpiryNotifier::new(
            ExpirySubject::ApiClientCertificate,
            &settings.client.expiry_warning_days,
        );
        let mut last_error = None;
        let watched = files.files();
        let watch = FileWatch::start("api-certificate-watch", &watched, move |occasion| {
            if occasion == Occasion::Check {
                report(reload.run(&files).err(), &mut last_error);
            }
            if let Some(details) = reload.certificate.details()
                && let Some((level, text)) = expiry.next_warning(&details, Utc::now())
            {
                log::log!(level, "{text}");
            }
        });
        Ok(Self {
            current,
            certificate,
            _watch: Some(watch.map_err(TlsError::Threads)?),
        })
    }

    /// An agent with the certificate as it is now, for a few requests.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn once(settings: &Settings) -> Result<Agent, TlsError> {
        let identity = settings
            .client
            .api_tls_certificate()
            .map(|files| load(&files))
            .transpose()?;
        agent(settings, identity.as_ref())
    }

    /// The agent for a request.
    pub fn get(&self) -> Arc<Agent> {
        self.current.load_full()
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> ServedCertificate {
        self.certificate.clone()
    }
}

struct Reload {
    settings: Settings,
    chain: Vec<Vec<u8>>,
    current: Arc<ArcSwap<Agent>>,
    certificate: ServedCertificate,
}

impl Reload {
    fn run(&mut self, files: &CertificateSettings) -> Result<(), TlsError> {
        let identity = load(files)?;
        if identity.chain() == self.chain {
            return Ok(());
        }
        self.current.store(Arc::new(agent(&self.settings, Some(&identity))?));
        let details = identity.details();
        log::info!(
            "the site's TLS certificate for the API was reloaded: {}, valid until {}",
            details.subject,
            details.not_after.format("%Y-%m-%d %H:%M UTC")
        );
        self.certificate.set(details.clone());
        self.chain = identity.chain().to_vec();
        Ok(())
    }
}

pub(super) fn load(files: &CertificateSettings) -> Result<TlsIdentity, TlsError> {
    let purpose = Purpose::ApiClient;
    let identity = certificate_files::load(files, purpose)?;
    // The agent would panic if rustls rejected the key.
    let chain = identity.chain().iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key().to_vec()));
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(identity),
        Err(_) => Err(TlsError::UnsupportedKey {
            purpose,
            location: identity.location().clone(),
            kind: identity.details().key_type,
        }),
    }
}

fn agent(settings: &Settings, identity: Option<&TlsIdentity>) -> Result<Agent, TlsError> {
    let ca_files: Vec<&Path> = [&settings.entra.ca_file, &settings.client.api_ca_file]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let key_pem = identity.and_then(TlsIdentity::key_pem).unwrap_or_default();
    let identity = identity.map(|identity| ClientIdentity {
        chain: identity.chain(),
        key_pem: &key_pem,
    });
    Ok(outbound::identified_agent(
        Target::Api,
        settings.client.api_timeout,
        &ca_files,
        identity.as_ref(),
    )?)
}
