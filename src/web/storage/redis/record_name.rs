//! The names of records in Redis.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::sha::sha256;

/// A kind of record.
#[derive(Debug, Clone, Copy)]
pub struct RecordKind(pub &'static str);

/// The name of one record of a kind: a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordName(String);

impl RecordName {
    /// Hashes a secret or free-form key, so that Redis never sees it.
    pub fn hash(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(sha256(text.as_bytes())))
    }

    /// A name that was read from a set.
    pub fn from_digest(digest: String) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
