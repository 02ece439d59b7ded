//! The last good signing keys in a file, for a server that restarts during an outage of the provider. They are public, but an
//! attacker who can write the file could make the API accept forged tokens, so it is read under the rules of
//! [`crate::trusted_file`].

use std::{fmt, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::JwksError;
use crate::{
    outbound::MAX_BODY_BYTES,
    trusted_file::{self, Readers, TrustedFileError},
};

/// The cache file of one key source.
pub(in crate::entra) struct KeyCacheFile {
    path: PathBuf,
    /// The URL of the keys. A file with another URL, such as another tenant's, is not used.
    source: String,
}

/// Keys from the file.
pub(super) struct CachedKeys {
    pub(super) jwks: Vec<u8>,
    pub(super) age: Duration,
}

/// Why the file could not be used or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheFileError {
    /// Normal before the first fetch.
    #[error("the file does not exist")]
    NotFound,
    #[error(transparent)]
    File(TrustedFileError),
    #[error("blogctl did not write this file")]
    Malformed(#[from] serde_json::Error),
    #[error("the keys come from another tenant or URL")]
    AnotherSource,
    #[error("the keys are dated in the future: compare the clocks")]
    InFuture,
    #[error("the keys are older than entra.keys_max_age_hours")]
    TooOld,
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    source: String,
    fetched_at: DateTime<Utc>,
    #[serde(borrow)]
    jwks: &'a RawValue,
}

impl KeyCacheFile {
    pub(in crate::entra) fn new(path: PathBuf, source: String) -> Self {
        Self { path, source }
    }

    /// Writes keys that were fetched at `now`.
    pub(super) fn write(&self, jwks: &[u8], now: DateTime<Utc>) -> Result<(), CacheFileError> {
        let content = Content {
            source: self.source.clone(),
            fetched_at: now,
            jwks: serde_json::from_slice(jwks)?,
        };
        Ok(trusted_file::replace(&self.path, &serde_json::to_vec(&content)?)?)
    }

    /// Reads the keys, with their age at `now`.
    pub(super) fn read(&self, now: DateTime<Utc>) -> Result<CachedKeys, CacheFileError> {
        let text = trusted_file::read(&self.path, Readers::Anyone, 2 * MAX_BODY_BYTES)?;
        let content: Content = serde_json::from_slice(&text)?;
        if content.source != self.source {
            return Err(CacheFileError::AnotherSource);
        }
        let age = (now - content.fetched_at)
            .to_std()
            .map_err(|_| CacheFileError::InFuture)?;
        Ok(CachedKeys {
            jwks: content.jwks.get().as_bytes().to_vec(),
            age,
        })
    }
}

impl fmt::Display for KeyCacheFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(formatter)
    }
}

impl From<TrustedFileError> for CacheFileError {
    fn from(error: TrustedFileError) -> Self {
        match error {
            TrustedFileError::NotFound => Self::NotFound,
            error => Self::File(error),
        }
    }
}
