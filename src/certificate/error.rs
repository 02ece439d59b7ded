//! Why a certificate cannot be used. Each message names the file, each hint the remedy; neither holds key material.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::details::days_ago;
use crate::{
    azure::AzureError,
    config::{quotable, quotable_path},
    hint::Hint,
};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No path is set.
    #[error("client.cert_path is not set")]
    NotConfigured,
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: Arc<io::Error>,
    },
    /// A folder, a pipe or a device.
    #[error("{} is not a file", shown(path))]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// No certificate is so large.
    #[error("{} is larger than 1 MiB", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The setting that stands for a file holds something else.
    #[error("{setting} is not base64")]
    BadBase64 {
        /// Which one.
        setting: &'static str,
    },
    /// A PFX file is encrypted by algorithms that this OpenSSL does not have.
    #[error("{} is a PFX file of an old kind, which this OpenSSL cannot decrypt", shown(path))]
    LegacyPfx {
        /// The file.
        path: PathBuf,
    },
    /// A file is neither PEM nor PFX.
    #[error("{} is neither a PEM nor a PFX file", shown(path))]
    NotPem {
        /// The file.
        path: PathBuf,
    },
    /// A PEM file holds no certificate.
    #[error("{} holds no certificate", shown(path))]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be parsed.
    #[error("{} holds a certificate that cannot be parsed", shown(path))]
    BadCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A PEM file holds no private key.
    #[error("{} holds no private key", shown(path))]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key cannot be parsed.
    #[error("{} holds a private key that cannot be parsed", shown(path))]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is encrypted and no passphrase is set.
    #[error("the private key in {} is encrypted, and no passphrase is set", shown(path))]
    PassphraseMissing {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open the private key.
    #[error("the passphrase does not open the private key in {}", shown(path))]
    PassphraseWrong {
        /// The file.
        path: PathBuf,
    },
    /// The private key is encrypted by a cipher that this OpenSSL does not have. Whether the passphrase is right is not known.
    #[error(
        "the private key in {} is encrypted with a cipher that this OpenSSL does not support",
        shown(path)
    )]
    UnsupportedCipher {
        /// The file.
        path: PathBuf,
    },
    /// A PFX file cannot be read, whatever the passphrase.
    #[error("the PFX file {} is damaged, or holds what OpenSSL cannot read", shown(path))]
    BadPfx {
        /// The file.
        path: PathBuf,
    },
    /// A passphrase file holds something else than text.
    #[error("{} is neither UTF-8 nor UTF-16 text", shown(path))]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The key is of another kind.
    #[error("the key in {} is {kind}, not RSA", shown(path))]
    NotRsa {
        /// The file.
        path: PathBuf,
        /// What it is, such as `EC`.
        kind: &'static str,
    },
    /// The key is too short.
    #[error("the key in {} has {bits} bits, and 2048 are the least", shown(path))]
    Weak {
        /// The file.
        path: PathBuf,
        /// Its length.
        bits: u32,
    },
    /// No certificate is of the private key.
    #[error("{}", mismatch(certificate, key))]
    KeyMismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// Too early.
    #[error("certificate {} is not valid before {}", shown(path), not_before.format("%Y-%m-%d %H:%M UTC"))]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Start of its validity.
        not_before: DateTime<Utc>,
    },
    /// Too late.
    #[error("certificate {} expired {} ({})", shown(path), days_ago(*days), not_after.format("%Y-%m-%d"))]
    Expired {
        /// The file.
        path: PathBuf,
        /// End of its validity.
        not_after: DateTime<Utc>,
        /// Whole days since then.
        days: i64,
    },
    /// The configured thumbprint is not one.
    #[error("client.cert_thumbprint is not a thumbprint: {:?}", quotable(configured))]
    ThumbprintFormat {
        /// What is set.
        configured: String,
    },
    /// The configured thumbprint is of another certificate.
    #[error(
        "client.cert_thumbprint is {configured}, but certificate {} has {actual}",
        shown(path)
    )]
    ThumbprintMismatch {
        /// The file.
        path: PathBuf,
        /// What is set.
        configured: String,
        /// What the certificate has.
        actual: String,
    },
    /// Any of these, of a certificate in a vault: there it is to be mended.
    #[error(transparent)]
    InVault(Box<CertificateError>),
    /// Azure did not give it, or did not sign.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// OpenSSL did not sign, or a vault signed with another key.
    #[error("the private key of {} did not sign", shown(path))]
    Signing {
        /// The file.
        path: PathBuf,
    },
}

