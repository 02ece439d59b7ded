//! The credential in use, and those that may be tried in its place: further entries of the list, and the certificate before
//! this one. While a new certificate is on its way into the file here and into the registration there, either may be the one
//! that Entra accepts.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;

use crate::{
    certificate::CertificateError,
    entra::{
        aadsts::EntraError,
        credential::{Credential, CredentialError, CredentialSource, Placed},
    },
};

/// What the application may prove itself with.
pub(super) struct Credentials {
    sources: Vec<CredentialSource>,
    /// Changed by what is a function of it alone, so that no change is lost; nobody waits for it.
    held: ArcSwap<Held>,
    /// Held by whoever looks at the sources, which may take seconds: who wants the same waits for what the first one finds.
    looking: Mutex<Told>,
    /// Why what each source holds now cannot be used, as far as it was looked at.
    unusable: ArcSwap<Vec<Option<&'static str>>>,
}

#[derive(Clone)]
struct Held {
    in_use: Placed,
    /// Tried when the one in use does not do, in this order: what else its source holds now, those before it, what the list holds
    /// besides.
    others: Vec<Placed>,
    /// Those that did not do either, the longest ago first: tried when there are no others.
    in_vain: Vec<Placed>,
}

/// Most credentials kept that no source holds any more: the one before, and the one before that.
const MAX_OF_BEFORE: usize = 2;
/// Most kept of those that are not in use, before it is looked which of them a source still holds: certificates may be renewed
/// every hour, for years.
const MAX_OTHERS: usize = 8;

/// How it went with a credential that was tried in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Entra took it.
    Accepted,
    /// Entra refused it.
    Refused,
    /// It gave no assertion, or Entra no answer that tells.
    Unknown,
}

/// Why another credential than the one in use is wanted.
pub(super) enum Trouble<'a> {
    /// Entra refused it, with this assertion.
    Refused {
        answer: &'a EntraError,
        assertion: &'a SecretString,
    },
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
                log::warn!(
                    "{used} could not be used, and Entra ID was not asked: {}",
                    error.with_hint()
                );
            }
        }
    }
}

/// What the log has of each source that cannot be used, so that it is there once and not each minute.
type Told = Vec<Option<String>>;

/// How a source is looked at.
type Read<'a> = &'a dyn Fn(&CredentialSource) -> Result<Arc<Credential>, CredentialError>;

impl Credentials {
    /// The first of the list that can be used.
    pub(super) fn load(sources: Vec<CredentialSource>) -> Result<Self, CredentialError> {
        let mut told = vec![None; sources.len()];
        let mut unusable = vec![None; sources.len()];
        let mut errors = Vec::new();
        for (position, source) in sources.iter().enumerate() {
            match source.load() {
                Ok(credential) => {
                    let in_use = Placed::new(position, credential);
                    return Ok(Self {
                        sources,
                        held: ArcSwap::from_pointee(Held {
                            in_use,
                            others: Vec::new(),
                            in_vain: Vec::new(),
                        }),
                        looking: Mutex::new(told),
                        unusable: ArcSwap::from_pointee(unusable),
                    });
                }
                Err(error) => {
                    if sources.len() > 1 {
                        tell(&mut told, position, source, &error);
                    }
                    note(&mut unusable, position, Some(&error));
                    errors.push((format!("{}. {}", position + 1, source.name()), error));
                }
            }
        }
        match errors.len() {
            0 => Err(CertificateError::NotConfigured.into()),
            1 => Err(errors.remove(0).1),
            _ => Err(CredentialError::NoneUsable(errors)),
        }
    }

    /// This one, which nothing can replace.
    pub(super) fn only(credential: Arc<Credential>) -> Self {
        let in_use = Placed::new(0, credential);
        Self {
            sources: Vec::new(),
            held: ArcSwap::from_pointee(Held {
                in_use,
                others: Vec::new(),
                in_vain: Vec::new(),
            }),
            looking: Mutex::default(),
            unusable: ArcSwap::default(),
        }
    }

    pub(super) fn in_use(&self) -> Arc<Credential> {
        Arc::clone(&self.held.load().in_use.credential)
    }

