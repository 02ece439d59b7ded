//! What an application proves itself with, in place of a secret: a certificate whose key signs an assertion (here or in a
//! vault), or a token that somebody vouches for it with, which is the assertion itself (federated credentials, Microsoft Learn
//! "Workload identity federation").

mod error;
mod federated;
mod source;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

pub use error::CredentialError;
pub use federated::FederatedCredential;
pub use source::CredentialSource;

use super::assertion::ClientAssertion;
use crate::{azure::RetryBudget, certificate::ClientCertificate, config::AssertionForm};

/// One of the two.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a handful of them, each behind an Arc"
)]
pub enum Credential {
    /// A certificate with its key.
    Certificate(ClientCertificate),
    /// A token of somebody whom the registration trusts.
    Federated(FederatedCredential),
}

/// What an assertion is for.
#[derive(Debug, Clone, Copy)]
pub struct AssertionRequest<'a> {
    /// How a certificate signs, and how it is named.
    pub form: AssertionForm,
    /// Whether the certificate chain goes with it.
    pub send_x5c: bool,
    /// Application (client) id.
    pub client_id: &'a str,
    /// The token endpoint.
    pub audience: &'a Url,
}

impl Credential {
    /// A fresh assertion. May sign, read a file, or reach the network.
    ///
    /// # Errors
    /// When the certificate is out of date or does not sign, or there is no token.
    pub fn assertion(
        &self,
        request: &AssertionRequest<'_>,
        now: DateTime<Utc>,
    ) -> Result<SecretString, CredentialError> {
        let &AssertionRequest {
            form,
            send_x5c,
            client_id,
            audience,
        } = request;
        match self {
            Self::Certificate(certificate) => Ok(ClientAssertion {
                certificate,
                form,
                send_x5c,
                client_id,
                audience,
            }
            .sign(now)?),
            Self::Federated(federated) => Ok(federated.assertion(RetryBudget::Request)?),
        }
    }

    /// The certificate, if it is one.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        match self {
            Self::Certificate(certificate) => Some(certificate),
            Self::Federated(_) => None,
        }
    }

    /// Whether it can be used at `now`. A federated credential says so by each of its tokens.
    ///
    /// # Errors
    /// When the certificate is out of date.
    pub fn check_dates(&self, now: DateTime<Utc>) -> Result<(), CredentialError> {
        Ok(self
            .certificate()
            .map_or(Ok(()), |certificate| certificate.check_dates(now))?)
    }

    /// Whether Entra sees no difference: the same certificate, whoever signs for it, or tokens of the same origin.
    pub fn is_same_for_entra(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => one.chain().first() == other.chain().first(),
            (Self::Federated(one), Self::Federated(other)) => one.origin() == other.origin(),
            _ => false,
        }
    }

    /// Whether both are the same certificate and sign with the same key in the same place: where one does not sign, the other
    /// does not either.
    pub fn is_same(&self, other: &Self) -> bool {
        let has_same_signer = match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => one.key_place() == other.key_place(),
            _ => true,
        };
        has_same_signer && self.is_same_for_entra(other)
    }

    /// Which one it is, for the log.
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(certificate) => format!(
                "the certificate {} of {}, SHA-1 {}",
                certificate.details().subject,
                certificate.place().display(),
                certificate.thumbprints().sha1_hex()
            ),
            Self::Federated(federated) => federated.origin().to_owned(),
        }
    }
}

/// A credential, and the place of its source in the list. Clones know of each other what Entra has said of it.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) position: usize,
    pub(super) credential: Arc<Credential>,
    verdicts: Arc<Verdicts>,
}

/// What Entra has ever said of a credential, to this process.
#[derive(Debug, Default)]
struct Verdicts {
    accepted: AtomicBool,
    refused: AtomicBool,
}

impl Placed {
    pub(super) fn new(position: usize, credential: Arc<Credential>) -> Self {
        Self {
            position,
            credential,
            verdicts: Arc::default(),
        }
    }

    /// Notes that Entra has accepted it.
    pub(super) fn accept(&self) {
        self.verdicts.accepted.store(true, Ordering::Relaxed);
    }

    /// Notes that Entra has refused it.
    pub(super) fn refuse(&self) {
        self.verdicts.refused.store(true, Ordering::Relaxed);
    }

    /// Whether Entra has refused it and never accepted it.
    pub(super) fn is_mistake(&self) -> bool {
        self.verdicts.refused.load(Ordering::Relaxed) && !self.verdicts.accepted.load(Ordering::Relaxed)
    }
}
