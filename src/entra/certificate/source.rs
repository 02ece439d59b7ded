//! Where certificate and private key come from: a file, or a setting that holds what a file would, in base64 (as Azure App
//! Service and Kubernetes secrets give it).

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{
    CertificateError, mode,
    pem::{self, Passphrase},
    pfx,
};
use crate::config::CertificateSettings;

/// Certificates, in any order, and the private key of one of them.
pub(super) struct Found {
    pub(super) certificates: Vec<X509>,
    pub(super) key: PKey<Private>,
    /// What held the certificates.
    pub(super) path: PathBuf,
    /// What held the key.
    pub(super) key_path: PathBuf,
}

/// The same, where one of the two may be missing or wrong.
pub(super) struct Parts {
    pub(super) certificates: Result<Vec<X509>, CertificateError>,
    pub(super) key: Result<PKey<Private>, CertificateError>,
    pub(super) path: PathBuf,
    pub(super) key_path: PathBuf,
}

impl Parts {
    /// Those of a PEM or PFX file's content that holds both.
    pub(super) fn in_one(bytes: &[u8], path: &Path, passphrase: Passphrase<'_>) -> Result<Self, CertificateError> {
        let certificates = pem::parse_certificates(bytes, path);
        let (certificates, key) = if certificates.is_err() && !pem::is_pem(bytes) && pfx::is_der(bytes) {
            let (certificates, key) = pfx::parse(bytes, path, passphrase)?;
            (Ok(certificates), Ok(key))
        } else {
            (certificates, pem::parse_key(bytes, path, passphrase))
        };
        Ok(Self { certificates, key, path: path.to_owned(), key_path: path.to_owned() })
    }

    /// Both, or what is wrong with the first that is.
    pub(super) fn whole(self) -> Result<Found, CertificateError> {
        let Self { certificates, key, path, key_path } = self;
        Ok(Found { certificates: certificates?, key: key?, path, key_path })
    }
}

/// Reads what the settings name.
pub(super) fn read(settings: &CertificateSettings) -> Result<Found, CertificateError> {
    let found = read_apart(settings)?.whole()?;
    // A key in a setting is in no file.
    if settings.key_path.is_some() || (settings.path.is_some() && settings.key_base64.is_none()) {
        mode::warn_when_others_may_read(&found.key_path);
    }
    Ok(found)
}

/// Stands in messages where the key is in no file.
const KEY_SETTING: &str = "client.key_base64";

/// Reads what the settings name, each part for itself.
pub(super) fn read_apart(settings: &CertificateSettings) -> Result<Parts, CertificateError> {
    let path = settings.place();
    let bytes = match (&settings.path, &settings.base64) {
        (Some(path), _) => pem::read(path),
        (None, Some(text)) => decoded(text, "client.cert_base64"),
        (None, None) => Err(CertificateError::NotConfigured),
    };
    let passphrase = || passphrase(settings);
    let key_in = |path: &Path| {
        let bytes = match (&settings.key_path, &settings.key_base64) {
            (None, Some(text)) => decoded(text, KEY_SETTING),
            _ => pem::read(path),
        };
        bytes.and_then(|bytes| pem::parse_key(&bytes, path, &passphrase))
    };
    let key_path = settings.key_path.clone().or_else(|| settings.key_base64.as_ref().map(|_| KEY_SETTING.into()));
    let (bytes, key_path) = match (bytes, &key_path) {
        (Ok(bytes), key_path) => (bytes, key_path),
        // The key is looked at all the same: one mistake must not hide the other.
        (Err(error), Some(key_path)) => {
            return Ok(Parts { certificates: Err(error), key: key_in(key_path), path, key_path: key_path.clone() });
        }
        (Err(error), None) => return Err(error),
    };
    let parts = Parts::in_one(&bytes, &path, &passphrase)?;
    // A PFX file has its key in it, whatever else is named.
    let Some(key_path) = key_path.as_ref().filter(|_| pem::is_pem(&bytes) || parts.key.is_err()) else {
        return Ok(parts);
    };
    Ok(Parts { key: key_in(key_path), key_path: key_path.clone(), ..parts })
}

fn decoded(text: &SecretString, setting: &'static str) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    // Wrapped lines, as `base64` prints them. Of its size at once: a text that grows leaves copies behind.
    let mut joined = Zeroizing::new(String::with_capacity(text.expose_secret().len()));
    joined.extend(text.expose_secret().chars().filter(|c| !c.is_ascii_whitespace()));
    STANDARD.decode(joined.as_bytes()).map(Zeroizing::new).map_err(|_| CertificateError::BadBase64 { setting })
}

/// The passphrase of the settings, or their file's without the line end that editors add.
///
/// # Errors
/// When the file cannot be read.
pub fn passphrase(settings: &CertificateSettings) -> Result<Option<SecretString>, CertificateError> {
    let Some(path) = &settings.key_passphrase_file else { return Ok(settings.key_passphrase.clone()) };
    let bytes = pem::read(path)?;
    let not_text = |error| CertificateError::Unreadable {
        path: path.clone(),
        reason: Arc::new(io::Error::new(io::ErrorKind::InvalidData, error)),
    };
    let text = std::str::from_utf8(&bytes).map_err(not_text)?;
    Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))))
}
