//! Why there is nothing to prove oneself with.

use std::borrow::Cow;

use crate::{azure::AzureError, certificate::CertificateError, hint::Hint};

/// Why a credential cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A certificate cannot.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Azure gives no token.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// None of several can: their names and what each of them says, in the order of the list.
    #[error("none of the entries of client.credential can be used{}", lines(.0))]
    NoneUsable(Vec<(String, CredentialError)>),
}

impl CredentialError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Certificate(error) => error.hint().into_owned(),
            Self::Azure(error) => error.hint(),
            Self::NoneUsable(_) => "one entry that can be used is enough; see docs/certificates.md".to_owned(),
        }
    }

    /// Why, in one word that machines compare; tells nothing of where it is.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Certificate(error) => error.reason(),
            Self::Azure(_) => "azure",
            Self::NoneUsable(_) => "none_usable",
        }
    }

    /// With what to do about it, in one line.
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
