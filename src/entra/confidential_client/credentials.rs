//! The credential in use, and those that may be tried in its place: further entries of the list, and the certificate before
//! this one. While a new certificate is on its way into the file here and into the registration there, either may be the one
//! that Entra accepts.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::entra::{
    aadsts::EntraError,
    certificate::CertificateError,
    credential::{Credential, CredentialError, CredentialSource, Placed},
};

/// What the application may prove itself with.
pub(super) struct Credentials {
    sources: Vec<CredentialSource>,
    held: ArcSwap<Held>,
    /// Held by whoever decides which one is used: between looking and changing nobody else may. Requests only look.
    deciding: Mutex<Told>,
    /// Whether what the source of the one in use holds now cannot be used.
    is_broken: AtomicBool,
}

struct Held {
    in_use: Placed,
    /// Tried when Entra refuses the one in use, the first first; one that was refused goes to the end.
    others: Vec<Placed>,
}

/// Why another credential than the one in use is wanted.
pub(super) enum Trouble<'a> {
    /// Entra refused it, with this assertion.
    Refused { answer: &'a EntraError, assertion: &'a SecretString },
    /// It gave no assertion; Entra never saw it.
    Unusable(&'a CredentialError),
}

impl Trouble<'_> {
    /// Whether `other` may do better than `used`. What Entra refused it refuses whoever signs; where a vault does not sign,
    /// the same certificate with its key in a file does.
    fn may_pass_with(&self, other: &Credential, used: &Credential) -> bool {
        match self {
            Self::Refused { .. } => !other.is_same_for_entra(used),
            Self::Unusable(_) => !other.is_same(used),
        }
    }

    /// Whether `used` itself may pass now: a token, of which there is a newer one.
    fn has_passed(&self, used: &Credential) -> bool {
        match (self, used) {
            (Self::Refused { assertion, .. }, Credential::Federated(federated)) => federated.has_another(assertion),
            _ => false,
        }
    }

    fn tell(&self, used: &Credential) {
        let used = used.name();
        match self {
            Self::Refused { answer, .. } => log::warn!(
                "{used} was refused by Entra ID: {} ({}), correlation_id={}",
                answer.label(),
                answer.cause(),
                answer.correlation_id.as_deref().unwrap_or("-")
            ),
            Self::Unusable(error) => {
                log::warn!("{used} could not be used, and Entra ID was not asked: {}", error.with_hint());
            }
        }
    }
}

/// What the log has of each source that cannot be used, so that it is there once and not each minute.
type Told = Vec<Option<String>>;

impl Credentials {
    /// The first of the list that can be used.
    pub(super) fn load(sources: Vec<CredentialSource>) -> Result<Self, CredentialError> {
        let mut told = vec![None; sources.len()];
        let mut errors = Vec::new();
        for (position, source) in sources.iter().enumerate() {
            match source.load() {
                Ok(credential) => {
                    log::info!("the site proves itself by {}", credential.name());
                    let in_use = Placed { position, credential };
                    return Ok(Self {
                        sources,
                        held: ArcSwap::from_pointee(Held { in_use, others: Vec::new() }),
                        deciding: Mutex::new(told),
                        is_broken: AtomicBool::new(false),
                    });
                }
                Err(error) => {
                    if sources.len() > 1 {
                        tell(&mut told, position, source, &error);
                    }
                    errors.push((format!("{}. {}: {error}", position + 1, source.name()), error));
                }
            }
        }
        match errors.len() {
            0 => Err(CertificateError::NotConfigured.into()),
            1 => Err(errors.remove(0).1),
            _ => Err(CredentialError::NoneUsable(errors.into_iter().map(|(text, _)| text).collect())),
        }
    }

    pub(super) fn in_use(&self) -> Arc<Credential> {
        Arc::clone(&self.held.load().in_use.credential)
    }

    /// Looks at the sources again, in their order, up to the one in use. A credential that is new there is taken if it can be
    /// used; otherwise the one in use stays. `true` when a new one is in use now.
    pub(super) fn reload(&self, now: DateTime<Utc>) -> Result<bool, CredentialError> {
        self.reload_alone(&mut self.decide(), now, CredentialSource::look)
    }

