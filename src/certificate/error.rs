//! Why a certificate cannot be used. Each message names the location, each hint what to do; neither contains key material.

use std::{borrow::Cow, io, sync::Arc};

use chrono::{DateTime, Utc};

use super::{CertificateLocation, details::days_ago};
use crate::{azure::AzureError, config::quotable, hint::Hint};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No certificate is configured.
    #[error("client.cert_path is not set")]
    NotConfigured,
    /// A file cannot be read.
    #[error("{location} cannot be read: {reason}")]
    Unreadable {
        /// Where it is.
        location: CertificateLocation,
        /// The system's error.
        reason: Arc<io::Error>,
    },
    /// The path is a folder, a pipe or a device.
    #[error("{location} is not a file")]
    NotAFile {
        /// The path.
        location: CertificateLocation,
    },
    /// The file is larger than 1 MiB.
    #[error("{location} is larger than 1 MiB")]
    TooLarge {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A setting for the content of a file is not base64.
    #[error("{setting} is not base64")]
    BadBase64 {
        /// Name of the setting.
        setting: &'static str,
    },
    /// A PFX file is encrypted with algorithms that this OpenSSL does not have.
    #[error("{location} is a PFX file with old encryption, which this OpenSSL cannot decrypt")]
    LegacyPfx {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A file is neither PEM nor PFX.
    #[error("{location} is neither a PEM nor a PFX file")]
    NotPem {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A PEM file holds no certificate.
    #[error("{location} holds no certificate")]
    NoCertificate {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A certificate cannot be parsed.
    #[error("{location} holds a certificate that cannot be parsed")]
    BadCertificate {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A PEM file holds no private key.
    #[error("{location} holds no private key")]
    NoKey {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A private key cannot be parsed.
    #[error("{location} holds a private key that cannot be parsed")]
    BadKey {
        /// Where it is.
        location: CertificateLocation,
    },
    /// The private key is encrypted and no passphrase is set.
    #[error("the private key in {location} is encrypted, and no passphrase is set")]
    PassphraseMissing {
        /// Where it is.
        location: CertificateLocation,
    },
    /// The passphrase does not open the private key.
    #[error("the passphrase does not open the private key in {location}")]
    PassphraseWrong {
        /// Where it is.
        location: CertificateLocation,
    },
    /// The private key is encrypted with a cipher that this OpenSSL does not have, so the passphrase could not be checked.
    #[error("the private key in {location} is encrypted with a cipher that this OpenSSL does not support")]
    UnsupportedCipher {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A PFX file cannot be read with any passphrase.
    #[error("the PFX file {location} is damaged, or has content that OpenSSL cannot read")]
    BadPfx {
        /// Where it is.
        location: CertificateLocation,
    },
    /// A passphrase file is not text.
    #[error("{location} is neither UTF-8 nor UTF-16 text")]
    NotText {
        /// Where it is.
        location: CertificateLocation,
    },
    /// The key is not RSA.
    #[error("the key in {location} is {kind}, not RSA")]
    NotRsa {
        /// Where it is.
        location: CertificateLocation,
        /// Type of the key, such as `EC`.
        kind: &'static str,
    },
    /// The key is too short.
    #[error("the key in {location} has {bits} bits; at least 2048 are required")]
    Weak {
        /// Where it is.
        location: CertificateLocation,
        /// Length of the key.
        bits: u32,
    },
    /// No certificate belongs to the private key.
    #[error("{}", mismatch(certificate, key))]
    KeyMismatch {
        /// Where the certificate is.
        certificate: CertificateLocation,
        /// Where the key is.
        key: CertificateLocation,
    },
    /// The certificate is not valid yet.
    #[error("certificate {location} is not valid before {}", not_before.format("%Y-%m-%d %H:%M UTC"))]
    NotYetValid {
        /// Where it is.
        location: CertificateLocation,
        /// Start of its validity.
        not_before: DateTime<Utc>,
    },
    /// The certificate has expired.
    #[error("certificate {location} expired {} ({})", days_ago(*days), not_after.format("%Y-%m-%d"))]
    Expired {
        /// Where it is.
        location: CertificateLocation,
        /// End of its validity.
        not_after: DateTime<Utc>,
        /// Whole days since `not_after`.
        days: i64,
    },
    /// The configured thumbprint is invalid.
    #[error("client.cert_thumbprint is not a thumbprint: {:?}", quotable(configured))]
    ThumbprintFormat {
        /// The configured value.
        configured: String,
    },
    /// The configured thumbprint belongs to another certificate.
    #[error("client.cert_thumbprint is {configured}, but certificate {location} has {actual}")]
    ThumbprintMismatch {
        /// Where it is.
        location: CertificateLocation,
        /// The configured value.
        configured: String,
        /// The certificate's thumbprint.
        actual: String,
    },
    /// Any of these for a certificate in a vault, where other hints apply.
    #[error(transparent)]
    InVault(Box<CertificateError>),
    /// Azure did not return the certificate, or did not sign.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// OpenSSL could not sign, or a vault signed with another key.
    #[error("the private key of {location} did not sign")]
    Signing {
        /// Where it is.
        location: CertificateLocation,
    },
}

impl CertificateError {
    /// This error for a certificate in a vault.
    pub(super) fn into_vault_error(self) -> Self {
        match self {
            already @ (Self::Azure(_) | Self::InVault(_)) => already,
            other => Self::InVault(Box::new(other)),
        }
    }

    fn hint_in_vault(&self) -> Cow<'static, str> {
        let hint = match self {
            Self::NoKey { .. } => {
                "its policy does not allow the export of the key: use source = \"key_vault_sign\", or make a version with an \
                 exportable key"
            }
            Self::Expired { .. } => {
                "let the vault issue a new version of the certificate, and upload that under Certificates & secrets of the app \
                 registration"
            }
            Self::NotRsa { .. } | Self::Weak { .. } => {
                "Entra ID needs an RSA key of 2048 bits or more: change the certificate's policy in the vault, and issue a new \
                 version"
            }
            Self::Signing { .. } => {
                "the vault signed with another key than the certificate's: check which server answers at vault_url, and whether \
                 the key was replaced without its certificate"
            }
            Self::NotPem { .. } | Self::NoCertificate { .. } | Self::BadCertificate { .. } | Self::BadKey { .. } => {
                "check the certificate in the vault: it must be PFX or PEM, with its own key"
            }
            other => return other.hint(),
        };
        Cow::Borrowed(hint)
    }

    /// The reason as a stable code. Does not say where the certificate is.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Unreadable { .. } | Self::NotAFile { .. } | Self::TooLarge { .. } => "unreadable",
            Self::PassphraseMissing { .. } | Self::PassphraseWrong { .. } | Self::NotText { .. } => "passphrase",
            Self::UnsupportedCipher { .. } | Self::LegacyPfx { .. } => "cipher_unsupported",
            Self::NoKey { .. } => "no_key",
            Self::NotRsa { .. } | Self::Weak { .. } => "weak_key",
            Self::KeyMismatch { .. } => "key_mismatch",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::ThumbprintFormat { .. } | Self::ThumbprintMismatch { .. } => "thumbprint",
            Self::InVault(error) => error.reason(),
            Self::Azure(_) => "azure",
            Self::Signing { .. } => "does_not_sign",
            _ => "malformed",
        }
    }
    /// What the operator can do.
    pub fn hint(&self) -> Cow<'static, str> {
        let hint = match self {
            Self::NotConfigured => {
                "set client.cert_path (CLIENT_CERT_PATH) to a PEM or PFX file with key and certificate; blogctl cert new makes one"
            }
            Self::Unreadable { .. } => "check that the file exists and that the user blogctl runs as may read it",
            Self::NotAFile { .. } => "set it to a file; folders, pipes and devices are not read",
            Self::NotPem { .. } | Self::TooLarge { .. } => {
                "use a PEM file (with lines such as -----BEGIN CERTIFICATE-----) or a PFX file (.pfx, .p12)"
            }
            Self::BadBase64 { .. } => "set it to the output of base64 -w0 FILE, or to the text of a PEM file",
            Self::BadPfx { .. } => "check it with: openssl pkcs12 -in FILE -noout, and export it again",
            Self::NotText { .. } => "save it as UTF-8, with the passphrase alone in one line",
            Self::UnsupportedCipher { location: file } => {
                return format!(
                    "convert it on a machine that has the cipher: openssl pkcs8 -provider legacy -provider default -in {file} \
                     -topk8 -v2 aes-256-cbc -out {file}.new"
                )
                .into();
            }
            Self::LegacyPfx { location: file } => {
                return format!("convert it with: openssl pkcs12 -legacy -in {file} -out {file}.pem -nodes").into();
            }
            Self::NoCertificate { .. } | Self::BadCertificate { .. } => {
                "the file needs a block that starts with -----BEGIN CERTIFICATE-----"
            }
            Self::NoKey { .. } => {
                "put the key into the same file, or name the file that has it (PKCS#8 or PKCS#1): client.key_path, or --key of \
                 blogctl cert check"
            }
            Self::BadKey { .. } => "check it with: openssl pkey -in FILE -noout",
            Self::PassphraseMissing { .. } => {
                "set client.key_passphrase (BLOG_CLIENT__KEY_PASSPHRASE) or client.key_passphrase_file"
            }
            Self::PassphraseWrong { .. } => "check client.key_passphrase with: openssl pkey -in FILE -noout",
            Self::NotRsa { kind, .. } if kind.starts_with("RSA-PSS") => {
                "Entra ID accepts only certificates of plain RSA keys (rsaEncryption), which also sign with PS256: make a new one with \
                 blogctl cert new, and upload its certificate"
            }
            Self::NotRsa { .. } | Self::Weak { .. } => {
                "Entra ID needs an RSA key of 2048 bits or more: make a new one with blogctl cert new, and upload its certificate"
            }
            Self::KeyMismatch { .. } => {
                "compare: openssl x509 -in CERT -noout -pubkey and openssl pkey -in KEY -pubout must print the same"
            }
            Self::NotYetValid { .. } => "check this machine's clock, or use the certificate that is valid now",
            Self::Expired { .. } => {
                "make the next one with blogctl cert renew, or follow docs/rotate-a-certificate.md, and upload it under \
                 Certificates & secrets of the app registration"
            }
            Self::ThumbprintFormat { .. } => {
                "set it to 40 (SHA-1) or 64 (SHA-256) hex digits, as blogctl cert thumbprint prints them, or leave it unset"
            }
            Self::ThumbprintMismatch { .. } => {
                "one of the two settings names the wrong certificate; client.cert_thumbprint may also be left unset"
            }
            Self::InVault(error) => return error.hint_in_vault(),
            Self::Azure(error) => return error.hint().into(),
            Self::Signing { .. } => "check the key with: openssl pkey -in FILE -check -noout",
        };
        Cow::Borrowed(hint)
    }
}

impl Hint for CertificateError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self))
    }
}

fn mismatch(certificate: &CertificateLocation, key: &CertificateLocation) -> String {
    if certificate == key {
        format!("{key}: no certificate in it belongs to its private key")
    } else {
        format!("certificate {certificate} does not belong to the private key in {key}")
    }
}
