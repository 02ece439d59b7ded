//! The bearer token of a request.

use openssl::sha::sha256;

/// An unverified access token and its SHA-256, the key of both token caches. The digest is computed once, since it costs about
/// as much as the rest of a cache lookup.
#[derive(Clone, Copy)]
pub struct BearerToken<'t> {
    text: &'t str,
    digest: Digest,
}

/// SHA-256 of a token: an attacker who reads the cache in memory finds no usable token.
pub(super) type Digest = [u8; 32];

impl<'t> BearerToken<'t> {
    /// Takes any text.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            digest: sha256(text.as_bytes()),
        }
    }

    /// The token as the request sent it.
    pub fn as_str(&self) -> &'t str {
        self.text
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}
