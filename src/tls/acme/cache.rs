//! The folder `server.tls.acme.cache_dir`: the account, the certificate with its key, and until when the CA wants no further
//! request. Only this account may read the files, which `trusted_file` checks.
//!
//! The names of the files contain a hash of the directory's URL, and of the domains: after a change of these settings,
//! nothing is confused with what another CA issued, or for other names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use instant_acme::AccountCredentials;
use openssl::sha::Sha256;
use serde::{Deserialize, Serialize};

use super::error::AcmeError;
use crate::{
    config::AcmeSettings,
    trusted_file::{self, Readers, TrustedFileError},
};

/// Largest file. A certificate chain with its key has some 10 KB.
const MAX_BYTES: u64 = 256 * 1024;
/// Hex digits of a hash in a file name.
const HASH_DIGITS: usize = 12;

/// See the module.
pub(super) struct Cache {
    account: PathBuf,
    certificate: PathBuf,
    pause: PathBuf,
}

/// An account at the CA.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAccount {
    /// The contacts that the CA knows.
    pub(super) contact: Vec<String>,
    pub(super) credentials: AccountCredentials,
}

#[derive(Serialize, Deserialize)]
struct Pause {
    until: DateTime<Utc>,
}

impl Cache {
    /// The files for these settings.
    pub(super) fn new(folder: &Path, settings: &AcmeSettings) -> Self {
        let directory = settings.directory.as_ref().map_or("", |url| url.as_str());
        let ca = hash(&[directory]);
        let mut names: Vec<&str> = settings.domains.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.insert(0, directory);
        Self {
            account: folder.join(format!("account-{ca}.json")),
            certificate: folder.join(format!("certificate-{}.pem", hash(&names))),
            pause: folder.join(format!("pause-{ca}.json")),
        }
    }

    /// Checks that the folder can be written, before the CA issues something that cannot be stored.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn check(&self) -> Result<(), AcmeError> {
        let path = self.certificate.with_extension("check");
        write(&path, b"")?;
        fs::remove_file(&path).map_err(|error| AcmeError::Cache {
            path,
            reason: error.to_string(),
        })
    }

    /// Removes the account, which the CA no longer knows.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn forget_account(&self) -> Result<(), AcmeError> {
        match fs::remove_file(&self.account) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AcmeError::Cache {
                path: self.account.clone(),
                reason: error.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Where certificate and key are.
    pub(super) fn certificate_path(&self) -> &Path {
        &self.certificate
    }

    /// Certificate chain and key in PEM, if there are any.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn certificate(&self) -> Result<Option<Vec<u8>>, AcmeError> {
        read(&self.certificate)
    }

    /// Stores certificate chain and key.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store_certificate(&self, pem: &[u8]) -> Result<(), AcmeError> {
        write(&self.certificate, pem)
    }

    /// The account, if there is one.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn account(&self) -> Result<Option<StoredAccount>, AcmeError> {
        let Some(json) = read(&self.account)? else {
            return Ok(None);
        };
        let account = serde_json::from_slice(&json).map_err(|_| AcmeError::Damaged {
            path: self.account.clone(),
        })?;
        Ok(Some(account))
    }

    /// Stores the account.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store_account(&self, account: &StoredAccount) -> Result<(), AcmeError> {
        write(&self.account, &serde_json::to_vec(account).map_err(AcmeError::Json)?)
    }

    /// Until when the CA wants no further request. A restart must not shorten that.
    pub(super) fn pause(&self) -> Option<DateTime<Utc>> {
        let json = read(&self.pause).ok()??;
        serde_json::from_slice::<Pause>(&json).ok().map(|pause| pause.until)
    }

    /// Stores it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn store_pause(&self, until: DateTime<Utc>) -> Result<(), AcmeError> {
        write(
            &self.pause,
            &serde_json::to_vec(&Pause { until }).map_err(AcmeError::Json)?,
        )
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    let mut digits = hex::encode(hash.finish());
    digits.truncate(HASH_DIGITS);
    digits
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, AcmeError> {
    match trusted_file::read(path, Readers::OwnerOnly, MAX_BYTES) {
        Ok(content) => Ok(Some(content)),
        Err(TrustedFileError::NotFound) => Ok(None),
        Err(error) => Err(AcmeError::Cache {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), AcmeError> {
    trusted_file::replace(path, content).map_err(|error| AcmeError::Cache {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn settings(directory: &str, domains: &[&str]) -> AcmeSettings {
        AcmeSettings {
            directory: Some(Url::parse(directory).expect("a URL")),
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            ..AcmeSettings::default()
        }
    }

    #[test]
    fn another_ca_or_other_domains_have_other_files_and_the_order_of_domains_does_not_matter() {
        let cache = |directory, domains: &[&str]| Cache::new(Path::new("acme"), &settings(directory, domains));
        let (one, two) = ("https://one.example/directory", "https://two.example/directory");
        let base = cache(one, &["a.example", "b.example"]);
        assert_eq!(base.certificate, cache(one, &["b.example", "a.example"]).certificate);
        let more = cache(one, &["a.example"]);
        assert_ne!(base.certificate, more.certificate);
        assert_eq!(base.account, more.account);
        let other = cache(two, &["a.example", "b.example"]);
        assert_ne!(base.certificate, other.certificate);
        assert_ne!(base.account, other.account);
    }

    #[test]
    fn what_is_stored_is_read_back_by_the_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made");
        let cache = Cache::new(&path, &settings("https://one.example/", &["a.example"]));
        assert!(cache.certificate().expect("readable").is_none());
        assert!(cache.account().expect("readable").is_none());
        cache.store_certificate(b"pem").expect("stored");
        assert_eq!(cache.certificate().expect("readable").as_deref(), Some(&b"pem"[..]));
        let until = DateTime::UNIX_EPOCH;
        cache.store_pause(until).expect("stored");
        assert_eq!(cache.pause(), Some(until));
        let mode = std::fs::metadata(cache.certificate_path())
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(cache.certificate_path(), fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(cache.certificate(), Err(AcmeError::Cache { .. })));
    }
}
