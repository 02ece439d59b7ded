//! Errors of requests to Azure. Messages never contain a token or a secret.

use std::{borrow::Cow, path::PathBuf};

use crate::{azure::retry::is_transient_status, hint::Hint};

/// Why Azure gave no token, no certificate or no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AzureError {
    /// No response, or none in time.
    #[error("{service} does not respond: {reason}")]
    Unreachable {
        /// Which service, for messages.
        service: String,
        /// The connection's error.
        reason: String,
        /// What the operator can do.
        hint: &'static str,
    },
    /// The service answered with an HTTP error.
    #[error("{service} answered {status}{}", with_detail(detail))]
    Status {
        /// Which service, for messages.
        service: String,
        /// HTTP status.
        status: u16,
        /// The service's error code and message, shortened; may be empty.
        detail: String,
        /// What the operator can do.
        hint: String,
    },
    /// The response is not the documented one.
    #[error("{service} sent an invalid response: {what}")]
    Malformed {
        /// Which service, for messages.
        service: String,
        /// What is wrong with the response.
        what: &'static str,
    },
    /// The vault's challenge names a resource outside its own domain. The server may not be the vault, or may want to use the
    /// token elsewhere.
    #[error("{vault} asks for a token for {resource:?}, which is not its own domain; no token was sent")]
    ForeignChallenge {
        /// Name of the vault, for messages.
        vault: String,
        /// The resource in the challenge.
        resource: String,
    },
    /// The federated token file cannot be used.
    #[error("the federated token file {} {reason}", path.display())]
    TokenFile {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The Azure CLI gave no token.
    #[error("the Azure CLI gave no token: {reason}")]
    Cli {
        /// Its own message, or why it did not run.
        reason: String,
    },
    /// A required setting is missing.
    #[error("{setting} is not set")]
    NotSet {
        /// Name of the setting.
        setting: &'static str,
        /// What the operator can do.
        hint: &'static str,
    },
}

impl AzureError {
    /// Whether the service is only unreachable or busy at the moment.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => is_transient_status(*status),
            _ => false,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { hint, .. } | Self::NotSet { hint, .. } => (*hint).to_owned(),
            Self::Status { hint, .. } => hint.clone(),
            Self::Malformed { .. } => {
                "check which server answers at this address: a proxy may answer instead".to_owned()
            }
            Self::ForeignChallenge { .. } => {
                "set vault_url to the vault's own address, such as https://NAME.vault.azure.net".to_owned()
            }
            Self::TokenFile { .. } => {
                "label the pod azure.workload.identity/use: \"true\" and give it the annotated service account, or set \
                 azure.federated_token_file (AZURE_FEDERATED_TOKEN_FILE)"
                    .to_owned()
            }
            Self::Cli { .. } => "run az login, or choose another identity with azure.identity".to_owned(),
        }
    }
}

impl Hint for AzureError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Owned(Self::hint(self)))
    }
}

fn with_detail(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    }
}
