//! Where a certificate or its key is, for messages and for the checks of files.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::config::{CertificateSettings, quotable_path};

/// Where a certificate or its key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateLocation {
    /// The path of a file.
    File(PathBuf),
    /// The name of a setting that holds the content, such as `client.cert_base64`.
    Setting(&'static str),
    /// The URL of a certificate or key in a vault.
    Vault(String),
}

impl CertificateLocation {
    /// The location of the certificate that the settings name.
    pub fn from_settings(settings: &CertificateSettings) -> Self {
        match &settings.path {
            Some(path) => Self::File(path.clone()),
            None => Self::Setting("client.cert_base64"),
        }
    }

    /// The path, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Setting(_) | Self::Vault(_) => None,
        }
    }
}

impl From<&Path> for CertificateLocation {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

/// A path is hidden if it may be a secret that was put into the wrong setting.
impl fmt::Display for CertificateLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&quotable_path(path)),
            Self::Setting(name) => f.write_str(name),
            Self::Vault(url) => f.write_str(url),
        }
    }
}
