//! The certificate in use, and the one before it: while a new certificate is on its way into the file here and into the
//! registration there, either may be the one that Entra accepts.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use crate::{
    config::CertificateSettings,
    entra::certificate::{CertificateError, ClientCertificate},
};

/// The certificates that the application may prove itself with.
pub(super) struct Certificates {
    settings: CertificateSettings,
    held: ArcSwap<Held>,
    /// Held by whoever decides which one is used: between looking and changing nobody else may. Requests only look.
    deciding: Mutex<()>,
    /// Whether what is in the files now cannot be used.
    is_broken: AtomicBool,
}

struct Held {
    in_use: Arc<ClientCertificate>,
    /// The one before, or one that Entra has refused; tried when Entra refuses the one in use.
    other: Option<Arc<ClientCertificate>>,
}

impl Certificates {
    /// Loads and checks the configured one.
    pub(super) fn load(settings: &CertificateSettings) -> Result<Self, CertificateError> {
        let in_use = Arc::new(ClientCertificate::load(settings)?);
        Ok(Self {
            settings: settings.clone(),
            held: ArcSwap::from_pointee(Held { in_use, other: None }),
            deciding: Mutex::new(()),
            is_broken: AtomicBool::new(false),
        })
    }

    pub(super) fn in_use(&self) -> Arc<ClientCertificate> {
        Arc::clone(&self.held.load().in_use)
    }

    /// Reads the files again. A certificate that is new there is taken if it is of its key and in date; otherwise the
    /// one in use stays. `true` when a new one is in use now.
    pub(super) fn reload(&self, now: DateTime<Utc>) -> Result<bool, CertificateError> {
        let _deciding = self.decide();
        self.reload_alone(now)
    }

    fn reload_alone(&self, now: DateTime<Utc>) -> Result<bool, CertificateError> {
        let new = ClientCertificate::load(&self.settings).and_then(|new| new.check_dates(now).map(|()| new));
        self.is_broken.store(new.is_err(), Ordering::Relaxed);
        let new = new?;
        let held = self.held.load_full();
        // One that is known already stays where it is: which of the two is used is for Entra to say.
        if is_same(&new, &held.in_use) || held.other.as_ref().is_some_and(|other| is_same(&new, other)) {
            return Ok(false);
        }
        log::info!(
            "a new certificate is in use: {}, SHA-1 {}",
            new.details().subject,
            new.details().thumbprints.sha1_hex()
        );
        self.held.store(Arc::new(Held { in_use: Arc::new(new), other: Some(Arc::clone(&held.in_use)) }));
        Ok(true)
    }

    fn decide(&self) -> MutexGuard<'_, ()> {
        // It guards no data that a panic could leave half changed.
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what is in the files now cannot be used.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// The certificate to try after Entra has refused `refused`, if there is one that may do better: what another request
    /// found, what is new in the files, or the one before.
    pub(super) fn instead_of(
        &self,
        refused: &Arc<ClientCertificate>,
        now: DateTime<Utc>,
    ) -> Option<Arc<ClientCertificate>> {
        let _deciding = self.decide();
        if !is_same(&self.in_use(), refused) {
            return Some(self.in_use());
        }
        match self.reload_alone(now) {
            Ok(true) => return Some(self.in_use()),
            Ok(false) => {}
            Err(error) => log::error!("the certificate's files cannot be used: {error}; hint: {}", error.hint()),
        }
        let held = self.held.load_full();
        let other = held.other.clone().filter(|other| other.check_dates(now).is_ok())?;
        log::warn!(
            "Entra ID refused the certificate with SHA-1 {}; trying the one with {}",
            refused.details().thumbprints.sha1_hex(),
            other.details().thumbprints.sha1_hex()
        );
        self.held.store(Arc::new(Held { in_use: Arc::clone(&other), other: Some(Arc::clone(refused)) }));
        Some(other)
    }
}

fn is_same(one: &ClientCertificate, other: &ClientCertificate) -> bool {
    one.details().thumbprints.sha256_hex() == other.details().thumbprints.sha256_hex()
}