impl CertificateError {
    /// The same of a certificate that is in a vault.
    pub(super) fn of_vault(self) -> Self {
        match self {
            already @ (Self::Azure(_) | Self::InVault(_)) => already,
            other => Self::InVault(Box::new(other)),
        }
    }

    fn hint_in_vault(&self) -> Cow<'static, str> {
        let hint = match self {
            Self::NoKey { .. } => {
                "its policy does not let the key be taken out (exportable): use source = \"key_vault_sign\", or make a version \
                 whose key may be"
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
                "the vault signed with another key than the certificate's: see what answers at vault_url, and whether the key \
                 was replaced without its certificate"
            }
            Self::NotPem { .. } | Self::NoCertificate { .. } | Self::BadCertificate { .. } | Self::BadKey { .. } => {
                "look at the certificate in the vault: only one with its own key, as PFX or PEM, can be used"
            }
            other => return other.hint(),
        };
        Cow::Borrowed(hint)
    }

    /// Why, in one word that machines compare; tells nothing of where it is.
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
    /// What to do about it.
    pub fn hint(&self) -> Cow<'static, str> {
        let hint = match self {
            Self::NotConfigured => {
                "set client.cert_path (CLIENT_CERT_PATH) to a PEM or PFX file with key and certificate; blogctl cert new makes one"
            }
            Self::Unreadable { .. } => "check that the file exists and that the user blogctl runs as may read it",
            Self::NotAFile { .. } => "give a file; folders, pipes and devices are not read",
            Self::NotPem { .. } | Self::TooLarge { .. } => {
                "give a PEM file (it has lines such as -----BEGIN CERTIFICATE-----) or a PFX file (.pfx, .p12)"
            }
            Self::BadBase64 { .. } => "put what base64 -w0 FILE prints into it, or the text of a PEM file",
            Self::BadPfx { .. } => "check it with: openssl pkcs12 -in FILE -noout, and export it anew",
            Self::NotText { .. } => "save it as UTF-8, the passphrase alone in one line",
            Self::UnsupportedCipher { path } => {
                let file = shown(path);
                return format!(
                    "convert it on a machine that has the cipher: openssl pkcs8 -provider legacy -provider default -in {file} \
                     -topk8 -v2 aes-256-cbc -out {file}.new"
                )
                .into();
            }
            Self::LegacyPfx { path } => {
                let file = shown(path);
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
                "Entra ID takes certificates of plain RSA keys (rsaEncryption), which also make PS256 signatures: make a new one with \
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
                "make the next one with blogctl cert renew, or as docs/rotate-a-certificate.md has it, and upload it under \
                 Certificates & secrets of the app registration"
            }
            Self::ThumbprintFormat { .. } => {
                "give 40 (SHA-1) or 64 (SHA-256) hex digits, as blogctl cert thumbprint prints them, or leave it unset"
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

/// A file's path, unless it could be a secret; a setting's name and a vault's address as they are.
fn shown(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    if text.starts_with("client.") || text.starts_with("https://") {
        text
    } else {
        quotable_path(path)
    }
}

fn mismatch(certificate: &PathBuf, key: &PathBuf) -> String {
    if certificate == key {
        format!("{}: no certificate in it belongs to its private key", shown(key))
    } else {
        format!(
            "certificate {} does not belong to the private key in {}",
            shown(certificate),
            shown(key)
        )
    }
}
