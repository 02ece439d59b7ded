//! `[[client.credential]]`: what the web site can authenticate with, in order of preference.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    certificate::CertificateSettings,
    loader::Loader,
    quote::{is_path, quotable, secret_in_place_of_path},
    validate::{guid, origin, secure_url, thumbprint},
    value::tables,
};

/// One entry of the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum CredentialSettings {
    /// A certificate with its private key, in a file or a setting, with the keys of `client.cert_path` and so on.
    File(CertificateSettings),
    /// A certificate in Key Vault. The private key stays there; Key Vault signs.
    KeyVaultSign(VaultSettings),
    /// A certificate in Key Vault that the site downloads with its private key.
    KeyVaultCertificate(VaultSettings),
    /// The federated token that a cluster writes to a file.
    WorkloadIdentity(WorkloadIdentitySettings),
    /// A token of a managed identity.
    ManagedIdentity(ManagedIdentitySettings),
}

tables!(CredentialSettings => "tables [[client.credential]] with source (file, key_vault_sign, key_vault_certificate, \
                               workload_identity or managed_identity) and its keys (in the environment: an array of \
                               objects in JSON)");

/// A certificate in Key Vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSettings {
    /// Address of the vault, such as `https://NAME.vault.azure.net`.
    pub vault_url: Url,
    /// Name of the certificate. The site uses its newest version.
    pub certificate: String,
}

/// A federated token in a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentitySettings {
    /// The file. Default: `azure.federated_token_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// A managed identity.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentitySettings {
    /// Client ID of a user-assigned identity. Default: `azure.client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

impl CredentialSettings {
    /// The name of its `source`.
    pub fn source(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::KeyVaultSign(_) => "key_vault_sign",
            Self::KeyVaultCertificate(_) => "key_vault_certificate",
            Self::WorkloadIdentity(_) => "workload_identity",
            Self::ManagedIdentity(_) => "managed_identity",
        }
    }

    /// Whether it is a managed identity without a client ID.
    pub(super) fn is_unnamed_managed_identity(&self) -> bool {
        matches!(self, Self::ManagedIdentity(ManagedIdentitySettings { client_id: None }))
    }

    /// What is wrong with the entry, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::File(file) => file.problem(),
            Self::KeyVaultSign(vault) | Self::KeyVaultCertificate(vault) => vault.problem(),
            Self::WorkloadIdentity(WorkloadIdentitySettings { token_file }) => {
                content_in_place_of_path(&[("token_file", token_file, "")])
            }
            Self::ManagedIdentity(ManagedIdentitySettings { client_id }) => {
                let id = client_id.as_ref().filter(|id| !guid(id))?;
                Some(format!("client_id {:?} is not a GUID", quotable(id)))
            }
        }
    }
}

impl CertificateSettings {
    fn problem(&self) -> Option<String> {
        if let Some(problem) = content_in_place_of_path(&[
            ("cert_path", &self.path, "cert_base64"),
            ("key_path", &self.key_path, "key_base64"),
            ("key_passphrase_file", &self.key_passphrase_file, "key_passphrase"),
        ]) {
            return Some(problem);
        }
        let problem = match (&self.path, &self.base64) {
            (None, None) => "sets neither cert_path nor cert_base64",
            (Some(_), Some(_)) => "sets both cert_path and cert_base64",
            _ if self.key_path.is_some() && self.key_base64.is_some() => "sets both key_path and key_base64",
            _ if self.key_passphrase.is_some() && self.key_passphrase_file.is_some() => {
                "sets both key_passphrase and key_passphrase_file"
            }
            _ if self.thumbprint.as_deref().is_some_and(|text| !thumbprint(text)) => {
                "has a cert_thumbprint that is not 40 or 64 hex digits"
            }
            _ => return None,
        };
        Some(problem.to_owned())
    }
}

/// Describes a path that is the content of a file instead. `paths` holds the key, the path, and the key for the content. The
/// description does not repeat the value.
fn content_in_place_of_path(paths: &[(&str, &Option<PathBuf>, &str)]) -> Option<String> {
    paths.iter().find_map(|(key, path, content)| {
        let text = path.as_ref()?.to_str()?;
        let holds_secret = *key == "key_passphrase_file";
        let kind = secret_in_place_of_path(text);
        if kind.is_none() && (!holds_secret || is_path(text)) {
            return None;
        }
        let what = kind.map_or_else(|| "something else".to_owned(), |kind| kind.to_string());
        let where_to = if content.is_empty() {
            String::new()
        } else {
            format!("; put that into {content}")
        };
        Some(format!(
            "has a {key} that holds {what} instead of the path of a file{where_to}"
        ))
    })
}

impl VaultSettings {
    fn problem(&self) -> Option<String> {
        let Self { vault_url, certificate } = self;
        // The rule of Azure.
        let is_name = (1..=127).contains(&certificate.len())
            && certificate
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !(secure_url(vault_url) && origin(vault_url)) {
            let shown = quotable(vault_url.as_str());
            return Some(format!("vault_url {shown} is not an https URL with only a host"));
        }
        (!is_name).then(|| {
            format!(
                "certificate {:?} is not a name: letters, digits and hyphens",
                quotable(certificate)
            )
        })
    }
}

/// The rule of `client.credential`: checks each entry.
pub fn credentials(
    loader: &mut Loader,
    name: &'static str,
    default: Vec<CredentialSettings>,
) -> Vec<CredentialSettings> {
    let list = loader.get(name, default);
    for (n, entry) in (1..).zip(&list) {
        if let Some(problem) = entry.problem() {
            let hint = "see docs/certificates.md for each source and its keys";
            loader.reject(name, &format!("entry {n} {problem}"), hint);
        }
    }
    list
}
