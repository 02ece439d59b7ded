//! A token as a request brings it.

use openssl::sha::sha256;

/// An access token that nobody has looked into yet, with the SHA-256 under which it is known if it came before: taken
/// once, since it costs about as much as all the rest of recognising one.
#[derive(Clone, Copy)]
pub struct PresentedToken<'t> {
    text: &'t str,
    digest: Digest,
}

/// SHA-256 of a token: who reads it in memory finds nothing that could be sent.
pub(super) type Digest = [u8; 32];

impl<'t> PresentedToken<'t> {
    /// Whatever was presented.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            digest: sha256(text.as_bytes()),
        }
    }

    /// As it was presented.
    pub fn as_str(&self) -> &'t str {
        self.text
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}
