//! `--tls`: HTTPS for localhost, with a certificate from the emulator's own certificate authority (CA).
//!
//! Real clients insist on HTTPS. The CA is created once and stored, so that clients need to trust it only once. Its
//! private key never leaves the folder.

mod files;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

pub use self::files::prepare;

/// Why HTTPS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
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
    /// rustls rejects the certificate or the key.
    #[error("cannot serve HTTPS: {0}")]
    Rustls(#[from] rustls::Error),
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
}

/// TLS 1.2 and 1.3 for HTTP/1.1. The crypto provider is explicit: the default is process-wide, and any library may set it.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let damaged = |path: &Path, reason: &dyn std::fmt::Display| TlsError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let chain = CertificateDer::from_pem_slice(&read(&files.certificate)?)
        .map_err(|error| damaged(&files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| damaged(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}
