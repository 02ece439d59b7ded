//! The next certificate beside the one in use: made like it, and put in its place when its time has come.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::{Destination, IssueError, IssuedFiles, NewCertificate};
use crate::entra::whole_file::{self, Access};

/// A PEM file with key and certificate, and the files of the next one in the same folder.
#[derive(Debug, Clone)]
pub struct Renewal {
    current: PathBuf,
    next: Destination,
}

impl Renewal {
    /// Of `current`, such as `client.pem`: the next one is `client.next.pem`. `passphrase` encrypts its key.
    pub fn of(current: &Path, passphrase: Option<SecretString>) -> Self {
        let folder = current.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = format!("{}.next", stem(current));
        let next = Destination { folder: folder.to_owned(), name, overwrite: false, passphrase };
        Self { current: current.to_owned(), next }
    }

    /// The files of the next one, whether or not they are there.
    pub fn next(&self) -> IssuedFiles {
        IssuedFiles { certificate: self.next.path("-cert.pem"), combined: self.next.path(".pem"), pfx: None }
    }

    /// Whether the next one has been made.
    pub fn is_begun(&self) -> bool {
        self.next().combined.symlink_metadata().is_ok()
    }

    /// Makes the next one.
    ///
    /// # Errors
    /// When it is there already, or cannot be written.
    pub fn begin(&self, new: &NewCertificate) -> Result<IssuedFiles, IssueError> {
        new.write(&self.next)
    }

    /// Puts the next one into the place of the current one, which is kept as `client.previous.pem`; gives that path. Whoever
    /// reads sees one of the two, whole.
    ///
    /// # Errors
    /// When a file cannot be read or written; what was in use is in use still.
    pub fn put_in_place(&self) -> Result<PathBuf, IssueError> {
        let IssuedFiles { certificate, combined, .. } = self.next();
        let beside = |ending: &str| self.current.with_file_name(format!("{}{ending}", stem(&self.current)));
        let previous = beside(".previous.pem");
        let (old, new) = (read(&self.current)?, read(&combined)?);
        // After a run that was interrupted the new one may be in place already.
        if *old != *new {
            write(&previous, &old, Access::OwnerOnly)?;
            write(&self.current, &new, Access::OwnerOnly)?;
        }
        write(&beside("-cert.pem"), &read(&certificate)?, Access::Everyone)?;
        for path in [combined, certificate] {
            fs::remove_file(&path).map_err(|reason| IssueError::Write { path, reason })?;
        }
        Ok(previous)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, IssueError> {
    let unreadable = |reason: io::Error| IssueError::Read { path: path.to_owned(), reason };
    fs::read(path).map(zeroize::Zeroizing::new).map_err(unreadable)
}

fn write(path: &Path, content: &[u8], access: Access) -> Result<(), IssueError> {
    whole_file::replace(path, content, access).map_err(|reason| IssueError::Write { path: path.to_owned(), reason })
}
