//! Where the files go, and how their private key is protected.

use std::{
    fs::DirBuilder,
    io,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::IssueError;
use crate::atomic_file::{self, Access};

/// A folder and the names of the files in it.
#[derive(Debug, Clone, Default)]
pub struct Destination {
    /// Made when it is missing, for the owner alone.
    pub folder: PathBuf,
    /// Name of the files, without extension.
    pub name: String,
    /// Whether files that exist are replaced.
    pub overwrite: bool,
    /// Encrypts every private key that is written.
    pub passphrase: Option<SecretString>,
}

impl Destination {
    /// `{name}{ending}` in the folder.
    pub(super) fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.name))
    }

    /// Before the key is made, which takes a while, and before the first of the files is replaced. A file that somebody makes
    /// meanwhile is kept too: see [`Self::write`].
    pub(super) fn check(&self, paths: &[&Path]) -> Result<(), IssueError> {
        check_file_name(&self.name)?;
        for path in paths {
            match path.symlink_metadata() {
                Ok(_) if !self.overwrite => return Err(IssueError::Exists(path.to_path_buf())),
                Ok(metadata) if !metadata.is_file() => return Err(IssueError::NotAFile(path.to_path_buf())),
                _ => {}
            }
        }
        Ok(())
    }

    /// What holds a private key: mode 0600.
    pub(super) fn write_secret(&self, path: &Path, content: &[u8]) -> Result<(), IssueError> {
        self.write(path, content, Access::OwnerOnly)
    }

    /// What is given away anyway.
    pub(super) fn write_public(&self, path: &Path, content: &[u8]) -> Result<(), IssueError> {
        self.write(path, content, Access::Everyone)
    }

    fn write(&self, path: &Path, content: &[u8], access: Access) -> Result<(), IssueError> {
        make_private_folder(&self.folder).map_err(|reason| IssueError::Write {
            path: self.folder.clone(),
            reason,
        })?;
        let write = if self.overwrite {
            atomic_file::replace
        } else {
            atomic_file::create
        };
        write(path, content, access).map_err(|reason| match reason.kind() {
            io::ErrorKind::AlreadyExists => IssueError::Exists(path.to_owned()),
            _ => IssueError::Write {
                path: path.to_owned(),
                reason,
            },
        })
    }
}

/// Whether files can be called so without leading out of their folder.
///
/// # Errors
/// [`IssueError::Name`] when they cannot.
pub fn check_file_name(name: &str) -> Result<(), IssueError> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if is_plain {
        Ok(())
    } else {
        Err(IssueError::Name(name.to_owned()))
    }
}

/// Makes the folder and those above it, for the owner alone, where they are missing.
fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}
