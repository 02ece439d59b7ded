//! The credential in use, and the candidates to replace it: other entries of `client.credential`, and previous certificates. While
//! a new certificate is rolled out to the file here and to the app registration there, Entra may accept either of the two.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use secrecy::SecretString;

use super::credential_pool::{CredentialPool, Outcome};
use crate::{
    audit::{AuditLog, CertificateUse, Event, Origin},
    certificate::CertificateError,
    entra::{
        aadsts::EntraError,
        credential::{Credential, CredentialError, CredentialSource, SourcedCredential},
    },
    metrics::certificates::{self, ClientCertificate, CredentialUse, Reload},
};

/// The credential in use, its sources, and the candidates.
pub(super) struct CredentialRotation {
    sources: Vec<CredentialSource>,
    /// Replaced by pure functions of its value only, so that concurrent changes are not lost and no reader waits.
    pool: ArcSwap<CredentialPool>,
    /// Held while the sources are read, which may take seconds. A request that waited for it finds what the first one found.
    reload_lock: Mutex<ReportedErrors>,
    /// For each source, why its current content is unusable, as far as the source was read.
    unusable: ArcSwap<Vec<Option<&'static str>>>,
    audit: AuditLog,
}

/// Why the credential in use did not work.
pub(super) enum CredentialFailure<'a> {
    /// Entra rejected it, with this assertion.
    Rejected {
        error: &'a EntraError,
        assertion: &'a SecretString,
    },
    /// It gave no assertion, so Entra was not asked.
    Unusable(&'a CredentialError),
}