    /// Looks at the sources again, in their order, up to the one in use. A credential that is new there is taken if it can be
    /// used; otherwise the one in use stays. `true` when a new one is in use now.
    pub(super) fn reload(&self, now: DateTime<Utc>) -> Result<bool, CredentialError> {
        self.reload_alone(&mut self.look(), now, &CredentialSource::look)
    }

    fn reload_alone(&self, told: &mut Told, now: DateTime<Utc>, read: Read<'_>) -> Result<bool, CredentialError> {
        let mut unusable = self.unusable.load_full().to_vec();
        let outcome = self.look_through(told, &mut unusable, now, read);
        self.unusable.store(Arc::new(unusable));
        outcome
    }

    fn look_through(
        &self,
        told: &mut Told,
        unusable: &mut [Option<&'static str>],
        now: DateTime<Utc>,
        read: Read<'_>,
    ) -> Result<bool, CredentialError> {
        let held = self.held.load_full();
        for (position, source) in self.sources.iter().enumerate() {
            let is_own = position == held.in_use.position;
            let read = read(source).and_then(|new| new.check_dates(now).map(|()| new));
            note(unusable, position, read.as_ref().err());
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
                    let new = Placed::new(position, credential);
                    self.held.rcu(|held| held.replaced_by(&new));
                    return Ok(true);
                }
                // What was good when it was read stays good until its end.
                Err(error) if is_own && held.in_use.credential.check_dates(now).is_ok() => return Err(error),
                Err(error) => tell(told, position, source, &error),
            }
        }
        Ok(false)
    }

    fn look(&self) -> MutexGuard<'_, Told> {
        // It guards nothing that a panic could leave half changed.
        self.looking.lock()
    }

    /// Why what each source holds now cannot be used, in the order of the list; of one that can, `None`.
    pub(super) fn unusable(&self) -> Vec<(&str, Option<&'static str>)> {
        let unusable = self.unusable.load();
        self.sources
            .iter()
            .map(CredentialSource::kind)
            .zip(unusable.iter().copied())
            .collect()
    }

    /// The credential to try after `used`, if there is one that may do better: what another request found, what is new in its
    /// source, what the list holds besides, or the one before. [`Self::tried`] wants to know how it went.
    pub(super) fn instead_of(
        &self,
        used: &Arc<Credential>,
        trouble: &Trouble<'_>,
        now: DateTime<Utc>,
    ) -> Option<Placed> {
        let wanted = Instant::now();
        let may_pass = |other: &Credential| trouble.may_pass_with(other, used);
        let another_in_use = || Some(self.held.load().in_use.clone()).filter(|in_use| may_pass(&in_use.credential));
        if let Some(another) = another_in_use() {
            return Some(another);
        }
        let mut told = self.look();
        // Who had to wait may find that it is done.
        if let Some(another) = another_in_use() {
            return Some(another);
        }
        trouble.tell(used);
        if let (Trouble::Refused { .. }, Some(known)) = (trouble, self.held.load().find(used)) {
            known.refuse();
        }
        if trouble.has_passed(used) {
            return Some(self.held.load().in_use.clone());
        }
        let anew = |source: &CredentialSource| source.load_anew(wanted);
        match self.reload_alone(&mut told, now, &anew) {
            Ok(true) => {
                if let Some(another) = another_in_use() {
                    return Some(another);
                }
            }
            Ok(false) => {}
            Err(error) => log::error!(
                "what the credential in use is read from cannot be used: {}",
                error.with_hint()
            ),
        }
        let may_do = |other: &Credential| may_pass(other) && other.check_dates(now).is_ok();
        // What was well a while ago comes first: who waits for it is a person. With nothing else, those are asked again that
        // were not.
        let next = self.other(&mut told, now, &CredentialSource::look, may_do);
        let next = next.or_else(|| self.other(&mut told, now, &anew, may_do))?;
        log::warn!("trying {} in its place", next.credential.name());
        Some(next)
    }

    /// The first that may do of all that is known and of what the sources hold now.
    fn other(
        &self,
        told: &mut Told,
        now: DateTime<Utc>,
        read: Read<'_>,
        may_do: impl Fn(&Credential) -> bool,
    ) -> Option<Placed> {
        let current = self.current(told, now, read);
        self.held.rcu(|held| held.with_all(&current));
        // Meanwhile another request may have put what will do into use.
        self.held.load().all().find(|other| may_do(&other.credential)).cloned()
    }

    /// Notes how it went with what [`Self::instead_of`] gave. What Entra took is in use from now on; what it did not take is
    /// the last to be tried again. Only its answer counts: that there is another credential does not make the one in use worse.
    pub(super) fn tried(&self, other: &Placed, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => other.accept(),
            Verdict::Refused => other.refuse(),
            Verdict::Unknown => {}
        }
        self.held.rcu(|held| held.after(other, verdict == Verdict::Accepted));
    }

    /// Notes that Entra took it.
    pub(super) fn accepted(&self, credential: &Arc<Credential>) {
        let held = self.held.load();
        if Arc::ptr_eq(&held.in_use.credential, credential) {
            held.in_use.accept();
        }
    }

    /// What the sources hold now and can be used, in the order of the list.
    fn current(&self, told: &mut Told, now: DateTime<Utc>, read: Read<'_>) -> Vec<Placed> {
        let mut found = Vec::new();
        for (position, source) in self.sources.iter().enumerate() {
            match read(source).and_then(|other| other.check_dates(now).map(|()| other)) {
                Ok(credential) => found.push(Placed::new(position, credential)),
                Err(error) => tell(told, position, source, &error),
            }
        }
        found
    }
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &Placed> {
        std::iter::once(&self.in_use).chain(&self.others).chain(&self.in_vain)
    }

    fn knows(&self, credential: &Credential) -> bool {
        self.find(credential).is_some()
    }

    fn find(&self, credential: &Credential) -> Option<&Placed> {
        self.all().find(|known| known.credential.is_same(credential))
    }

    /// The one in use until now is the first to be tried when Entra does not take the new one yet.
    fn replaced_by(&self, new: &Placed) -> Self {
        let others = std::iter::once(&self.in_use)
            .chain(&self.others)
            .take(MAX_OTHERS)
            .cloned()
            .collect();
        Self {
            in_use: new.clone(),
            others,
            in_vain: self.in_vain.clone(),
        }
    }

    /// After `other` was tried in place of the one in use.
    fn after(&self, other: &Placed, is_accepted: bool) -> Self {
        if self.in_use.credential.is_same(&other.credential) {
            return self.clone();
        }
        let without = |list: &[Placed]| -> Vec<_> {
            list.iter()
                .filter(|known| !known.credential.is_same(&other.credential))
                .cloned()
                .collect()
        };
        let (others, mut in_vain) = (without(&self.others), without(&self.in_vain));
        let (in_use, lost) = if is_accepted {
            (other, &self.in_use)
        } else {
            (&self.in_use, other)
        };
        in_vain.push(lost.clone());
        Self {
            in_use: in_use.clone(),
            others,
            in_vain,
        }
    }

    /// With all that the sources hold now; of what none of them holds any more, only the last few, and no mistakes.
    fn with_all(&self, current: &[Placed]) -> Self {
        let is_current = |one: &Placed| current.iter().any(|other| other.credential.is_same(&one.credential));
        let (current_ones, before): (Vec<_>, Vec<_>) = self.others.iter().cloned().partition(is_current);
        let new = current.iter().filter(|one| !self.knows(&one.credential)).cloned();
        let (own, besides): (Vec<_>, Vec<_>) = new
            .chain(current_ones)
            .partition(|one| one.position == self.in_use.position);
        let before = before.into_iter().filter(|one| !one.is_mistake()).take(MAX_OF_BEFORE);
        let (mut in_vain, before_in_vain): (Vec<_>, Vec<_>) = self.in_vain.iter().cloned().partition(is_current);
        in_vain.extend(
            before_in_vain
                .into_iter()
                .filter(|one| !one.is_mistake())
                .rev()
                .take(MAX_OF_BEFORE),
        );
        Self {
            in_use: self.in_use.clone(),
            others: own.into_iter().chain(before).chain(besides).collect(),
            in_vain,
        }
    }
}

fn note(unusable: &mut [Option<&'static str>], position: usize, error: Option<&CredentialError>) {
    if let Some(place) = unusable.get_mut(position) {
        *place = error.map(CredentialError::reason);
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
        log::warn!(
            "credential {} {} is not used: {}",
            position + 1,
            source.name(),
            error.with_hint()
        );
        *place = Some(text);
    }
}
