//! The last good signing keys in a file, for a server that is restarted while the provider is away. Public keys only; but
//! an attacker who can write the file can have tokens of their own accepted, so it is read under the rules of
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

/// Where the keys of one source are kept.
pub(in crate::entra) struct KeyCacheFile {
    path: PathBuf,
    /// The address that they come from: another tenant's file is of no use.
    source: String,
}

/// Keys from the file.
pub(super) struct KeptKeys {
    pub(super) jwks: Vec<u8>,
    pub(super) age: Duration,
}

/// Why the keys in the file do not count, or could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheFileError {
    /// There is no such file, as before the first fetch.
    #[error("there is no such file")]
    NotFound,
    #[error(transparent)]
    File(TrustedFileError),
    #[error("it is not a file that blogctl wrote")]
    Malformed(#[from] serde_json::Error),
    #[error("they come from another tenant or address")]
    AnotherSource,
    #[error("they are dated in the future: compare the clocks")]
    InFuture,
    #[error("they are older than entra.keys_max_age_hours")]
    TooOld,
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    source: String,
    fetched_at: DateTime<Utc>,
    #[serde(borrow)]
    jwks: &'a RawValue,
}

impl KeyCacheFile {
    pub(in crate::entra) fn new(path: PathBuf, source: String) -> Self {
        Self { path, source }
    }

    /// Keeps what was fetched at `now`.
    pub(super) fn write(&self, jwks: &[u8], now: DateTime<Utc>) -> Result<(), CacheFileError> {
        let kept = Kept {
            source: self.source.clone(),
            fetched_at: now,
            jwks: serde_json::from_slice(jwks)?,
        };
        Ok(trusted_file::replace(&self.path, &serde_json::to_vec(&kept)?)?)
    }

    /// Reads what was kept, and its age at `now`.
    pub(super) fn read(&self, now: DateTime<Utc>) -> Result<KeptKeys, CacheFileError> {
        let text = trusted_file::read(&self.path, Readers::Anyone, 2 * MAX_BODY_BYTES)?;
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.source != self.source {
            return Err(CacheFileError::AnotherSource);
        }
        let age = (now - kept.fetched_at).to_std().map_err(|_| CacheFileError::InFuture)?;
        Ok(KeptKeys {
            jwks: kept.jwks.get().as_bytes().to_vec(),
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
