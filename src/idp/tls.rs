//! `--tls`: HTTPS for localhost, with a certificate from the emulator's own certificate authority (CA).
//!
//! Real clients insist on HTTPS. The CA is created once and stored, so that clients need to trust it only once. Its
//! private key never leaves the folder.

mod files;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use self::files::prepare;
use crate::config::TlsSettings;

/// Why HTTPS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalTlsError {
    /// A file in the state folder cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in the state folder has unexpected content.
    #[error("{path} is damaged ({reason}); delete it, and the next start creates a new one")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot create a certificate for localhost: {0}")]
    Make(#[from] rcgen::Error),
}

/// The files in the state folder.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// CA certificate, for clients to trust.
    pub ca: PathBuf,
    ca_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            ca: folder.join("idp-ca.pem"),
            ca_key: folder.join("idp-ca-key.pem"),
            certificate: folder.join("idp-localhost.pem"),
            key: folder.join("idp-localhost-key.pem"),
        }
    }

    /// The settings that make the emulator serve HTTPS with these files.
    pub fn settings(&self) -> TlsSettings {
        TlsSettings {
            cert_path: Some(self.certificate.clone()),
            key_path: Some(self.key.clone()),
            ..TlsSettings::default()
        }
    }
}
