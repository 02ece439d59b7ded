//! Why Azure gave no token, no certificate or no signature. Messages never hold a token or a secret.

use std::path::PathBuf;

use crate::azure::retry::is_busy;

/// Why Azure did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AzureError {
    /// No answer in time, or none at all.
    #[error("{service} does not answer: {reason}")]
    Unreachable {
        /// Who was asked.
        service: String,
        /// What the connection says.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// It answered with an error.
    #[error("{service} answered {status}{}", with_detail(detail))]
    Refused {
        /// Who was asked.
        service: String,
        /// HTTP status.
        status: u16,
        /// Its own code and words, shortened; may be empty.
        detail: String,
        /// What to do about it.
        hint: String,
    },
    /// It answered something else than documented.
    #[error("{service} gave an answer that cannot be understood: {what}")]
    Malformed {
        /// Who was asked.
        service: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The vault asks for tokens for somebody else: whoever answers is not the vault, or wants to use our token elsewhere.
    #[error("{vault} asks for a token for {resource:?}, which is not its own domain; none was sent")]
    ForeignChallenge {
        /// The vault.
        vault: String,
        /// Whom it asks tokens for.
        resource: String,
    },
    /// The federated token's file cannot be used.
    #[error("the federated token file {} {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The Azure CLI gave no token.
    #[error("the Azure CLI gave no token: {reason}")]
    Cli {
        /// What it says.
        reason: String,
    },
    /// A setting that is needed is not there.
    #[error("{setting} is not set")]
    NotSet {
        /// The setting.
        setting: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
}

impl AzureError {
    /// Whether nothing is wrong but that the service is away or busy just now.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => is_busy(*status),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { hint, .. } | Self::NotSet { hint, .. } => (*hint).to_owned(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Malformed { .. } => "see what answers at this address: a proxy may stand between".to_owned(),
            Self::ForeignChallenge { .. } => {
                "see that vault_url is the vault's own address, such as https://NAME.vault.azure.net".to_owned()
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

fn with_detail(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    }
}
