//! Tokens of the identity that this program runs under, cached until shortly before they expire.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secrecy::SecretString;
use ureq::Agent;
use url::Url;

use super::{
    AzureError, FederatedTokenFile, KeyVault, RetryBudget, cli,
    managed_identity::{self, Endpoint},
    workload_identity,
};
use crate::{
    config::{AzureIdentity, AzureSettings, EntraSettings, Environment},
    guid,
    outbound::{self, OutboundError, Target},
    token_cache::{CachedToken, Token},
};

/// The endpoints of managed identities are on the machine itself.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Access to Azure for this process. Clones share the cached tokens.
#[derive(Clone)]
pub struct Azure(Arc<Shared>);

struct Shared {
    settings: AzureSettings,
    environment: Environment,
    /// For the network.
    agent: Agent,
    /// For endpoints on this machine, which no proxy reaches.
    local: Agent,
    /// Where a workload identity exchanges its token, if a tenant is set.
    token_endpoint: Option<Url>,
    /// `client.client_id`, the default for `azure.client_id`.
    client_id: String,
    /// Tokens of the identity that the settings choose.
    tokens: Arc<TokenCache>,
}

/// Keyed by resource and tenant.
type TokenCache = Mutex<HashMap<(String, Option<String>), Arc<CachedToken<AzureError>>>>;

impl Azure {
    /// Access with the identity that `[azure]` names. Its tenant may differ from that of the site. No network.
    ///
    /// # Errors
    /// When `entra.ca_file` cannot be used.
    pub fn from_settings(
        azure: &AzureSettings,
        entra: &EntraSettings,
        environment: Environment,
        client_id: &str,
    ) -> Result<Self, OutboundError> {
        let agent = outbound::agent(Target::Azure, entra.timeout, entra.ca_file.as_deref())?;
        let token_endpoint = token_endpoint(azure, entra);
        Ok(Self::new(azure, environment, agent, token_endpoint, client_id))
    }

    /// No I/O. `agent` reaches the network, `token_endpoint` belongs to the tenant, and `client_id` is the application's own.
    fn new(
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
            identity: self.configured_identity(),
            azure: self.clone(),
            cache: Arc::clone(&self.0.tokens),
        }
    }

    /// Tokens of a managed identity: the one with `client_id`, else the one in `azure.client_id`, else the only one.
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
            cache: Arc::default(),
        }
    }

    /// A vault, such as `https://NAME.vault.azure.net`.
    pub fn key_vault(&self, url: &Url) -> KeyVault {
        KeyVault::new(url.clone(), self.0.agent.clone(), self.tokens())
    }

    /// The token file at `path`, else the one that the platform names.
    ///
    /// # Errors
    /// When neither is set.
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
        // Azure Arc sets only the first, for a different protocol.
        match (identity_endpoint, identity_header) {
            (Some(url), Some(header)) => Endpoint::AppService(url.clone(), header.clone()),
            _ => Endpoint::Imds(imds_url.clone()),
        }
    }

    fn configured_identity(&self) -> Identity {
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

/// Where a workload identity exchanges its token, if a tenant is set.
fn token_endpoint(azure: &AzureSettings, entra: &EntraSettings) -> Option<Url> {
    let tenant = guid::parse(azure.tenant_id.as_deref().unwrap_or(&entra.tenant_id))?;
    let host = azure.authority_host.as_ref().or(entra.authority_host.as_ref());
    let mut url = host.map_or_else(|| entra.cloud.sign_in_host(), Url::clone);
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/{tenant}/oauth2/v2.0/token"));
    entra.environment.may_use(&url).then_some(url)
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
    cache: Arc<TokenCache>,
}

impl TokenSource {
    /// A token for `resource`, such as `https://vault.azure.net`: the cached one while it is valid. A request that comes during a
    /// fetch waits for that fetch. `tenant` is the required tenant, if it is known and the identity has a choice.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn token(&self, resource: &str, tenant: Option<&str>, budget: RetryBudget) -> Result<SecretString, AzureError> {
        let token = self.dated_token(resource, tenant, budget)?;
        Ok(token.value().clone())
    }

    /// As [`Self::token`], with the time of expiry.
    pub(crate) fn dated_token(
        &self,
        resource: &str,
        tenant: Option<&str>,
        budget: RetryBudget,
    ) -> Result<Token, AzureError> {
        self.cached(resource, tenant)
            .get(|| self.fetch(resource, tenant, budget))
    }

    fn cached(&self, resource: &str, tenant: Option<&str>) -> Arc<CachedToken<AzureError>> {
        let mut cache = self.cache.lock();
        Arc::clone(
            cache
                .entry((resource.to_owned(), tenant.map(str::to_owned)))
                .or_default(),
        )
    }

    fn fetch(&self, resource: &str, tenant: Option<&str>, budget: RetryBudget) -> Result<Token, AzureError> {
        let azure = &self.azure.0;
        match &self.identity {
            Identity::Managed { endpoint, client_id } => {
                managed_identity::token(&azure.local, endpoint, resource, client_id.as_deref(), budget)
            }
            Identity::Workload { client_id } => {
                let file = self.azure.federated_token_file(None)?;
                let endpoint = azure.token_endpoint.as_ref().ok_or(AzureError::NotSet {
                    setting: "entra.tenant_id",
                    hint: "set it to the directory (tenant) id of the application",
                })?;
                workload_identity::token(&azure.agent, endpoint, &file, client_id, resource, budget)
            }
            Identity::Cli => cli::token(resource, tenant),
        }
    }

    /// Drops the cached token for `resource` if it is `rejected`, which the service did not accept.
    pub(crate) fn invalidate(&self, resource: &str, tenant: Option<&str>, rejected: &SecretString) {
        self.cached(resource, tenant).invalidate(rejected);
    }

    /// The identity, for messages.
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
