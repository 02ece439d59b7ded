//! `[azure]`: the identity of this machine in Azure, for credentials that come from there. The variables that Azure sets in a
//! container (`IDENTITY_ENDPOINT`, `AZURE_FEDERATED_TOKEN_FILE` and so on) are aliases of these settings.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    rules::{minutes, only, optional, optional_url},
    section::section,
    validate::{A_GUID, A_SECURE_URL, guid, plain_url, secure_url},
    value::choices,
};

/// Where tokens for Key Vault come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AzureIdentity {
    /// Workload identity if there is a token file, else managed identity; in development without either, the Azure CLI.
    #[default]
    Auto,
    /// The managed identity of the machine, App Service or Container App.
    Managed,
    /// The federated token that the cluster writes to a file.
    Workload,
    /// The user who ran `az login`: for developers.
    Cli,
}

choices!(AzureIdentity => "auto, managed, workload or cli");

section! {
    /// This machine's identity in Azure, for credentials that come from there.
    #[derive(Debug, Clone)]
    pub struct AzureSettings = "azure" {
        /// Which identity opens a key vault: `managed` (the managed identity), `workload` (the federated token), `cli` (the
        /// user of `az login`), or `auto`.
        pub identity: AzureIdentity = AzureIdentity::Auto;

        /// Client ID of a user-assigned managed identity, or of the workload identity, a GUID.
        #[alias(AZURE_CLIENT_ID)]
        pub client_id: Option<String> = None, optional(A_GUID, guid);

        /// Tenant of the workload identity, a GUID. Default: `entra.tenant_id`.
        #[alias(AZURE_TENANT_ID)]
        pub tenant_id: Option<String> = None, optional(A_GUID, guid);

        /// Where the workload identity exchanges its token. Default: the authority of the site.
        #[alias(AZURE_AUTHORITY_HOST)]
        pub authority_host: Option<Url> = None, optional_url(A_SECURE_URL, secure_url);

        /// File to which the cluster writes the federated token.
        #[alias(AZURE_FEDERATED_TOKEN_FILE)]
        pub federated_token_file: Option<PathBuf> = None;

        /// Where App Service and Container Apps issue tokens. Used together with `azure.identity_header`.
        #[alias(IDENTITY_ENDPOINT)]
        pub identity_endpoint: Option<Url> = None, optional_url("an http or https URL, as Azure sets it", plain_url);

        /// The header value that `azure.identity_endpoint` expects. Secret.
        #[alias(IDENTITY_HEADER)]
        pub identity_header: Option<SecretString> = None;

        /// The instance metadata service of virtual machines.
        #[alias(AZURE_POD_IDENTITY_AUTHORITY_HOST)]
        pub imds_url: Url = default_imds_url(), only("an http or https URL with nothing after host and port", plain_url);

        /// How often the site asks the key vault for a newer version of the certificate.
        #[key(vault_check_minutes)]
        pub vault_check: Duration = Duration::from_hours(1), minutes(1..=1440);
    }
}

fn default_imds_url() -> Url {
    #[expect(clippy::expect_used, reason = "a constant that every test parses")]
    Url::parse("http://169.254.169.254").expect("the address of the instance metadata service is a URL")
}
