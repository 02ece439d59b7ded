//! Why the emulator did not start.

use std::io;

use super::{registrations::RegistrationError, signing_keys::KeyError, tls::TlsError};
use crate::serve::ListenError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It would be reachable from other machines.
    #[error(
        "{host} is not a loopback address, and this identity provider asks for no password; listen on 127.0.0.1, or give \
         --i-know-this-is-not-a-real-identity-provider"
    )]
    NotLoopback {
        /// Address asked for.
        host: String,
    },
    /// An app registration cannot be used.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// No signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A page's template is broken.
    #[error("a page template of the identity provider is broken: {0}")]
    Template(#[from] tera::Error),
    /// No HTTPS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket cannot be used.
    #[error("cannot serve on the socket: {0}")]
    Socket(#[source] io::Error),
}
