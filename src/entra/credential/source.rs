//! Where a credential comes from: an entry of `client.credential`.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Credential, CredentialError, FederatedCredential};
use crate::{
    azure::{Azure, KeyVault, RetryBudget, TokenSource},
    certificate::{CertificateError, ClientCertificate, certificates_of},
    config::{
        AssertionForm, CertificateSettings, Cloud, CredentialSettings, EntraSettings, ManagedIdentitySettings,
        Settings, VaultSettings,
    },
    entra::Authority,
    outbound::{self, OutboundError},
};

/// A vault that did not give what was wanted is asked again after this: a new role takes some minutes.
const ASK_AGAIN: Duration = Duration::from_mins(5);

/// One entry. It keeps what it found in a vault for a while.
#[derive(Debug)]
pub struct CredentialSource {
    kind: &'static str,
    name: String,
    origin: Origin,
    /// What a vault holds changes a few times a year: it is asked so often, and when Entra refuses what it gave.
    vault_check: Duration,
    last: Mutex<Option<Look>>,
}

/// A look at what is there, and when it began.
#[derive(Debug, Clone)]
struct Look {
    since: Instant,
    loaded: Loaded,
}

type Loaded = Result<Arc<Credential>, CredentialError>;

#[derive(Debug)]
enum Origin {
    File(CertificateSettings),
    VaultKey(Arc<KeyVault>, String, AssertionForm),
    VaultDownload(Arc<KeyVault>, String),
    TokenFile(Azure, Option<PathBuf>),
    ManagedIdentity(Arc<TokenSource>, Cloud),
}

