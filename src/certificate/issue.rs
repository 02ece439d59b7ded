//! Makes a key with a self-signed certificate, or with a request for somebody else to sign. Entra trusts a certificate
//! because it was uploaded, not because somebody signed it: self-signed is no weaker here.

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

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file is there already, and `overwrite` was not asked for.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Something that is not a file is where one shall be written.
    #[error("{} is there already, and is not a file", .0.display())]
    NotAFile(PathBuf),
    /// A PFX file that would not be replaced, and then holds the key of before.
    #[error("{} is there already, and would keep the old key", .0.display())]
    OldPfx(PathBuf),
    /// The common name is empty or too long, or would not be seen as it is.
    #[error("a common name has 1 to 64 characters, and no control characters")]
    CommonName,
    /// An alternative name is of no known kind.
    #[error("{:?} is not a name like blog.example.com, an IP address, a URI or an e-mail address", quotable(.0))]
    AlternativeName(String),
    /// The time of validity is out of range.
    #[error("a certificate is made for 1 to 3650 days, not {0}")]
    Days(u32),
    /// The size of the key is not on offer.
    #[error("a key has 2048, 3072 or 4096 bits, not {0}")]
    Bits(u32),
    /// The name would lead out of the folder.
    #[error("{:?} is not a plain file name", quotable(.0))]
    Name(String),
    /// A PFX file without a passphrase would be a private key that only looks protected.
    #[error("a PFX file needs a passphrase")]
    PfxWithoutPassphrase,
    /// A file cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// OpenSSL made no key or certificate.
    #[error("OpenSSL did not make the certificate: {0}")]
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

/// A new RSA key of 2048, 3072 or 4096 bits: the sizes that Entra takes.
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

/// PKCS#8 PEM; encrypted with AES-256 when there is a passphrase.
fn key_to_pem(key: &PKey<Private>, passphrase: Option<&SecretString>) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let pem = match passphrase {
        Some(passphrase) => {
            key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase.expose_secret().as_bytes())
        }
        None => key.private_key_to_pem_pkcs8(),
    };
    pem.map(Zeroizing::new)
}
