//! Reads certificate and private key from files, or from settings that hold the content of a file in base64, as Azure App Service
//! and Kubernetes secrets supply it.

use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    CertificateError, CertificateLocation,
    content::{Content, is_base64},
    file, file_mode,
    passphrase::{Passphrase, load_passphrase},
    pem, pfx,
};
use crate::config::CertificateSettings;

/// Certificates, in any order, and the private key of one of them.
pub(super) struct Source {
    pub(super) certificates: Vec<X509>,
    pub(super) key: PKey<Private>,
    pub(super) location: CertificateLocation,
    pub(super) key_location: CertificateLocation,
}

/// As [`Source`], but each of the two may be missing or invalid.
pub(super) struct Parts {
    pub(super) certificates: Result<Vec<X509>, CertificateError>,
    pub(super) key: Result<PKey<Private>, CertificateError>,
    pub(super) location: CertificateLocation,
    pub(super) key_location: CertificateLocation,
}

impl Parts {
    /// Takes both from one PEM or PFX content.
    pub(super) fn from_content(
        content: &Content,
        location: &CertificateLocation,
        passphrase: Passphrase<'_>,
    ) -> Result<Self, CertificateError> {
        let certificates = pem::parse_certificates(content, location);
        let (certificates, key) = match content {
            Content::Der(der) if certificates.is_err() => {
                let (certificates, key) = pfx::parse(der, location, passphrase)?;
                (Ok(certificates), Ok(key))
            }
            _ => (certificates, pem::parse_key(content, location, passphrase)),
        };
        Ok(Self {
            certificates,
            key,
            location: location.clone(),
            key_location: location.clone(),
        })
    }

    /// Both parts, or the error of the first invalid one.
    pub(super) fn complete(self) -> Result<Source, CertificateError> {
        let Self {
            certificates,
            key,
            location,
            key_location,
        } = self;
        Ok(Source {
            certificates: certificates?,
            key: key?,
            location,
            key_location,
        })
    }
}

/// Reads what the settings name, and warns if other users may read the key.
pub(super) fn read(settings: &CertificateSettings) -> Result<Source, CertificateError> {
    let source = read_parts(settings)?.complete()?;
    if let Some(path) = source.key_location.file() {
        file_mode::warn_when_others_may_read(path);
    }
    Ok(source)
}

const KEY_SETTING: &str = "client.key_base64";

/// Reads certificate and key separately, so that an error in one does not hide an error in the other.
pub(super) fn read_parts(settings: &CertificateSettings) -> Result<Parts, CertificateError> {
    let location = CertificateLocation::from_settings(settings);
    let content = match (&settings.path, &settings.base64) {
        (Some(path), _) => file::read(path).map(|bytes| Content::parse(&bytes)),
        (None, Some(text)) => parse_setting(text, "client.cert_base64"),
        (None, None) => Err(CertificateError::NotConfigured),
    };
    let passphrase = || load_passphrase(settings);
    let key_location = match (&settings.key_path, &settings.key_base64) {
        (Some(path), _) => Some(CertificateLocation::from(path.as_path())),
        (None, Some(_)) => Some(CertificateLocation::Setting(KEY_SETTING)),
        (None, None) => None,
    };
    let read_key = |location: &CertificateLocation| {
        let content = match (location, &settings.key_base64) {
            (CertificateLocation::File(path), _) => file::read(path).map(|bytes| Content::parse(&bytes)),
            (_, Some(text)) => parse_setting(text, KEY_SETTING),
            (_, None) => Err(CertificateError::NotConfigured),
        };
        content.and_then(|content| pem::parse_key(&content, location, &passphrase))
    };
    let content = match (content, &key_location) {
        (Ok(content), _) => content,
        (Err(error), Some(key_location)) => {
            return Ok(Parts {
                certificates: Err(error),
                key: read_key(key_location),
                location,
                key_location: key_location.clone(),
            });
        }
        (Err(error), None) => return Err(error),
    };
    let parts = Parts::from_content(&content, &location, &passphrase)?;
    // A PFX file contains its key, so another setting for the key is ignored.
    let Some(key_location) = key_location.filter(|_| matches!(content, Content::Pem(_)) || parts.key.is_err()) else {
        return Ok(parts);
    };
    Ok(Parts {
        key: read_key(&key_location),
        key_location,
        ..parts
    })
}

/// The content of a setting: base64 of a file, or PEM itself.
fn parse_setting(text: &SecretString, setting: &'static str) -> Result<Content, CertificateError> {
    match Content::parse(text.expose_secret().as_bytes()) {
        Content::Unknown if is_base64(text.expose_secret()) => Err(CertificateError::NotPem {
            location: CertificateLocation::Setting(setting),
        }),
        Content::Unknown => Err(CertificateError::BadBase64 { setting }),
        content => Ok(content),
    }
}
