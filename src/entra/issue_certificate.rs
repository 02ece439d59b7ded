//! Makes a key and a self-signed certificate for an app registration.

use std::path::{Path, PathBuf};

/// What to make.
#[derive(Debug, Clone)]
pub struct NewCertificate {
    /// Subject common name.
    pub common_name: String,
    /// Valid from now for so many days, 1–3650.
    pub days: u32,
    /// RSA modulus size: 2048, 3072 or 4096.
    pub bits: u32,
}

/// Where it was put.
#[derive(Debug, Clone)]
pub struct IssuedFiles {
    /// The certificate alone: what is uploaded.
    pub certificate: PathBuf,
    /// Key and certificate in one PEM, mode 0600: what `client.cert_path` names.
    pub combined: PathBuf,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file is there already, and `overwrite` was not asked for.
    #[error("{0} exists already")]
    Exists(PathBuf),
}

impl NewCertificate {
    /// Makes the key and the certificate, and writes `{name}-cert.pem` and `{name}.pem` into `folder` (made when
    /// missing).
    ///
    /// # Errors
    /// When a file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, folder: &Path, name: &str, overwrite: bool) -> Result<IssuedFiles, IssueError> {
        let _ = (folder, name, overwrite);
        unimplemented!()
    }
}
