//! Makes a key with a self-signed certificate or with a certificate signing request. Entra trusts a certificate because it was
//! uploaded, not because of its signature: a self-signed one is not weaker here.

mod destination;
mod renewal;
mod self_signed;
mod signing_request;
mod subject;

use std::{borrow::Cow, io::ErrorKind, path::PathBuf};

use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    rsa::Rsa,
    symm::Cipher,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::{config::quotable, hint::Hint};

pub use destination::{Destination, check_file_name};
pub use renewal::Renewal;
pub use self_signed::{IssuedFiles, NewCertificate};
pub use signing_request::{NewSigningRequest, RequestFiles};
pub use subject::{AlternativeName, Subject};

/// Why the files were not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file exists, and `overwrite` is not set.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The path exists and is not a file.
    #[error("{} exists already, and is not a file", .0.display())]
    NotAFile(PathBuf),
    /// A PFX file exists that would not be replaced and would keep the old key.
    #[error("{} exists already, and would keep the old key", .0.display())]
    OldPfx(PathBuf),
    /// The common name is empty, too long, or has control characters.
    #[error("the common name must have 1 to 64 characters, and no control characters")]
    CommonName,
    /// An alternative name has no known form.
    #[error("{:?} is not a name like blog.example.com, an IP address, a URI or an e-mail address", quotable(.0))]
    AlternativeName(String),
    /// The validity is out of range.
    #[error("the validity must be 1 to 3650 days, not {0}")]
    Days(u32),
    /// The key size is not supported.
    #[error("the key size must be 2048, 3072 or 4096 bits, not {0}")]
    Bits(u32),
    /// The name could lead to another folder.
    #[error("{:?} is not a plain file name", quotable(.0))]
    Name(String),
    /// A PFX file without a passphrase would be a private key that only looks protected.
    #[error("a PFX file needs a passphrase")]
    PfxWithoutPassphrase,
    /// A file cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Write {
        /// Path of the file or folder.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// OpenSSL could not make the key or the certificate.
    #[error("OpenSSL could not make the certificate: {0}")]
    OpenSsl(#[from] ErrorStack),
}

impl Hint for IssueError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Exists(_) => Some("choose another --name or --out, or replace it with --force"),
            Self::NotAFile(_) => Some("choose another --name or --out"),
            Self::OldPfx(_) => Some("replace it too with --pfx, or move it away"),
            Self::Write { reason, .. } => match reason.kind() {
                ErrorKind::InvalidFilename => Some("choose a shorter --name"),
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Some("choose a folder with --out"),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    Some("choose a folder that you may write to with --out")
                }
                _ => None,
            },
            Self::PfxWithoutPassphrase => Some("give --passphrase-file FILE, or --passphrase-file - to type it"),
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// A new RSA key of 2048, 3072 or 4096 bits, the sizes that Entra accepts.
fn new_key(bits: u32) -> Result<PKey<Private>, IssueError> {
    Ok(PKey::from_rsa(Rsa::generate(bits)?)?)
}

fn check_bits(bits: u32) -> Result<(), IssueError> {
    if [2048, 3072, 4096].contains(&bits) {
        Ok(())
    } else {
        Err(IssueError::Bits(bits))
    }
}

/// PKCS#8 PEM, encrypted with AES-256 if there is a passphrase.
fn key_to_pem(key: &PKey<Private>, passphrase: Option<&SecretString>) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let pem = match passphrase {
        Some(passphrase) => {
            key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase.expose_secret().as_bytes())
        }
        None => key.private_key_to_pem_pkcs8(),
    };
    pem.map(Zeroizing::new)
}
