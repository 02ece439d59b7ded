use std::{borrow::Cow, io};

use super::{registrations::RegistrationError, signing_keys::KeyError, tls::LocalTlsError};
use crate::{hint::Hint, serve::ListenError, tls::TlsError};

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be used.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Other machines could reach it.
    #[error(
        "{host} is not a loopback address, and this identity provider asks for no password; listen on 127.0.0.1, or pass \
         --i-know-this-is-not-a-real-identity-provider"
    )]
    NotLoopback {
        /// The configured address.
        host: String,
    },
    /// An app registration cannot be used.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// No signing key can be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A page's template is broken.
    #[error("a page template of the identity provider is broken: {0}")]
    Template(#[from] tera::Error),
    /// No certificate for localhost can be created.
    #[error(transparent)]
    LocalTls(#[from] LocalTlsError),
    /// HTTPS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket cannot be used.
    #[error("cannot serve on the socket: {0}")]
    Socket(#[source] io::Error),
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Listen(error) => error.hint("idp.port").map(Cow::Owned),
            Self::Tls(error) => error.hint(),
            _ => None,
        }
    }
}
