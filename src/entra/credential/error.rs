//! Why the application has no usable credential.

use std::borrow::Cow;

use crate::{azure::AzureError, certificate::CertificateError, hint::Hint};

/// Why a credential cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Azure gives no token.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// No entry can be used: the name and the error of each, in the order of the list.
    #[error("none of the entries of client.credential can be used{}", lines(.0))]
    NoneUsable(Vec<(String, CredentialError)>),
}

impl CredentialError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Certificate(error) => error.hint().into_owned(),
            Self::Azure(error) => error.hint(),
            Self::NoneUsable(_) => {
                "correct one of the entries: one usable entry is enough; see docs/certificates.md".to_owned()
            }
        }
    }

    /// The reason as a stable code. Does not say where the credential is.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Certificate(error) => error.reason(),
            Self::Azure(_) => "azure",
            Self::NoneUsable(_) => "none_usable",
        }
    }

    /// Message and hint in one line.
    pub(in crate::entra) fn with_hint(&self) -> String {
        format!("{self}; hint: {}", self.hint())
    }
}

impl Hint for CredentialError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

fn lines(entries: &[(String, CredentialError)]) -> String {
    entries.iter().fold(String::new(), |text, (name, error)| {
        format!("{text}\n  {name}: {}", error.with_hint())
    })
}