impl CredentialFailure<'_> {
    /// Whether `other` may work where `used` did not. A certificate that Entra rejected stays rejected wherever its key is. If a
    /// vault does not sign, the same certificate with its key in a file may work.
    fn may_succeed_with(&self, other: &Credential, used: &Credential) -> bool {
        match self {
            Self::Rejected { .. } => !other.is_same_for_entra(used),
            Self::Unusable(_) => !other.is_same(used),
        }
    }

    /// Whether `used` itself may work now, because it is a federated credential with a newer token.
    fn may_succeed_again(&self, used: &Credential) -> bool {
        match (self, used) {
            (Self::Rejected { assertion, .. }, Credential::Federated(federated)) => {
                federated.has_newer_token(assertion)
            }
            _ => false,
        }
    }

    fn log(&self, used: &Credential) {
        let used = used.name();
        match self {
            Self::Rejected { error, .. } => log::warn!(
                "Entra ID rejected {used}: {} ({}), correlation_id={}",
                error.label(),
                error.cause(),
                error.correlation_id.as_deref().unwrap_or("-")
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

/// The last logged error of each source, so that the log has each error once and not every minute.
type ReportedErrors = Vec<Option<String>>;

/// A method that loads a source.
type Load<'a> = &'a dyn Fn(&CredentialSource) -> Result<Arc<Credential>, CredentialError>;

impl CredentialRotation {
    /// Starts with the first usable entry of the list.
    pub(super) fn load(sources: Vec<CredentialSource>) -> Result<Self, CredentialError> {
        let mut reported = vec![None; sources.len()];
        let mut unusable = vec![None; sources.len()];
        let mut errors = Vec::new();
        for (position, source) in sources.iter().enumerate() {
            match source.load() {
                Ok(credential) => {
                    let in_use = SourcedCredential::new(position, credential);
                    return Ok(Self {
                        sources,
                        pool: ArcSwap::from_pointee(CredentialPool::new(in_use)),
                        reload_lock: Mutex::new(reported),
                        unusable: ArcSwap::from_pointee(unusable),
                        audit: AuditLog::off(),
                    });
                }
                Err(error) => {
                    if sources.len() > 1 {
                        warn_once(&mut reported, position, source, &error);
                    }
                    set_unusable(&mut unusable, position, Some(&error));
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

    /// This credential alone, without replacement.
    pub(super) fn fixed(credential: Arc<Credential>) -> Self {
        Self {
            sources: Vec::new(),
            pool: ArcSwap::from_pointee(CredentialPool::new(SourcedCredential::new(0, credential))),
            reload_lock: Mutex::default(),
            unusable: ArcSwap::default(),
            audit: AuditLog::off(),
        }
    }

    pub(super) fn set_audit(&mut self, audit: AuditLog) {
        self.audit = audit;
    }

    /// Records the credential in use.
    pub(super) fn record_in_use(&self) {
        let pool = self.pool.load();
        let SourcedCredential {
            position, credential, ..
        } = pool.in_use();
        let certificate = credential.certificate();
        let event = Event::CertificateInUse {
            usage: CertificateUse::Client,
            source_kind: self.sources.get(*position).map(|source| source.kind().to_owned()),
            thumbprint: certificate.map(|certificate| certificate.thumbprints().sha256_hex()),
            not_after: certificate.map(|certificate| certificate.details().not_after),
        };
        self.audit.record(event, Origin::default());
    }

    /// Records that the content of a source cannot be used.
    pub(super) fn record_unusable(&self, error: &CredentialError) {
        let event = Event::CertificateUnusable {
            usage: CertificateUse::Client,
            reason: error.reason(),
        };
        self.audit.record(event, Origin::default());
    }

    fn record_failure(&self, failure: &CredentialFailure<'_>, used: &Credential) {
        match failure {
            CredentialFailure::Rejected { error, .. } => {
                let certificate = used.certificate();
                let event = Event::CertificateRejected {
                    usage: CertificateUse::Client,
                    thumbprint: certificate.map(|certificate| certificate.thumbprints().sha256_hex()),
                    aadsts: error.code,
                };
                self.audit.record(event, Origin::default());
            }
            CredentialFailure::Unusable(error) => self.record_unusable(error),
        }
    }

    pub(super) fn in_use(&self) -> Arc<Credential> {
        Arc::clone(&self.pool.load().in_use().credential)
    }

    /// Reads the sources again, in order, up to the one in use. A new usable credential is taken into use; otherwise the current
    /// one stays. `true` when a new one is in use.
    pub(super) fn reload(&self, now: DateTime<Utc>) -> Result<bool, CredentialError> {
        let outcome = self.reload_locked(&mut self.reload_lock.lock(), now, &CredentialSource::load_cached);
        certificates::credential_reloaded(match outcome {
            Ok(true) => Reload::Replaced,
            Ok(false) => Reload::Unchanged,
            Err(_) => Reload::Failed,
        });
        outcome
    }

    fn reload_locked(
        &self,
        reported: &mut ReportedErrors,
        now: DateTime<Utc>,
        load: Load<'_>,
    ) -> Result<bool, CredentialError> {
        let mut unusable = self.unusable.load_full().to_vec();
        let outcome = self.reload_sources(reported, &mut unusable, now, load);
        self.unusable.store(Arc::new(unusable));
        outcome
    }

    fn reload_sources(
        &self,
        reported: &mut ReportedErrors,
        unusable: &mut [Option<&'static str>],
        now: DateTime<Utc>,
        load: Load<'_>,
    ) -> Result<bool, CredentialError> {
        let pool = self.pool.load_full();
        let in_use = pool.in_use();
        for (position, source) in self.sources.iter().enumerate() {
            let is_own_source = position == in_use.position;
            let loaded = load(source).and_then(|new| new.check_dates(now).map(|()| new));
            set_unusable(unusable, position, loaded.as_ref().err());
            match loaded {
                Ok(new) if new.is_same(&in_use.credential) => {
                    clear_reported(reported, position);
                    return Ok(false);
                }
                // Entra decides which of the known credentials is used. Entries after the one in use are read only when it fails.
                Ok(new) if pool.contains(&new) => {
                    clear_reported(reported, position);
                    if is_own_source && in_use.credential.check_dates(now).is_ok() {
                        return Ok(false);
                    }
                }
                Ok(credential) => {
                    clear_reported(reported, position);
                    log::info!("a new credential is in use: {}", credential.name());
                    let new = SourcedCredential::new(position, credential);
                    self.pool.rcu(|pool| pool.with_new_in_use(&new));
                    self.record_in_use();
                    return Ok(true);
                }
                // The credential in use stays usable until it expires, whatever happens to its source.
                Err(error) if is_own_source && in_use.credential.check_dates(now).is_ok() => return Err(error),
                Err(error) => warn_once(reported, position, source, &error),
            }
        }
        Ok(false)
    }

    /// For each source in order, why its current content is unusable; `None` when it is usable.
    pub(super) fn unusable(&self) -> Vec<(&str, Option<&'static str>)> {
        let unusable = self.unusable.load();
        self.sources
            .iter()
            .map(CredentialSource::kind)
            .zip(unusable.iter().copied())
            .collect()
    }

    /// The credential to try after `used` failed, if one may work: the one that another request took into use, the new content of
    /// the source, another entry of the list, or a previous certificate. Report the result to [`Self::record_outcome`].
    pub(super) fn fallback_for(
        &self,
        used: &Arc<Credential>,
        failure: &CredentialFailure<'_>,
        now: DateTime<Utc>,
    ) -> Option<SourcedCredential> {
        let called_at = Instant::now();
        let may_succeed = |other: &Credential| failure.may_succeed_with(other, used);
        let other_in_use = || Some(self.pool.load().in_use().clone()).filter(|in_use| may_succeed(&in_use.credential));
        if let Some(other) = other_in_use() {
            return Some(other);
        }
        let mut reported = self.reload_lock.lock();
        // While this request waited for the lock, another one may have taken a credential into use.
        if let Some(other) = other_in_use() {
            return Some(other);
        }
        failure.log(used);
        self.record_failure(failure, used);
        if let (CredentialFailure::Rejected { .. }, Some(known)) = (failure, self.pool.load().find(used)) {
            known.record_rejected();
        }
        if failure.may_succeed_again(used) {
            return Some(self.pool.load().in_use().clone());
        }
        let load_since = |source: &CredentialSource| source.load_since(called_at);
        match self.reload_locked(&mut reported, now, &load_since) {
            Ok(true) => {
                if let Some(other) = other_in_use() {
                    return Some(other);
                }
            }
            Ok(false) => {}
            Err(error) => log::error!(
                "the source of the credential in use has no usable credential: {}",
                error.with_hint()
            ),
        }
        let is_usable = |other: &Credential| may_succeed(other) && other.check_dates(now).is_ok();
        // Recent loads come first, since a person waits. Only if they give no candidate, the sources are loaded again.
        let next = self.find_candidate(&mut reported, now, &CredentialSource::load_cached, is_usable);
        let next = next.or_else(|| self.find_candidate(&mut reported, now, &load_since, is_usable))?;
        log::warn!("trying {} instead", next.credential.name());
        Some(next)
    }

    /// The first usable credential of the pool and of the current content of the sources.
    fn find_candidate(
        &self,
        reported: &mut ReportedErrors,
        now: DateTime<Utc>,
        load: Load<'_>,
        is_usable: impl Fn(&Credential) -> bool,
    ) -> Option<SourcedCredential> {
        let current = self.load_usable(reported, now, load);
        self.pool.rcu(|pool| pool.with_current(&current));
        // The search includes the one in use: another request may have replaced it meanwhile.
        self.pool
            .load()
            .all()
            .find(|other| is_usable(&other.credential))
            .cloned()
    }

    /// Records the outcome for a credential from [`Self::fallback_for`]. An accepted one is in use from now on; any other becomes
    /// the last to be tried again. The credential in use does not become worse because another one exists.
    pub(super) fn record_outcome(&self, other: &SourcedCredential, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => other.record_accepted(),
            Outcome::Rejected => other.record_rejected(),
            Outcome::Unknown => {}
        }
        let before = self.pool.rcu(|pool| pool.after_attempt(other, outcome));
        if outcome == Outcome::Accepted && !before.in_use().credential.is_same(&other.credential) {
            self.record_in_use();
        }
    }

    /// Records that Entra accepted the credential.
    pub(super) fn record_accepted(&self, credential: &Arc<Credential>) {
        let pool = self.pool.load();
        if Arc::ptr_eq(&pool.in_use().credential, credential) {
            pool.in_use().record_accepted();
        }
    }

    /// Counts a request with this credential in the metrics.
    pub(super) fn count_use(&self, credential: &Credential, outcome: CredentialUse) {
        if let Some(known) = self.pool.load().find(credential) {
            certificates::credential_used(known.position + 1, self.kind(known.position), outcome);
        }
    }

    /// Counts an assertion of this credential in the metrics.
    pub(super) fn count_assertion(&self, credential: &Credential, is_created: bool) {
        if let Some(known) = self.pool.load().find(credential) {
            certificates::assertion(self.kind(known.position), is_created);
        }
    }

    /// The certificates that this process knows, for the metrics.
    pub(super) fn certificates(&self) -> Vec<ClientCertificate> {
        let pool = self.pool.load();
        let in_use = &pool.in_use().credential;
        let of = |known: &SourcedCredential| {
            let details = known.credential.certificate()?.details();
            Some(ClientCertificate {
                entry: known.position + 1,
                source: self.kind(known.position),
                thumbprint: details.thumbprints.sha1_hex(),
                is_in_use: known.credential.is_same(in_use),
                not_after: details.not_after.timestamp(),
            })
        };
        pool.all().filter_map(of).collect()
    }

    fn kind(&self, position: usize) -> &'static str {
        self.sources.get(position).map_or("fixed", CredentialSource::kind)
    }

    /// The usable credentials that the sources contain now, in the order of the list.
    fn load_usable(&self, reported: &mut ReportedErrors, now: DateTime<Utc>, load: Load<'_>) -> Vec<SourcedCredential> {
        let mut usable = Vec::new();
        for (position, source) in self.sources.iter().enumerate() {
            match load(source).and_then(|other| other.check_dates(now).map(|()| other)) {
                Ok(credential) => usable.push(SourcedCredential::new(position, credential)),
                Err(error) => warn_once(reported, position, source, &error),
            }
        }
        usable
    }
}

fn set_unusable(unusable: &mut [Option<&'static str>], position: usize, error: Option<&CredentialError>) {
    if let Some(entry) = unusable.get_mut(position) {
        *entry = error.map(CredentialError::reason);
    }
}

fn clear_reported(reported: &mut ReportedErrors, position: usize) {
    if let Some(entry) = reported.get_mut(position) {
        *entry = None;
    }
}

fn warn_once(reported: &mut ReportedErrors, position: usize, source: &CredentialSource, error: &CredentialError) {
    let text = error.to_string();
    if let Some(entry) = reported.get_mut(position)
        && entry.as_ref() != Some(&text)
    {
        log::warn!(
            "credential {} {} is not used: {}",
            position + 1,
            source.name(),
            error.with_hint()
        );
        *entry = Some(text);
    }
}
