//! Where certificate and private key come from: a file, or a setting that holds what a file would, in base64 (as Azure App
//! Service and Kubernetes secrets give it).

use std::path::{Path, PathBuf};

use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CertificateError,
    content::{Content, is_base64},
    pem::{self, Passphrase},
    pfx,
};
use crate::{
    certificate::file_mode,
    config::{CertificateSettings, text_in},
};

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
    pub(super) fn in_one(content: &Content, path: &Path, passphrase: Passphrase<'_>) -> Result<Self, CertificateError> {
        let certificates = pem::parse_certificates(content, path);
        let (certificates, key) = match content {
            Content::Der(der) if certificates.is_err() => {
                let (certificates, key) = pfx::parse(der, path, passphrase)?;
                (Ok(certificates), Ok(key))
            }
            _ => (certificates, pem::parse_key(content, path, passphrase)),
        };
        Ok(Self {
            certificates,
            key,
            path: path.to_owned(),
            key_path: path.to_owned(),
        })
    }

    /// Both, or what is wrong with the first that is.
    pub(super) fn whole(self) -> Result<Found, CertificateError> {
        let Self {
            certificates,
            key,
            path,
            key_path,
        } = self;
        Ok(Found {
            certificates: certificates?,
            key: key?,
            path,
            key_path,
        })
    }
}

/// Reads what the settings name.
pub(super) fn read(settings: &CertificateSettings) -> Result<Found, CertificateError> {
    let found = read_apart(settings)?.whole()?;
    // A key in a setting is in no file.
    if settings.key_path.is_some() || (settings.path.is_some() && settings.key_base64.is_none()) {
        file_mode::warn_when_others_may_read(&found.key_path);
    }
    Ok(found)
}

/// Stands in messages where the key is in no file.
const KEY_SETTING: &str = "client.key_base64";

/// Reads what the settings name, each part for itself.
pub(super) fn read_apart(settings: &CertificateSettings) -> Result<Parts, CertificateError> {
    let path = settings.place();
    let content = match (&settings.path, &settings.base64) {
        (Some(path), _) => pem::read(path).map(|bytes| Content::of(&bytes)),
        (None, Some(text)) => in_setting(text, "client.cert_base64"),
        (None, None) => Err(CertificateError::NotConfigured),
    };
    let passphrase = || passphrase(settings);
    let key_in = |path: &Path| {
        let content = match (&settings.key_path, &settings.key_base64) {
            (None, Some(text)) => in_setting(text, KEY_SETTING),
            _ => pem::read(path).map(|bytes| Content::of(&bytes)),
        };
        content.and_then(|content| pem::parse_key(&content, path, &passphrase))
    };
    let key_path = settings
        .key_path
        .clone()
        .or_else(|| settings.key_base64.as_ref().map(|_| KEY_SETTING.into()));
    let (content, key_path) = match (content, &key_path) {
        (Ok(content), key_path) => (content, key_path),
        // The key is looked at all the same: one mistake must not hide the other.
        (Err(error), Some(key_path)) => {
            return Ok(Parts {
                certificates: Err(error),
                key: key_in(key_path),
                path,
                key_path: key_path.clone(),
            });
        }
        (Err(error), None) => return Err(error),
    };
    let parts = Parts::in_one(&content, &path, &passphrase)?;
    // A PFX file has its key in it, whatever else is named.
    let Some(key_path) = key_path
        .as_ref()
        .filter(|_| matches!(content, Content::Pem(_)) || parts.key.is_err())
    else {
        return Ok(parts);
    };
    Ok(Parts {
        key: key_in(key_path),
        key_path: key_path.clone(),
        ..parts
    })
}

/// What a setting holds in place of a file: base64 of it, or PEM itself.
fn in_setting(text: &SecretString, setting: &'static str) -> Result<Content, CertificateError> {
    match Content::of(text.expose_secret().as_bytes()) {
        Content::Unknown if is_base64(text.expose_secret()) => Err(CertificateError::NotPem { path: setting.into() }),
        Content::Unknown => Err(CertificateError::BadBase64 { setting }),
        content => Ok(content),
    }
}

/// The passphrase of the settings, or their file's without the line end that editors add.
///
/// # Errors
/// When the file cannot be read, or is no text.
pub fn passphrase(settings: &CertificateSettings) -> Result<Option<SecretString>, CertificateError> {
    let Some(path) = &settings.key_passphrase_file else {
        return Ok(settings.key_passphrase.clone());
    };
    let text = text_in(&pem::read(path)?).ok_or_else(|| CertificateError::NotText { path: path.clone() })?;
    Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))))
}
