//! The credential of the application, instead of a secret. A certificate's key signs assertions, here or in a vault. A federated
//! credential is a token from another issuer that serves as the assertion (Microsoft Learn "Workload identity federation").

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

/// A certificate or a federated credential.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a handful of them, each behind an Arc"
)]
pub enum Credential {
    /// A certificate and its key.
    Certificate(ClientCertificate),
    /// Tokens of an issuer that the app registration trusts.
    Federated(FederatedCredential),
}

/// The parameters of an assertion.
#[derive(Debug, Clone, Copy)]
pub struct AssertionRequest<'a> {
    /// Signature algorithm, and how the header names the certificate.
    pub form: AssertionForm,
    /// Whether the header includes the certificate chain.
    pub send_x5c: bool,
    /// Application (client) id.
    pub client_id: &'a str,
    /// The token endpoint.
    pub audience: &'a Url,
}

impl Credential {
    /// A new assertion. May sign, read a file, or reach the network.
    ///
    /// # Errors
    /// When the certificate is not valid at `now` or does not sign, or no token is available.
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

    /// Checks that the certificate is valid at `now`. A federated credential has no dates; its tokens have.
    ///
    /// # Errors
    /// When the certificate has expired or is not valid yet.
    pub fn check_dates(&self, now: DateTime<Utc>) -> Result<(), CredentialError> {
        Ok(self
            .certificate()
            .map_or(Ok(()), |certificate| certificate.check_dates(now))?)
    }

    /// Whether Entra cannot tell the two apart: the same certificate, wherever its key is, or tokens of the same origin.
    pub fn is_same_for_entra(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => one.chain().first() == other.chain().first(),
            (Self::Federated(one), Self::Federated(other)) => one.origin() == other.origin(),
            _ => false,
        }
    }

    /// Whether both are the same certificate with the key in the same place: if one cannot sign, the other cannot either.
    pub fn is_same(&self, other: &Self) -> bool {
        let has_same_signer = match (self, other) {
            (Self::Certificate(one), Self::Certificate(other)) => one.key_location() == other.key_location(),
            _ => true,
        };
        has_same_signer && self.is_same_for_entra(other)
    }

    /// Name for the log.
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(certificate) => format!(
                "certificate {} from {} (SHA-1 {})",
                certificate.details().subject,
                certificate.location(),
                certificate.thumbprints().sha1_hex()
            ),
            Self::Federated(federated) => federated.origin().to_owned(),
        }
    }
}

/// A credential, and the position of its source in `client.credential`. Clones share the history.
#[derive(Debug, Clone)]
pub(super) struct SourcedCredential {
    pub(super) position: usize,
    pub(super) credential: Arc<Credential>,
    history: Arc<History>,
}

/// Entra's responses to a credential since this process started.
#[derive(Debug, Default)]
struct History {
    accepted: AtomicBool,
    rejected: AtomicBool,
}

impl SourcedCredential {
    pub(super) fn new(position: usize, credential: Arc<Credential>) -> Self {
        Self {
            position,
            credential,
            history: Arc::default(),
        }
    }

    pub(super) fn record_accepted(&self) {
        self.history.accepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn record_rejected(&self) {
        self.history.rejected.store(true, Ordering::Relaxed);
    }

    /// Whether Entra has rejected it and never accepted it.
    pub(super) fn was_never_accepted(&self) -> bool {
        self.history.rejected.load(Ordering::Relaxed) && !self.history.accepted.load(Ordering::Relaxed)
    }
}
