//! `[azure]`: which identity this machine has in Azure, for credentials that come from there. What Azure itself sets in a
//! container (`IDENTITY_ENDPOINT`, `AZURE_FEDERATED_TOKEN_FILE` and so on) is read under those names, too.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    loader::Loader,
    validate::{A_GUID, A_SECURE_URL, guid, plain_url, secure_url},
    value::choices,
};

/// How tokens for Key Vault are got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AzureIdentity {
    /// Workload identity where there is a token file, else managed identity; in development without either, the Azure CLI.
    #[default]
    Auto,
    /// The managed identity of the machine, App Service or Container App.
    Managed,
    /// The federated token that a cluster keeps in a file.
    Workload,
    /// Whoever ran `az login`: for developers.
    Cli,
}

choices!(AzureIdentity => "auto, managed, workload or cli");

/// `[azure]`.
#[derive(Debug, Clone)]
pub struct AzureSettings {
    /// `azure.identity`: `auto`, `managed`, `workload` or `cli`.
    pub identity: AzureIdentity,
    /// `azure.client_id`, Azure's `AZURE_CLIENT_ID`: of a user-assigned managed identity or of the workload identity, a GUID.
    pub client_id: Option<String>,
    /// `azure.tenant_id`, Azure's `AZURE_TENANT_ID`: of the workload identity, a GUID; `entra.tenant_id` when not set.
    pub tenant_id: Option<String>,
    /// `azure.authority_host`, Azure's `AZURE_AUTHORITY_HOST`: where the workload identity exchanges its token; the site's own
    /// authority when not set.
    pub authority_host: Option<Url>,
    /// `azure.federated_token_file`, Azure's `AZURE_FEDERATED_TOKEN_FILE`: where the cluster keeps the token.
    pub federated_token_file: Option<PathBuf>,
    /// `azure.identity_endpoint`, Azure's `IDENTITY_ENDPOINT`: where App Service and Container Apps give tokens.
    pub identity_endpoint: Option<Url>,
    /// `azure.identity_header`, Azure's `IDENTITY_HEADER`: goes with it. Secret.
    pub identity_header: Option<SecretString>,
    /// `azure.imds_url`, Azure's `AZURE_POD_IDENTITY_AUTHORITY_HOST`: the instance metadata service of virtual machines.
    pub imds_url: Url,
    /// `azure.vault_check_minutes`: how often a key vault is asked for a newer version, 1 to 1440.
    pub vault_check: Duration,
}

impl AzureSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            identity: loader.get("azure.identity", default.identity),
            client_id: loader.get_if("azure.client_id", default.client_id, A_GUID, |id| {
                id.as_deref().is_none_or(guid)
            }),
            tenant_id: loader.get_if("azure.tenant_id", default.tenant_id, A_GUID, |id| {
                id.as_deref().is_none_or(guid)
            }),
            authority_host: loader.get_if("azure.authority_host", default.authority_host, A_SECURE_URL, |url| {
                url.as_ref().is_none_or(secure_url)
            }),
            federated_token_file: loader.get("azure.federated_token_file", default.federated_token_file),
            identity_endpoint: loader.get_if(
                "azure.identity_endpoint",
                default.identity_endpoint,
                "an http or https URL, as Azure sets it",
                |url| url.as_ref().is_none_or(plain_url),
            ),
            identity_header: loader.get("azure.identity_header", default.identity_header),
            imds_url: loader.get_if(
                "azure.imds_url",
                default.imds_url,
                "an http or https URL with nothing after host and port",
                plain_url,
            ),
            vault_check: Duration::from_mins(loader.get_if(
                "azure.vault_check_minutes",
                default.vault_check.as_secs() / 60,
                "a whole number of minutes from 1 to 1440",
                |minutes| (1..=1440).contains(minutes),
            )),
        }
    }
}

impl Default for AzureSettings {
    fn default() -> Self {
        Self {
            identity: AzureIdentity::Auto,
            client_id: None,
            tenant_id: None,
            authority_host: None,
            federated_token_file: None,
            identity_endpoint: None,
            identity_header: None,
            imds_url: default_imds_url(),
            vault_check: Duration::from_hours(1),
        }
    }
}

fn default_imds_url() -> Url {
    #[expect(clippy::expect_used, reason = "a constant that every test parses")]
    Url::parse("http://169.254.169.254").expect("the address of the instance metadata service is a URL")
}
