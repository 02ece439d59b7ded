//! Writes files whole or not at all. A private file is never readable by other users, not even for a moment, and an old file stays
//! until the new one is complete. `docs/decisions/0081-atomic-files.md` says why `tempfile` does most of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use tempfile::{Builder, NamedTempFile};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    OwnerOnly,
    Everyone,
}

/// Writes a file that must not exist yet.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when it does; otherwise those of the file system. There is no file then.
pub(crate) fn create(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    write_temp(path, content, access)?
        .persist_noclobber(path)
        .map_err(|error| error.error)?;
    sync_folder(path);
    Ok(())
}

/// Writes a file, and replaces an existing one: a reader sees the old content or the new one.
///
/// # Errors
/// Those of the file system; the old file stays.
pub(crate) fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    write_temp(path, content, access)?
        .persist(path)
        .map_err(|error| error.error)?;
    sync_folder(path);
    Ok(())
}

/// As [`replace`], and keeps mode and owner of the existing file, so that the same users can read the new one.
///
/// # Errors
/// Those of the file system, also when there is no such file; [`io::ErrorKind::PermissionDenied`] when the file has another owner
/// and this process is not root.
pub(crate) fn replace_keeping_metadata(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = write_temp(path, content, Access::OwnerOnly)?;
    copy_metadata(path, new.path())?;
    new.persist(path).map_err(|error| error.error)?;
    sync_folder(path);
    Ok(())
}

/// What to do about a file that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Keep it, and fail.
    Keep,
    /// Replace it with the complete new file.
    Replace,
}

/// An empty file with a temporary name in the folder of `path`, for content that another writer fills in. Only the owner
/// can read it. It is removed if it is dropped before [`publish`].
///
/// # Errors
/// Those of the file system.
pub(crate) fn begin(path: &Path) -> io::Result<NamedTempFile> {
    temp(path, Access::OwnerOnly)
}

/// Syncs a complete file of [`begin`], and gives it its name.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when a file of that name is to be kept; otherwise those of the file system. There is
/// no new file then.
pub(crate) fn publish(file: NamedTempFile, path: &Path, existing: Existing) -> io::Result<()> {
    file.as_file().sync_all()?;
    match existing {
        Existing::Keep => file.persist_noclobber(path).map(drop),
        Existing::Replace => file.persist(path).map(drop),
    }
    .map_err(|error| error.error)?;
    sync_folder(path);
    Ok(())
}

/// A complete file in the same folder. It is removed if it is dropped before it gets its name.
fn write_temp(path: &Path, content: &[u8], access: Access) -> io::Result<NamedTempFile> {
    let mut file = temp(path, access)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn temp(path: &Path, access: Access) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // `make_in` returns the errors of the system as they are; `tempfile_in` would add the temporary path to their text.
    Builder::new()
        .prefix(&format!(".{name}."))
        .make_in(folder_of(path), |temp_path| create_new(temp_path, access))
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

#[cfg(unix)]
fn copy_metadata(old: &Path, new: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let (wanted, made) = (fs::metadata(old)?, fs::metadata(new)?);
    let differing = |wanted: u32, made: u32| (wanted != made).then_some(wanted);
    let (user, group) = (differing(wanted.uid(), made.uid()), differing(wanted.gid(), made.gid()));
    if user.is_some() || group.is_some() {
        chown(new, user, group)?;
    }
    // Last: until then, the new group must not get the permissions of the old file's group.
    fs::set_permissions(new, wanted.permissions())
}

/// A new file inherits the permissions of its folder.
#[cfg(not(unix))]
fn copy_metadata(old: &Path, _: &Path) -> io::Result<()> {
    fs::metadata(old).map(|_| ())
}

/// Without it, a power failure may undo the rename. A failure is ignored: the file has its name already, and not every file system
/// can sync a folder.
fn sync_folder(path: &Path) {
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.pem");
        create(&path, b"one", Access::OwnerOnly).unwrap();
        let error = create(&path, b"two", Access::OwnerOnly).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", Access::Everyone).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_is_that_of_the_access_or_of_the_replaced_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.pem");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        create(&path, b"one", Access::OwnerOnly).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace_keeping_metadata(&path, b"two").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
        let missing = replace_keeping_metadata(&folder.path().join("missing.pem"), b"x").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }
}
