//! The next certificate beside the one in use: made like it, and put in its place when its time has come.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use openssl::x509::X509;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Destination, IssueError, IssuedFiles, NewCertificate};
use crate::atomic_file::{self, Access};

/// A PEM file with key and certificate, and the files of the next one in the same folder. `client.next.pem` is the first of
/// them to count and the last to go: at whatever point a run has ended, the next one sees by it what is left to do.
#[derive(Debug, Clone)]
pub struct Renewal {
    current: PathBuf,
    next: Destination,
}

impl Renewal {
    /// Of `current`, such as `client.pem`: the next one is `client.next.pem`. A link stays, and what it leads to is renewed.
    /// `passphrase` encrypts the next key.
    ///
    /// # Errors
    /// When it is a link that leads nowhere.
    pub fn of(current: &Path, passphrase: Option<SecretString>) -> Result<Self, IssueError> {
        let current = behind_links(current)?;
        let folder = current
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // That there is no next one has been seen; what a run that was interrupted has left beside it counts for nothing.
        let overwrite = true;
        let name = format!("{}.next", stem(&current));
        let next = Destination {
            folder: folder.to_owned(),
            name,
            overwrite,
            passphrase,
        };
        Ok(Self { current, next })
    }

    /// What is renewed.
    pub fn current(&self) -> &Path {
        &self.current
    }

    /// The files of the next one, whether or not they are there.
    pub fn next(&self) -> IssuedFiles {
        IssuedFiles {
            certificate: self.next.path("-cert.pem"),
            combined: self.next.path(".pem"),
            pfx: None,
        }
    }

    /// Whether the next one has been made.
    pub fn is_begun(&self) -> bool {
        self.next().combined.symlink_metadata().is_ok()
    }

    /// Makes the next one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, new: &NewCertificate) -> Result<IssuedFiles, IssueError> {
        new.write(&self.next)
    }

    /// Writes the certificate that is to be uploaded once more, where it is missing or of another key.
    ///
    /// # Errors
    /// When the next one cannot be read, or the certificate not be written.
    pub fn restore_certificate(&self) -> Result<(), IssueError> {
        let IssuedFiles {
            certificate, combined, ..
        } = self.next();
        let own = certificate_of(&read(&combined)?);
        // Whether the next one can be used at all is found out, and told, by who uses it.
        if own.is_empty() || fs::read(&certificate).is_ok_and(|there| there == own) {
            return Ok(());
        }
        write(&certificate, &own, Access::Everyone)
    }

    /// Puts the next one into the place of the current one, which is kept as `client.previous.pem`; gives that path. Whoever
    /// reads sees one of the two, whole, with the mode and the owner of before.
    ///
    /// # Errors
    /// When a file cannot be read or written; what was in use is in use still.
    pub fn put_in_place(&self) -> Result<PathBuf, IssueError> {
        let IssuedFiles {
            certificate, combined, ..
        } = self.next();
        let beside = |ending: &str| self.current.with_file_name(format!("{}{ending}", stem(&self.current)));
        let previous = beside(".previous.pem");
        let (old, new) = (read(&self.current)?, read(&combined)?);
        // After a run that was interrupted the new one may be in place already.
        if *old != *new {
            write(&previous, &old, Access::OwnerOnly)?;
            atomic_file::replace_alike(&self.current, &new).map_err(|reason| unwritable(&self.current, reason))?;
        }
        write(&beside("-cert.pem"), &certificate_of(&new), Access::Everyone)?;
        match fs::remove_file(&certificate) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => return Err(unwritable(&certificate, reason)),
            _ => {}
        }
        fs::remove_file(&combined).map_err(|reason| unwritable(&combined, reason))?;
        Ok(previous)
    }
}

fn behind_links(path: &Path) -> Result<PathBuf, IssueError> {
    if path.is_symlink() {
        path.canonicalize().map_err(|reason| IssueError::Read {
            path: path.to_owned(),
            reason,
        })
    } else {
        Ok(path.to_owned())
    }
}

/// What may be seen by everybody, in PEM; empty when there is no certificate.
fn certificate_of(combined: &[u8]) -> Vec<u8> {
    let certificates = X509::stack_from_pem(combined).unwrap_or_default();
    certificates
        .iter()
        .filter_map(|certificate| certificate.to_pem().ok())
        .flatten()
        .collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let unreadable = |reason: io::Error| IssueError::Read {
        path: path.to_owned(),
        reason,
    };
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}

fn write(path: &Path, content: &[u8], access: Access) -> Result<(), IssueError> {
    atomic_file::replace(path, content, access).map_err(|reason| unwritable(path, reason))
}

fn unwritable(path: &Path, reason: io::Error) -> IssueError {
    IssueError::Write {
        path: path.to_owned(),
        reason,
    }
}
