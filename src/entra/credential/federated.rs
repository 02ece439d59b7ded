//! A token that is the assertion: of a cluster's service account, or of a managed identity.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    azure::{AzureError, FederatedTokenFile, RetryBudget, TokenSource},
    config::Cloud,
};

/// Where the tokens come from.
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
    /// The token that a cluster keeps in a file.
    pub fn of_file(file: FederatedTokenFile) -> Self {
        Self {
            origin: format!("the federated token in {}", file.path.display()),
            tokens: Tokens::File(file),
        }
    }

    /// Tokens of a managed identity, for the audience that federated credentials have in `cloud`.
    pub fn of_managed_identity(source: Arc<TokenSource>, cloud: Cloud) -> Self {
        let audience = match cloud {
            Cloud::Public => "api://AzureADTokenExchange",
            Cloud::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Cloud::China => "api://AzureADTokenExchangeChina",
        };
        Self {
            origin: format!("tokens of {}", source.identity()),
            tokens: Tokens::ManagedIdentity { source, audience },
        }
    }

    /// Where its tokens come from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The token of this moment. A file is read anew each time, since the cluster replaces it; a managed identity's token is
    /// kept until shortly before its end.
    ///
    /// # Errors
    /// When there is none.
    pub fn assertion(&self, budget: RetryBudget) -> Result<SecretString, AzureError> {
        match &self.tokens {
            Tokens::File(file) => file.read(),
            Tokens::ManagedIdentity { source, audience } => source.token(audience, None, budget),
        }
    }

    /// Whether there is another token than `refused`, which Entra did not take, now that it is asked for.
    pub fn has_another(&self, refused: &SecretString) -> bool {
        if let Tokens::ManagedIdentity { source, audience } = &self.tokens {
            source.invalidate(audience, None, refused);
        }
        self.assertion(RetryBudget::Request)
            .is_ok_and(|token| token.expose_secret() != refused.expose_secret())
    }
}