    fn reload_alone(
        &self,
        told: &mut Told,
        now: DateTime<Utc>,
        read: fn(&CredentialSource) -> Result<Arc<Credential>, CredentialError>,
    ) -> Result<bool, CredentialError> {
        let held = self.held.load_full();
        for (position, source) in self.sources.iter().enumerate() {
            let is_own = position == held.in_use.position;
            let read = read(source).and_then(|new| new.check_dates(now).map(|()| new));
            if is_own {
                self.is_broken.store(read.is_err(), Ordering::Relaxed);
            }
            match read {
                Ok(new) if new.is_same(&held.in_use.credential) => {
                    forget(told, position);
                    return Ok(false);
                }
                // One that is known already stays where it is: which of them is used is for Entra to say. What comes after it
                // in the list is for when the one in use does not do.
                Ok(new) if held.knows(&new) => {
                    forget(told, position);
                    if is_own && held.in_use.credential.check_dates(now).is_ok() {
                        return Ok(false);
                    }
                }
                Ok(credential) => {
                    forget(told, position);
                    log::info!("a new credential is in use: {}", credential.name());
                    self.put(held.replaced_by(Placed { position, credential }));
                    return Ok(true);
                }
                // What was good when it was read stays good until its end.
                Err(error) if is_own && held.in_use.credential.check_dates(now).is_ok() => return Err(error),
                Err(error) => tell(told, position, source, &error),
            }
        }
        Ok(false)
    }

    fn decide(&self) -> MutexGuard<'_, Told> {
        // It guards nothing that a panic could leave half changed.
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut held: Held) {
        // Certificates of long ago are of no use.
        held.others.truncate(self.sources.len() + 1);
        self.held.store(Arc::new(held));
    }

    /// Whether what the source of the one in use holds now cannot be used.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// The credential to try after `used`, if there is one that may do better: what another request found, what is new in its
    /// source, the one before, or the next in the list.
    pub(super) fn instead_of(
        &self,
        used: &Arc<Credential>,
        trouble: &Trouble<'_>,
        now: DateTime<Utc>,
    ) -> Option<Arc<Credential>> {
        let mut told = self.decide();
        let may_pass = |other: &Credential| trouble.may_pass_with(other, used);
        if may_pass(&self.in_use()) {
            return Some(self.in_use());
        }
        trouble.tell(used);
        if trouble.has_passed(used) {
            return Some(Arc::clone(used));
        }
        match self.reload_alone(&mut told, now, CredentialSource::load_anew) {
            Ok(true) if may_pass(&self.in_use()) => return Some(self.in_use()),
            Ok(_) => {}
            Err(error) => log::error!("what the credential in use is read from cannot be used: {}", error.with_hint()),
        }
        let held = self.held.load_full();
        let mut others = held.others.clone();
        others.extend(self.further(&held, &mut told, now));
        let may_do = |other: &Credential| may_pass(other) && other.check_dates(now).is_ok();
        let at = others.iter().position(|other| may_do(&other.credential))?;
        let next = others.remove(at);
        log::warn!("trying {} in its place", next.credential.name());
        others.push(held.in_use.clone());
        let credential = Arc::clone(&next.credential);
        self.put(Held { in_use: next, others });
        Some(credential)
    }

    /// The usable ones of the list that are not known yet.
    fn further(&self, held: &Held, told: &mut Told, now: DateTime<Utc>) -> Vec<Placed> {
        let mut found = Vec::new();
        for (position, source) in self.sources.iter().enumerate().filter(|(n, _)| *n != held.in_use.position) {
            match source.look().and_then(|other| other.check_dates(now).map(|()| other)) {
                Ok(credential) if !held.knows(&credential) => found.push(Placed { position, credential }),
                Ok(_) => {}
                Err(error) => tell(told, position, source, &error),
            }
        }
        found
    }
}

impl Held {
    fn knows(&self, credential: &Credential) -> bool {
        std::iter::once(&self.in_use).chain(&self.others).any(|known| known.credential.is_same(credential))
    }

    /// The one in use until now is the first to be tried when Entra does not take the new one yet.
    fn replaced_by(&self, new: Placed) -> Self {
        let others = std::iter::once(&self.in_use).chain(&self.others).cloned().collect();
        Self { in_use: new, others }
    }
}

fn forget(told: &mut Told, position: usize) {
    if let Some(place) = told.get_mut(position) {
        *place = None;
    }
}

fn tell(told: &mut Told, position: usize, source: &CredentialSource, error: &CredentialError) {
    let text = error.to_string();
    if let Some(place) = told.get_mut(position)
        && place.as_ref() != Some(&text)
    {
        log::warn!("credential {} {} is not used: {}", position + 1, source.name(), error.with_hint());
        *place = Some(text);
    }
}