impl CredentialSource {
    /// Those of the settings, in their order; none when none is set. No network.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn all(settings: &Settings) -> Result<Vec<Self>, OutboundError> {
        let Settings {
            entra,
            client,
            azure,
            server,
            ..
        } = settings;
        let agent = outbound::agent(entra.timeout, entra.ca_file.as_deref())?;
        // The identity of the machine or pod may be of another tenant than the site.
        let of_identity = EntraSettings {
            tenant_id: azure.tenant_id.clone().unwrap_or_else(|| entra.tenant_id.clone()),
            authority_host: azure.authority_host.clone().or_else(|| entra.authority_host.clone()),
            ..entra.clone()
        };
        let token_endpoint = Authority::new(&of_identity)
            .ok()
            .map(|authority| authority.token_endpoint());
        let reached = Azure::new(azure, server.environment, agent, token_endpoint, &client.client_id);
        let new = |entry: &CredentialSettings| {
            let (name, origin) = origin(entry, &reached, entra.cloud, client.assertion);
            Self {
                kind: entry.source(),
                name,
                origin,
                vault_check: azure.vault_check,
                last: Mutex::default(),
            }
        };
        Ok(client.credentials().iter().map(new).collect())
    }

    /// Its `source` in the settings.
    pub fn kind(&self) -> &str {
        self.kind
    }

    /// Whether it gives tokens and no certificate.
    pub fn is_token(&self) -> bool {
        matches!(self.origin, Origin::TokenFile(..) | Origin::ManagedIdentity(..))
    }

    /// Kind and place, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's settings, if it is a file.
    pub fn file(&self) -> Option<&CertificateSettings> {
        match &self.origin {
            Origin::File(settings) => Some(settings),
            _ => None,
        }
    }

    /// The credential as it is now, checked: a file is read, a vault asked, a token fetched. Blocks, as long as it is worth
    /// while to wait at start.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn load(&self) -> Result<Arc<Credential>, CredentialError> {
        self.read(RetryBudget::Start)
    }

    /// The same, but Azure may take `limit` at most for each answer.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn load_within(&self, limit: Duration) -> Result<Arc<Credential>, CredentialError> {
        self.read(RetryBudget::Within(limit))
    }

    /// The same while users wait, for somebody who has wanted it since `wanted`: what a vault has said to another since then
    /// is an answer to this one, too.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub(in crate::entra) fn load_anew(&self, wanted: Instant) -> Result<Arc<Credential>, CredentialError> {
        match self.last_of_vault() {
            Some(Look { since, loaded }) if since >= wanted => loaded,
            _ => self.read(RetryBudget::Request),
        }
    }

    /// The same, but for what a vault said not long ago.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub(in crate::entra) fn look(&self) -> Result<Arc<Credential>, CredentialError> {
        match self.last_of_vault() {
            Some(Look { since, loaded }) if since.elapsed() < self.pause_after(&loaded) => loaded,
            _ => self.read(RetryBudget::Request),
        }
    }

    /// Files are read each time, and tokens kept by whoever fetches them.
    fn last_of_vault(&self) -> Option<Look> {
        match self.origin {
            Origin::VaultKey(..) | Origin::VaultDownload(..) => self.last.lock().clone(),
            Origin::File(_) | Origin::TokenFile(..) | Origin::ManagedIdentity(..) => None,
        }
    }

    fn pause_after(&self, last: &Loaded) -> Duration {
        if last.is_ok() {
            self.vault_check
        } else {
            self.vault_check.min(ASK_AGAIN)
        }
    }

    fn read(&self, budget: RetryBudget) -> Loaded {
        let since = Instant::now();
        let loaded = self.found(budget).map(Arc::new);
        *self.last.lock() = Some(Look {
            since,
            loaded: loaded.clone(),
        });
        loaded
    }

    fn found(&self, budget: RetryBudget) -> Result<Credential, CredentialError> {
        let federated = |federated: FederatedCredential| -> Result<_, CredentialError> {
            // Whether there is a token at all is known only by getting one.
            federated.assertion(budget)?;
            Ok(Credential::Federated(federated))
        };
        Ok(match &self.origin {
            Origin::File(settings) => Credential::Certificate(ClientCertificate::load(settings)?),
            Origin::VaultKey(vault, name, form) => {
                Credential::Certificate(ClientCertificate::in_vault(vault, name, *form, budget)?)
            }
            Origin::VaultDownload(vault, name) => {
                Credential::Certificate(ClientCertificate::from_vault(vault, name, budget)?)
            }
            Origin::TokenFile(azure, path) => federated(FederatedCredential::of_file(
                azure.federated_token_file(path.as_deref())?,
            ))?,
            Origin::ManagedIdentity(tokens, cloud) => {
                federated(FederatedCredential::of_managed_identity(Arc::clone(tokens), *cloud))?
            }
        })
    }

    /// The certificates in DER, without their keys: of a file all that are in it. None for a token. May block.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, CertificateError> {
        match &self.origin {
            Origin::File(settings) => certificates_of(settings),
            Origin::VaultKey(vault, name, _) | Origin::VaultDownload(vault, name) => {
                Ok(vec![vault.certificate(name, RetryBudget::Start)?.der])
            }
            Origin::TokenFile(..) | Origin::ManagedIdentity(..) => Ok(Vec::new()),
        }
    }
}

/// Name and origin of an entry.
fn origin(entry: &CredentialSettings, azure: &Azure, cloud: Cloud, form: AssertionForm) -> (String, Origin) {
    let vault = |vault: &VaultSettings| (Arc::new(azure.key_vault(&vault.vault_url)), vault.certificate.clone());
    let (what, origin) = match entry {
        CredentialSettings::File(file) => (file.place().display().to_string(), Origin::File(file.clone())),
        CredentialSettings::KeyVaultSign(in_vault) => {
            let (vault, name) = vault(in_vault);
            (
                format!("{name} in {}", in_vault.vault_url),
                Origin::VaultKey(vault, name, form),
            )
        }
        CredentialSettings::KeyVaultCertificate(in_vault) => {
            let (vault, name) = vault(in_vault);
            (
                format!("{name} in {}", in_vault.vault_url),
                Origin::VaultDownload(vault, name),
            )
        }
        CredentialSettings::WorkloadIdentity(workload) => {
            let file = azure.federated_token_file(workload.token_file.as_deref());
            let what = file.map_or_else(|_| "no file".to_owned(), |file| file.path.display().to_string());
            (what, Origin::TokenFile(azure.clone(), workload.token_file.clone()))
        }
        CredentialSettings::ManagedIdentity(ManagedIdentitySettings { client_id }) => {
            let tokens = azure.managed_identity(client_id.as_deref());
            (tokens.identity(), Origin::ManagedIdentity(Arc::new(tokens), cloud))
        }
    };
    (format!("{} ({what})", entry.source()), origin)
}
