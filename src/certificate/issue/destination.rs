//! The folder and names of the new files, and the protection of their private key.

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
    /// Created with mode 0700 if it is missing.
    pub folder: PathBuf,
    /// File name without extension.
    pub name: String,
    /// Whether existing files are replaced.
    pub overwrite: bool,
    /// Encrypts the written private keys.
    pub passphrase: Option<SecretString>,
}

impl Destination {
    /// `{name}{ending}` in the folder.
    pub(super) fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}{ending}", self.name))
    }

    /// Checks the paths before the key is made, which takes a while, and before the first file is replaced. A file that another
    /// process creates meanwhile is not overwritten either: see [`Self::write`].
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

    /// Writes a file with a private key: mode 0600.
    pub(super) fn write_secret(&self, path: &Path, content: &[u8]) -> Result<(), IssueError> {
        self.write(path, content, Access::OwnerOnly)
    }

    /// Writes a file without secrets: mode 0644.
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

/// Checks that `name` is a plain file name, which cannot lead to another folder.
///
/// # Errors
/// [`IssueError::Name`].
pub fn check_file_name(name: &str) -> Result<(), IssueError> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if is_plain {
        Ok(())
    } else {
        Err(IssueError::Name(name.to_owned()))
    }
}

/// Creates the folder and its missing parents with mode 0700.
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
