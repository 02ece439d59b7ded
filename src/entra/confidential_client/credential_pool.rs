//! The credentials that this process knows: the one in use, and those to try when it fails. An immutable value; each change makes
//! a new one.

use crate::entra::credential::{Credential, SourcedCredential};

/// Most credentials kept that no source contains any more: the previous certificate, and the one before that.
const MAX_PREVIOUS: usize = 2;
/// Most candidates kept until the next look at the sources: certificates may be renewed every hour, for years.
const MAX_CANDIDATES: usize = 8;

/// Entra's response to a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Rejected,
    /// The credential gave no assertion, or Entra's response does not tell.
    Unknown,
}

#[derive(Clone)]
pub(super) struct CredentialPool {
    in_use: SourcedCredential,
    /// Tried in this order when the one in use fails: what else its source contains now, previous certificates, other entries of
    /// the list.
    candidates: Vec<SourcedCredential>,
    /// Tried after the candidates: those that failed, the one that failed first at the front.
    failed: Vec<SourcedCredential>,
}

impl CredentialPool {
    pub(super) fn new(in_use: SourcedCredential) -> Self {
        Self {
            in_use,
            candidates: Vec::new(),
            failed: Vec::new(),
        }
    }

    pub(super) fn in_use(&self) -> &SourcedCredential {
        &self.in_use
    }

    /// In the order in which they are tried.
    pub(super) fn all(&self) -> impl Iterator<Item = &SourcedCredential> {
        std::iter::once(&self.in_use)
            .chain(&self.candidates)
            .chain(&self.failed)
    }

    pub(super) fn contains(&self, credential: &Credential) -> bool {
        self.find(credential).is_some()
    }

    pub(super) fn find(&self, credential: &Credential) -> Option<&SourcedCredential> {
        self.all().find(|known| known.credential.is_same(credential))
    }

    /// With `new` in use. The credential in use until now becomes the first candidate, for the case that Entra does not accept the
    /// new one yet.
    pub(super) fn with_new_in_use(&self, new: &SourcedCredential) -> Self {
        let candidates = std::iter::once(&self.in_use)
            .chain(&self.candidates)
            .take(MAX_CANDIDATES)
            .cloned()
            .collect();
        Self {
            in_use: new.clone(),
            candidates,
            failed: self.failed.clone(),
        }
    }

    /// After `other` was tried instead of the one in use.
    pub(super) fn after_attempt(&self, other: &SourcedCredential, outcome: Outcome) -> Self {
        if self.in_use.credential.is_same(&other.credential) {
            return self.clone();
        }
        let without_other = |list: &[SourcedCredential]| -> Vec<_> {
            list.iter()
                .filter(|known| !known.credential.is_same(&other.credential))
                .cloned()
                .collect()
        };
        let (candidates, mut failed) = (without_other(&self.candidates), without_other(&self.failed));
        let (in_use, loser) = match outcome {
            Outcome::Accepted => (other, &self.in_use),
            Outcome::Rejected | Outcome::Unknown => (&self.in_use, other),
        };
        failed.push(loser.clone());
        Self {
            in_use: in_use.clone(),
            candidates,
            failed,
        }
    }

    /// With all credentials that the sources contain now. Of the others, only the last few that Entra has not only rejected are
    /// kept.
    pub(super) fn with_current(&self, current: &[SourcedCredential]) -> Self {
        let is_current =
            |one: &SourcedCredential| current.iter().any(|other| other.credential.is_same(&one.credential));
        let (known, previous): (Vec<_>, Vec<_>) = self.candidates.iter().cloned().partition(is_current);
        let new = current.iter().filter(|one| !self.contains(&one.credential)).cloned();
        let (own_source, other_sources): (Vec<_>, Vec<_>) =
            new.chain(known).partition(|one| one.position == self.in_use.position);
        let previous = previous
            .into_iter()
            .filter(|one| !one.was_never_accepted())
            .take(MAX_PREVIOUS);
        let (mut failed, previous_failed): (Vec<_>, Vec<_>) = self.failed.iter().cloned().partition(is_current);
        failed.extend(
            previous_failed
                .into_iter()
                .filter(|one| !one.was_never_accepted())
                .rev()
                .take(MAX_PREVIOUS),
        );
        Self {
            in_use: self.in_use.clone(),
            candidates: own_source.into_iter().chain(previous).chain(other_sources).collect(),
            failed,
        }
    }
}
