//! The last good signing keys in a file, for a server that is restarted while the provider is away. Public keys only; but
//! who can write the file can make keys count, so it is not read when others may write it.

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    entra::whole_file::{self, Access},
    outbound::MAX_BODY_BYTES,
};

/// Where the keys of one source are kept.
pub(in crate::entra) struct KeyCacheFile {
    path: PathBuf,
    /// The address that they come from: another tenant's file is of no use.
    source: String,
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

    /// Keeps what was fetched at `now`. That it cannot be written is no reason to refuse a request: it is logged.
    pub(super) fn write(&self, jwks: &[u8], now: DateTime<Utc>) {
        if let Err(error) = self.try_to_write(jwks, now) {
            log::warn!("{}: the signing keys could not be kept: {error}", self.path.display());
        }
    }

    /// What was kept, and its age at `now`.
    pub(super) fn read(&self, now: DateTime<Utc>) -> Option<(Vec<u8>, Duration)> {
        match self.try_to_read(now) {
            Ok(kept) => Some(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::warn!("{}: the signing keys kept there are not used: {error}", self.path.display());
                None
            }
        }
    }

    fn try_to_write(&self, jwks: &[u8], now: DateTime<Utc>) -> io::Result<()> {
        let kept = Kept { source: self.source.clone(), fetched_at: now, jwks: serde_json::from_slice(jwks)? };
        whole_file::replace(&self.path, &serde_json::to_vec(&kept)?, Access::OwnerOnly)
    }

    fn try_to_read(&self, now: DateTime<Utc>) -> io::Result<(Vec<u8>, Duration)> {
        let file = fs::File::open(&self.path)?;
        check_owner_writes_alone(&file.metadata()?)?;
        let mut text = Vec::new();
        file.take(2 * MAX_BODY_BYTES).read_to_end(&mut text)?;
        let kept: Kept = serde_json::from_slice(&text)?;
        if kept.source != self.source {
            return Err(io::Error::other("they come from elsewhere"));
        }
        let age = (now - kept.fetched_at).to_std().map_err(|_| io::Error::other("they are of a time to come"))?;
        Ok((kept.jwks.get().as_bytes().to_vec(), age))
    }
}

#[cfg(unix)]
fn check_owner_writes_alone(metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others than its owner may write the file, or it is none"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner_writes_alone(_: &fs::Metadata) -> io::Result<()> {
    Ok(())
}
