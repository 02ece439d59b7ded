//! The settings of the client certificate, `client.cert_path` and the related ones. An entry of `[[client.credential]]` with
//! `source = "file"` has the same keys.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    loader::Loader,
    redact::redacted,
    rules::{only, optional},
    secret_file::{secret_file, warn_of_path},
    secret_text::{SecretKind, secret_kind},
    section::section,
    validate::thumbprint,
};

section! {
    /// The client certificate and its private key.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct CertificateSettings = "client" {
        /// PFX file (PKCS#12), or PEM file with the certificate, its chain if any, and the private key unless
        /// `client.key_path` is set. Required, unless `client.cert_base64` or `client.credential` is set.
        #[key(cert_path)]
        #[alias(CLIENT_CERT_PATH)]
        #[serde(rename = "cert_path", skip_serializing_if = "Option::is_none")]
        pub path: Option<PathBuf> = None;

        /// Content of such a file in base64, instead of a file: the form in which App Service and Kubernetes provide secrets.
        /// Secret.
        #[key(cert_base64)]
        #[serde(rename = "cert_base64", serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
        pub base64: Option<SecretString> = None, only(
            "the content of a PEM or PFX file, in base64; the path of a file belongs into client.cert_path",
            is_content,
        );

        /// PEM file with the private key, if it is not in `client.cert_path`: PKCS#8, PKCS#1 or encrypted PKCS#8.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub key_path: Option<PathBuf> = None;

        /// Content of such a file in base64, instead of a file: `tls.key` of a Kubernetes secret, encoded. Secret.
        #[serde(serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
        pub key_base64: Option<SecretString> = None, only(
            "the content of a key file, in base64; the path of a file belongs into client.key_path",
            is_content,
        );

        /// Decrypts an encrypted private key or the PFX file. Secret.
        #[serde(serialize_with = "redacted", skip_serializing_if = "Option::is_none")]
        pub key_passphrase: Option<SecretString> = None;

        /// File with the passphrase, instead of `client.key_passphrase`. A line break at the end of the file is ignored.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub key_passphrase_file: Option<PathBuf> = None, secret_file;

        /// Expected thumbprint of the certificate, SHA-1 or SHA-256 in hex, with or without colons or spaces. Only compared
        /// with the certificate; a difference is an error.
        #[key(cert_thumbprint)]
        #[alias(CLIENT_CERT_THUMBPRINT)]
        #[serde(rename = "cert_thumbprint", skip_serializing_if = "Option::is_none")]
        pub thumbprint: Option<String> = None, optional(
            "40 (SHA-1) or 64 (SHA-256) hex digits, with or without colons or spaces",
            thumbprint,
        );
    }
}

impl CertificateSettings {
    /// Whether they name a certificate.
    pub fn is_given(&self) -> bool {
        self.path.is_some() || self.base64.is_some()
    }

    /// The files that they name.
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.path, &self.key_path, &self.key_passphrase_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// If the settings name only a thumbprint, uses the PFX file of this name in `folder`. App Service names files after the
    /// SHA-1 thumbprint, in upper case.
    pub(super) fn find_in(&mut self, folder: &Path, loader: &mut Loader) {
        let Some(thumbprint) = self.thumbprint.as_deref().filter(|_| !self.is_given()) else {
            return;
        };
        let Some(name) = sha1_file_name(thumbprint) else { return };
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            self.path = Some(path);
        } else {
            loader.warn(format!(
                "client.cert_thumbprint is set without client.cert_path, and there is no {}: on App Service, list the \
                 thumbprint in WEBSITE_LOAD_CERTIFICATES",
                path.display()
            ));
        }
    }

    pub(super) fn load(loader: &mut Loader) -> Self {
        let settings = Self::read(loader);
        warn_of_path(
            loader,
            "client.key_passphrase",
            "client.key_passphrase_file",
            settings.key_passphrase.as_ref(),
        );
        if settings.path.is_some() && settings.base64.is_some() {
            loader.reject_both("client.cert_path", "client.cert_base64");
        }
        if settings.key_path.is_some() && settings.key_base64.is_some() {
            loader.reject_both("client.key_path", "client.key_base64");
        }
        if settings.key_passphrase.is_some() && settings.key_passphrase_file.is_some() {
            loader.reject_both("client.key_passphrase", "client.key_passphrase_file");
        }
        settings
    }
}

/// `{thumbprint}.p12`, if this is a SHA-1 thumbprint.
fn sha1_file_name(thumbprint: &str) -> Option<String> {
    let digits = thumbprint.rsplit_once('=').map_or(thumbprint, |(_, digits)| digits);
    let digits: String = digits.chars().filter(char::is_ascii_hexdigit).collect();
    (digits.len() == 40).then(|| format!("{}.p12", digits.to_ascii_uppercase()))
}

/// Whether a setting for the content of a file is not set to the path of one. Base64 has no dots, and no file has
/// such a name.
#[expect(clippy::ref_option, reason = "the rule gets the whole value")]
fn is_content(value: &Option<SecretString>) -> bool {
    value.as_ref().is_none_or(|value| {
        let text = value.expose_secret().trim();
        matches!(secret_kind(text), Some(SecretKind::Pem | SecretKind::EncodedKey))
            || !(text.contains('.') || text.starts_with(['~', '/']) || text.contains(":\\"))
                && (text.len() > 255 || Path::new(text).symlink_metadata().is_err())
    })
}
