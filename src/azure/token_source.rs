//! Tokens of the identity that this program runs under, each kept until shortly before its end.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secrecy::SecretString;
use ureq::Agent;
use url::Url;

use super::{
    AzureError, FederatedTokenFile, KeyVault, Patience, cli,
    managed_identity::{self, Endpoint},
    workload_identity,
};
use crate::{
    azure::token_cache::{KeptToken, Token},
    config::{AzureIdentity, AzureSettings, Environment},
    outbound,
};

/// The endpoints of managed identities are on the machine itself.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Azure, as this process reaches it. A clone is another handle to the same.
#[derive(Clone)]
pub struct Azure(Arc<Shared>);

struct Shared {
    settings: AzureSettings,
    environment: Environment,
    /// For what is not on this machine.
    agent: Agent,
    /// For what is; no proxy reaches that.
    local: Agent,
    /// Where workload identities exchange their tokens, if a tenant is set.
    token_endpoint: Option<Url>,
    /// `client.client_id`, in place of an `azure.client_id` that is not set.
    client_id: String,
    /// Of the identity that the settings choose.
    tokens: Arc<Kept>,
}

/// By resource and tenant.
type Kept = Mutex<HashMap<(String, Option<String>), Arc<KeptToken>>>;

impl Azure {
    /// No I/O. `agent` reaches the network; `token_endpoint` is the tenant's; `client_id` the application's own.
    pub fn new(
        settings: &AzureSettings,
        environment: Environment,
        agent: Agent,
        token_endpoint: Option<Url>,
        client_id: &str,
    ) -> Self {
        Self(Arc::new(Shared {
            settings: settings.clone(),
            environment,
            agent,
            local: outbound::local_agent(LOCAL_TIMEOUT),
            token_endpoint,
            client_id: client_id.to_owned(),
            tokens: Arc::default(),
        }))
    }

    /// Tokens of the identity that `azure.identity` names, for Key Vault.
    pub fn tokens(&self) -> TokenSource {
        TokenSource {
            identity: self.chosen(),
            azure: self.clone(),
            kept: Arc::clone(&self.0.tokens),
        }
    }

    /// Tokens of a managed identity: the one with `client_id`, else `azure.client_id`, else the only one there is.
    pub fn managed_identity(&self, client_id: Option<&str>) -> TokenSource {
        let client_id = client_id
            .map(str::to_owned)
            .or_else(|| self.0.settings.client_id.clone());
        let identity = Identity::Managed {
            endpoint: self.endpoint(),
            client_id,
        };
        TokenSource {
            identity,
            azure: self.clone(),
            kept: Arc::default(),
        }
    }

    /// A vault, such as `https://NAME.vault.azure.net`.
    pub fn key_vault(&self, url: &Url) -> KeyVault {
        KeyVault::new(url.clone(), self.0.agent.clone(), self.tokens())
    }

    /// The token file of `path`, else the one that the platform names.
    ///
    /// # Errors
    /// When there is none.
    pub fn federated_token_file(&self, path: Option<&std::path::Path>) -> Result<FederatedTokenFile, AzureError> {
        let path = path
            .map(std::path::Path::to_owned)
            .or_else(|| self.0.settings.federated_token_file.clone());
        path.map(|path| FederatedTokenFile { path }).ok_or(AzureError::NotSet {
            setting: "azure.federated_token_file",
            hint: "in a cluster with workload identity, label the pod azure.workload.identity/use: \"true\"; it sets \
                   AZURE_FEDERATED_TOKEN_FILE",
        })
    }

    fn endpoint(&self) -> Endpoint {
        let AzureSettings {
            identity_endpoint,
            identity_header,
            imds_url,
            ..
        } = &self.0.settings;
        // Azure Arc sets the first alone, for a protocol of its own.
        match (identity_endpoint, identity_header) {
            (Some(url), Some(header)) => Endpoint::AppService(url.clone(), header.clone()),
            _ => Endpoint::Imds(imds_url.clone()),
        }
    }

    fn chosen(&self) -> Identity {
        let AzureSettings {
            identity,
            client_id,
            federated_token_file,
            identity_endpoint,
            ..
        } = &self.0.settings;
        let managed = || Identity::Managed {
            endpoint: self.endpoint(),
            client_id: client_id.clone(),
        };
        let workload = || Identity::Workload {
            client_id: client_id.clone().unwrap_or_else(|| self.0.client_id.clone()),
        };
        match identity {
            AzureIdentity::Managed => managed(),
            AzureIdentity::Workload => workload(),
            AzureIdentity::Cli => Identity::Cli,
            AzureIdentity::Auto if federated_token_file.is_some() => workload(),
            AzureIdentity::Auto if identity_endpoint.is_some() => managed(),
            AzureIdentity::Auto => match self.0.environment {
                Environment::Development => Identity::Cli,
                Environment::Production => managed(),
            },
        }
    }
}

#[derive(Debug, Clone)]
enum Identity {
    Managed {
        endpoint: Endpoint,
        client_id: Option<String>,
    },
    Workload {
        client_id: String,
    },
    Cli,
}

/// Tokens of one identity.
pub struct TokenSource {
    identity: Identity,
    azure: Azure,
    kept: Arc<Kept>,
}

impl TokenSource {
    /// A token for `resource`, such as `https://vault.azure.net`: the one at hand while it is good. Who comes while another
    /// fetches one waits for that one. `tenant` is whose it must be, where that is known and there is a choice.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn token(&self, resource: &str, tenant: Option<&str>, patience: Patience) -> Result<SecretString, AzureError> {
        self.kept(resource, tenant)
            .get(|| self.fetch(resource, tenant, patience))
    }

    fn kept(&self, resource: &str, tenant: Option<&str>) -> Arc<KeptToken> {
        let mut kept = self.kept.lock();
        Arc::clone(
            kept.entry((resource.to_owned(), tenant.map(str::to_owned)))
                .or_default(),
        )
    }

    fn fetch(&self, resource: &str, tenant: Option<&str>, patience: Patience) -> Result<Token, AzureError> {
        let azure = &self.azure.0;
        match &self.identity {
            Identity::Managed { endpoint, client_id } => {
                managed_identity::token(&azure.local, endpoint, resource, client_id.as_deref(), patience)
            }
            Identity::Workload { client_id } => {
                let file = self.azure.federated_token_file(None)?;
                let endpoint = azure.token_endpoint.as_ref().ok_or(AzureError::NotSet {
                    setting: "entra.tenant_id",
                    hint: "set it to the directory (tenant) id of the application",
                })?;
                workload_identity::token(&azure.agent, endpoint, &file, client_id, resource, patience)
            }
            Identity::Cli => cli::token(resource, tenant),
        }
    }

    /// Forgets the token for `resource` that somebody has refused.
    pub(crate) fn forget(&self, resource: &str, tenant: Option<&str>, refused: &SecretString) {
        self.kept(resource, tenant).forget(refused);
    }

    /// Whose tokens these are, for messages.
    pub fn identity(&self) -> String {
        match &self.identity {
            Identity::Managed {
                client_id: Some(id), ..
            }
            | Identity::Workload { client_id: id } => {
                format!("the identity with client id {id}")
            }
            Identity::Managed { client_id: None, .. } => "this machine's managed identity".to_owned(),
            Identity::Cli => "the user of the Azure CLI".to_owned(),
        }
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("identity", &self.0.settings.identity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("identity", &self.identity())
            .finish_non_exhaustive()
    }
}
