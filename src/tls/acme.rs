//! A certificate from an ACME CA (RFC 8555), such as Let's Encrypt, verified by http-01.
//!
//! The server starts without waiting for the CA: with the certificate of the last run, or with a temporary one until the first
//! is issued. One thread talks to the CA.

mod cache;
mod error;
mod http_client;
mod order;
mod renewal;
mod schedule;
mod temporary;

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, Sender},
    time::Duration,
};

use chrono::Utc;

use self::{
    cache::Cache,
    error::AcmeError,
    renewal::{Renewal, State},
};
use super::{
    challenges::Challenges, error::TlsError, installation::Installation, served_certificate::ServedCertificate,
};
use crate::{
    background,
    certificate::{CertificateLocation, ExpiryNotifier, ExpirySubject, TlsIdentity},
    config::AcmeSettings,
    hint::Hint as _,
    outbound::{self, Target},
    serve::Tls,
};

/// Timeout of one request to the CA.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The renewal. Dropping it ends the renewal.
pub(super) struct Acme {
    stop: Sender<()>,
}

impl Acme {
    /// Starts with the certificate in the cache, if it is valid, and renews it on a new thread.
    ///
    /// # Errors
    /// See [`TlsError`]. That the CA cannot be reached is none of them.
    pub(super) fn start(
        role: &'static str,
        settings: &AcmeSettings,
        client_ca: Option<PathBuf>,
        challenges: Challenges,
        warning_days: &[u32],
    ) -> Result<(Self, Tls, ServedCertificate), TlsError> {
        let folder = settings.cache_dir.as_deref().unwrap_or(Path::new("."));
        let cache = Cache::new(folder, settings);
        cache.check().map_err(|error| start_error(&error))?;
        let (installation, mut state) = if let Some(identity) = cached(&cache).map_err(|error| start_error(&error))? {
            let state = State::after(&identity);
            (Installation::new(role, identity, client_ca)?, state)
        } else {
            let temporary = temporary::identity(&settings.domains).map_err(|error| start_error(&error))?;
            let installation = Installation::temporary(role, temporary, client_ca)?;
            (installation, State::without_certificate())
        };
        if let Some(until) = cache.pause().filter(|until| *until > state.due) {
            log::warn!(
                "the ACME CA wants no request before {}",
                until.format("%Y-%m-%d %H:%M UTC")
            );
            state.due = until;
        }
        installation.publish_expiry();
        let (tls, served) = (installation.tls(), installation.served());
        let mut renewal = Renewal {
            agent: outbound::agent(Target::Other, TIMEOUT, settings.ca_file.as_deref())
                .map_err(TlsError::AcmeCaFile)?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(TlsError::Threads)?,
            expiry: ExpiryNotifier::new(ExpirySubject::ServerCertificate, warning_days),
            settings: settings.clone(),
            cache,
            challenges,
            installation,
            state,
            last_error: None,
        };
        let (stop, stopped) = mpsc::channel();
        background::spawn_restarting("acme", move || renewal.run(&stopped)).map_err(TlsError::Threads)?;
        Ok((Self { stop }, tls, served))
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        // Fails only if the thread has already ended.
        let _ = self.stop.send(());
    }
}

/// The certificate in the cache, if it can be used.
fn cached(cache: &Cache) -> Result<Option<TlsIdentity>, AcmeError> {
    let Some(pem) = cache.certificate()? else {
        return Ok(None);
    };
    let location = CertificateLocation::from(cache.certificate_path());
    match TlsIdentity::from_pem(&pem, &location, Utc::now()) {
        Ok(identity) => Ok(Some(identity)),
        Err(error) => {
            log::warn!("{error}; a new certificate is ordered");
            Ok(None)
        }
    }
}

fn start_error(error: &AcmeError) -> TlsError {
    TlsError::Acme {
        hint: error.hint().map(std::borrow::Cow::into_owned),
        reason: error.to_string(),
    }
}
