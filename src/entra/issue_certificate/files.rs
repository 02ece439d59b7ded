//! Writes key and certificate files: a private key is never readable by others, not even for a moment, and an old file
//! is there until the new one is complete.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::IssueError;

/// Who may read a file.
#[derive(Clone, Copy)]
pub(super) enum Access {
    OwnerOnly,
    Everyone,
}

/// Makes the folder and those above it, for the owner alone, where they are missing.
pub(super) fn make_private_folder(folder: &Path) -> Result<(), IssueError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|reason| IssueError::Write { path: folder.to_owned(), reason })
}

/// Writes a file that must not exist yet.
pub(super) fn create(path: &Path, content: &[u8], access: Access) -> Result<(), IssueError> {
    let mut file = create_new(path, access).map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => IssueError::Exists(path.to_owned()),
        _ => IssueError::Write { path: path.to_owned(), reason },
    })?;
    fill(&mut file, content).map_err(|reason| {
        // Half a key is of no use to anybody; that it could not be written is what must be told.
        let _ = fs::remove_file(path);
        IssueError::Write { path: path.to_owned(), reason }
    })
}

/// Writes a file beside the one that may exist, and puts it in its place.
pub(super) fn replace(path: &Path, content: &[u8], access: Access) -> Result<(), IssueError> {
    let new = beside(path);
    create(&new, content, access)?;
    fs::rename(&new, path).map_err(|reason| {
        let _ = fs::remove_file(&new);
        IssueError::Write { path: path.to_owned(), reason }
    })
}

fn create_new(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(match access {
            Access::OwnerOnly => 0o600,
            Access::Everyone => 0o644,
        });
    }
    options.open(path)
}

fn fill(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", uuid::Uuid::new_v4()));
    path.with_file_name(name)
}
