//! Why there is no password. No message contains one.

use std::{borrow::Cow, path::PathBuf};

use crate::{azure::AzureError, hint::Hint, outbound::OutboundError};

/// Why there is no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The password file cannot be used.
    #[error("the password file {} {reason}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The command gave no password.
    #[error("the password command {program} {reason}")]
    Command {
        /// Its program, without the arguments.
        program: String,
        /// What it did.
        reason: String,
    },
    /// Azure gave no token.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// Requests to Azure cannot be set up.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

impl Hint for PasswordError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::File { .. } => {
                "write only the password into the file, and let the account that runs blogctl read it".into()
            }
            Self::Command { .. } => {
                "run it as the account that runs blogctl: it must print only the password, within 10 seconds".into()
            }
            Self::Azure(error) => error.hint().into(),
            Self::Outbound(_) => "correct entra.ca_file".into(),
        })
    }
}
