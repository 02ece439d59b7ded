//! Federated credentials: a token of a cluster's service account or of a managed identity serves as the client assertion.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    azure::{AzureError, FederatedTokenFile, RetryBudget, TokenSource},
    config::Cloud,
};

/// A source of federated tokens.
#[derive(Debug, Clone)]
pub struct FederatedCredential {
    origin: String,
    tokens: Tokens,
}

#[derive(Debug, Clone)]
enum Tokens {
    File(FederatedTokenFile),
    ManagedIdentity {
        source: Arc<TokenSource>,
        audience: &'static str,
    },
}

impl FederatedCredential {
    /// The token in a file that the cluster renews.
    pub fn from_file(file: FederatedTokenFile) -> Self {
        Self {
            origin: format!("the federated token in {}", file.path.display()),
            tokens: Tokens::File(file),
        }
    }

    /// Tokens of a managed identity, with the audience of federated credentials in `cloud`.
    pub fn from_managed_identity(source: Arc<TokenSource>, cloud: Cloud) -> Self {
        let audience = Self::audience(cloud);
        Self {
            origin: format!("tokens of {}", source.identity()),
            tokens: Tokens::ManagedIdentity { source, audience },
        }
    }

    /// The audience of federated credentials in each cloud (Microsoft Learn "Workload identity federation").
    pub fn audience(cloud: Cloud) -> &'static str {
        match cloud {
            Cloud::Public => "api://AzureADTokenExchange",
            Cloud::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Cloud::China => "api://AzureADTokenExchangeChina",
        }
    }

    /// The source of the tokens, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The current token. The file is read each time, since the cluster replaces it; a managed identity's token is cached until
    /// shortly before it expires.
    ///
    /// # Errors
    /// When no token is available.
    pub fn assertion(&self, budget: RetryBudget) -> Result<SecretString, AzureError> {
        match &self.tokens {
            Tokens::File(file) => file.read(),
            Tokens::ManagedIdentity { source, audience } => source.token(audience, None, budget),
        }
    }

    /// Gets the token again, and compares it with the `rejected` one.
    pub fn has_newer_token(&self, rejected: &SecretString) -> bool {
        if let Tokens::ManagedIdentity { source, audience } = &self.tokens {
            source.invalidate(audience, None, rejected);
        }
        self.assertion(RetryBudget::Request)
            .is_ok_and(|token| token.expose_secret() != rejected.expose_secret())
    }
}
