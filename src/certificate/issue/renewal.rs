//! Renewal of a certificate: makes the next one with the same properties, and later replaces the current one with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use openssl::x509::X509;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Destination, IssueError, IssuedFiles, NewCertificate};
use crate::atomic_file::{self, Access};

/// A PEM file with key and certificate, and the files of the next certificate in the same folder. `client.next.pem` is removed
/// last: after an interrupted run, its presence shows what is left to do.
#[derive(Debug, Clone)]
pub struct Renewal {
    current: PathBuf,
    next: Destination,
}

impl Renewal {
    /// Renews `current`, such as `client.pem`; the next one is `client.next.pem`. If `current` is a symbolic link, its target is
    /// renewed. `passphrase` encrypts the next key.
    ///
    /// # Errors
    /// When it is a dangling link.
    pub fn new(current: &Path, passphrase: Option<SecretString>) -> Result<Self, IssueError> {
        let current = resolve_links(current)?;
        let folder = current
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // The caller checks `has_next` first. Other files that an interrupted run has left may be replaced.
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

    /// The file that is renewed.
    pub fn current(&self) -> &Path {
        &self.current
    }

    /// The files of the next certificate, which may not exist.
    pub fn next(&self) -> IssuedFiles {
        IssuedFiles {
            certificate: self.next.path("-cert.pem"),
            combined: self.next.path(".pem"),
            pfx: None,
        }
    }

    /// Whether the next certificate has been made.
    pub fn has_next(&self) -> bool {
        self.next().combined.symlink_metadata().is_ok()
    }

    /// Makes the next certificate.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create_next(&self, new: &NewCertificate) -> Result<IssuedFiles, IssueError> {
        new.write(&self.next)
    }

    /// Writes the certificate file for the upload again, if it is missing or belongs to another key.
    ///
    /// # Errors
    /// When the next certificate cannot be read, or the file cannot be written.
    pub fn restore_upload_file(&self) -> Result<(), IssueError> {
        let IssuedFiles {
            certificate, combined, ..
        } = self.next();
        let own = certificates_only(&read(&combined)?);
        // An invalid file is reported when it is used.
        if own.is_empty() || fs::read(&certificate).is_ok_and(|existing| existing == own) {
            return Ok(());
        }
        write(&certificate, &own, Access::Everyone)
    }

    /// Replaces the current certificate with the next one; keeps the current one as `client.previous.pem`, and returns that path. A
    /// reader sees one of the two, whole, with the previous mode and owner.
    ///
    /// # Errors
    /// When a file cannot be read or written; the current certificate stays in use.
    pub fn activate_next(&self) -> Result<PathBuf, IssueError> {
        let IssuedFiles {
            certificate, combined, ..
        } = self.next();
        let sibling = |ending: &str| self.current.with_file_name(format!("{}{ending}", stem(&self.current)));
        let previous = sibling(".previous.pem");
        let (old, new) = (read(&self.current)?, read(&combined)?);
        // An interrupted run may have replaced the file already.
        if *old != *new {
            write(&previous, &old, Access::OwnerOnly)?;
            atomic_file::replace_keeping_metadata(&self.current, &new)
                .map_err(|reason| unwritable(&self.current, reason))?;
        }
        write(&sibling("-cert.pem"), &certificates_only(&new), Access::Everyone)?;
        match fs::remove_file(&certificate) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => return Err(unwritable(&certificate, reason)),
            _ => {}
        }
        fs::remove_file(&combined).map_err(|reason| unwritable(&combined, reason))?;
        Ok(previous)
    }
}

fn resolve_links(path: &Path) -> Result<PathBuf, IssueError> {
    if path.is_symlink() {
        path.canonicalize().map_err(|reason| IssueError::Read {
            path: path.to_owned(),
            reason,
        })
    } else {
        Ok(path.to_owned())
    }
}

/// The certificates without the key, in PEM; empty if there are none.
fn certificates_only(combined: &[u8]) -> Vec<u8> {
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
