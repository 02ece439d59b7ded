//! The source of a credential: an entry of `client.credential`.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Credential, CredentialError, FederatedCredential};
use crate::{
    azure::{Azure, KeyVault, RetryBudget, TokenSource},
    certificate::{CertificateError, CertificateLocation, ClientCertificate, certificates_from_settings},
    config::{
        AssertionForm, CertificateSettings, Cloud, CredentialSettings, ManagedIdentitySettings, Settings, VaultSettings,
    },
    outbound::OutboundError,
};

/// A failed load from a vault is repeated after this long: a new role takes some minutes to work.
const RETRY_FAILED_AFTER: Duration = Duration::from_mins(5);

/// One entry. Loads from a vault are cached for a while.
#[derive(Debug)]
pub struct CredentialSource {
    kind: &'static str,
    name: String,
    origin: Origin,
    /// How long a load from a vault is used: its certificates change a few times a year. Entra's rejection ends it earlier.
    vault_check: Duration,
    last: Mutex<Option<CachedLoad>>,
}

/// The outcome of a load, and when the load began.
#[derive(Debug, Clone)]
struct CachedLoad {
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
    /// The entries of the settings, in their order; may be empty. No network.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn from_settings(settings: &Settings) -> Result<Vec<Self>, OutboundError> {
        let Settings {
            entra,
            client,
            azure,
            server,
            ..
        } = settings;
        let azure_access = Azure::from_settings(azure, entra, server.environment, &client.client_id)?;
        let new = |entry: &CredentialSettings| {
            let (name, origin) = origin(entry, &azure_access, entra.cloud, client.assertion);
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
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it supplies tokens, not a certificate.
    pub fn is_token(&self) -> bool {
        matches!(self.origin, Origin::TokenFile(..) | Origin::ManagedIdentity(..))
    }

    /// Kind and location, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings of a certificate in a file or a setting; `None` for other sources.
    pub fn file(&self) -> Option<&CertificateSettings> {
        match &self.origin {
            Origin::File(settings) => Some(settings),
            _ => None,
        }
    }

    /// Loads and checks the credential: reads the file, asks the vault, or fetches a token. May block as long as
    /// [`RetryBudget::Start`].
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn load(&self) -> Result<Arc<Credential>, CredentialError> {
        self.read(RetryBudget::Start)
    }

    /// As [`Self::load`], but each response of Azure may take `limit` at most.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn load_within(&self, limit: Duration) -> Result<Arc<Credential>, CredentialError> {
        self.read(RetryBudget::Within(limit))
    }

    /// As [`Self::load`] while users wait. A load from a vault that began at `not_before` or later, for another request, is used.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub(in crate::entra) fn load_since(&self, not_before: Instant) -> Result<Arc<Credential>, CredentialError> {
        match self.last_vault_load() {
            Some(CachedLoad { since, loaded }) if since >= not_before => loaded,
            _ => self.read(RetryBudget::Request),
        }
    }

    /// As [`Self::load`] while users wait. A recent load from a vault is used.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub(in crate::entra) fn load_cached(&self) -> Result<Arc<Credential>, CredentialError> {
        match self.last_vault_load() {
            Some(CachedLoad { since, loaded }) if since.elapsed() < self.max_age(&loaded) => loaded,
            _ => self.read(RetryBudget::Request),
        }
    }

    /// `None` for files, which are read each time, and for tokens, which have their own cache.
    fn last_vault_load(&self) -> Option<CachedLoad> {
        match self.origin {
            Origin::VaultKey(..) | Origin::VaultDownload(..) => self.last.lock().clone(),
            Origin::File(_) | Origin::TokenFile(..) | Origin::ManagedIdentity(..) => None,
        }
    }

    fn max_age(&self, last: &Loaded) -> Duration {
        if last.is_ok() {
            self.vault_check
        } else {
            self.vault_check.min(RETRY_FAILED_AFTER)
        }
    }

    fn read(&self, budget: RetryBudget) -> Loaded {
        let since = Instant::now();
        let loaded = self.fetch(budget).map(Arc::new);
        *self.last.lock() = Some(CachedLoad {
            since,
            loaded: loaded.clone(),
        });
        loaded
    }

    fn fetch(&self, budget: RetryBudget) -> Result<Credential, CredentialError> {
        let federated = |federated: FederatedCredential| -> Result<_, CredentialError> {
            // Only a fetched token shows that there is one.
            federated.assertion(budget)?;
            Ok(Credential::Federated(federated))
        };
        Ok(match &self.origin {
            Origin::File(settings) => Credential::Certificate(ClientCertificate::load(settings)?),
            Origin::VaultKey(vault, name, form) => {
                Credential::Certificate(ClientCertificate::load_with_vault_key(vault, name, *form, budget)?)
            }
            Origin::VaultDownload(vault, name) => {
                Credential::Certificate(ClientCertificate::download_from_vault(vault, name, budget)?)
            }
            Origin::TokenFile(azure, path) => federated(FederatedCredential::from_file(
                azure.federated_token_file(path.as_deref())?,
            ))?,
            Origin::ManagedIdentity(tokens, cloud) => {
                federated(FederatedCredential::from_managed_identity(Arc::clone(tokens), *cloud))?
            }
        })
    }

    /// The certificates in DER, without keys: of a file, all that it contains. Empty for tokens. May block.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, CertificateError> {
        match &self.origin {
            Origin::File(settings) => certificates_from_settings(settings),
            Origin::VaultKey(vault, name, _) | Origin::VaultDownload(vault, name) => {
                Ok(vec![vault.certificate(name, RetryBudget::Start)?.der])
            }
            Origin::TokenFile(..) | Origin::ManagedIdentity(..) => Ok(Vec::new()),
        }
    }
}

fn origin(entry: &CredentialSettings, azure: &Azure, cloud: Cloud, form: AssertionForm) -> (String, Origin) {
    let vault = |vault: &VaultSettings| (Arc::new(azure.key_vault(&vault.vault_url)), vault.certificate.clone());
    let (what, origin) = match entry {
        CredentialSettings::File(file) => (
            CertificateLocation::from_settings(file).to_string(),
            Origin::File(file.clone()),
        ),
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
