//! Writes files that must be whole: what is private is never readable by others, not even for a moment, and an old file is
//! there until the new one is complete.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    OwnerOnly,
    Everyone,
}

/// Writes a file that must not exist yet.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when it does; otherwise those of the file system, and then there is no file.
pub(crate) fn create(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut file = create_new(path, access)?;
    // Half a file is of no use to anybody; that it could not be written is what must be told.
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .inspect_err(|_| discard(path))
}

/// Writes a file beside the one that may exist, and puts it in its place: a reader never sees half of it.
///
/// # Errors
/// Those of the file system; what was there before is there still.
pub(crate) fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let new = beside(path);
    create(&new, content, access)?;
    fs::rename(&new, path).inspect_err(|_| discard(&new))
}

/// As [`replace`], with the mode and the owner of the file that is there: whoever could read that one can read the new one.
///
/// # Errors
/// Those of the file system, also when there is no such file; [`io::ErrorKind::PermissionDenied`] when its owner is another, whom
/// only root can make the owner of the new one.
pub(crate) fn replace_alike(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path);
    create(&new, content, Access::OwnerOnly)?;
    let put = || {
        liken(&new, path)?;
        fs::rename(&new, path)
    };
    put().inspect_err(|_| discard(&new))
}

#[cfg(unix)]
fn liken(new: &Path, old: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let (old, made) = (fs::metadata(old)?, fs::metadata(new)?);
    let differing = |old: u32, new: u32| (old != new).then_some(old);
    let (user, group) = (differing(old.uid(), made.uid()), differing(old.gid(), made.gid()));
    if user.is_some() || group.is_some() {
        chown(new, user, group)?;
    }
    // Last: a new group must not get what the one before could do.
    fs::set_permissions(new, old.permissions())
}

/// A new file has what its folder hands down.
#[cfg(not(unix))]
fn liken(_: &Path, old: &Path) -> io::Result<()> {
    fs::metadata(old).map(|_| ())
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

/// That it cannot be removed either adds nothing to what is told already.
fn discard(path: &Path) {
    let _ = fs::remove_file(path);
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", uuid::Uuid::new_v4()));
    path.with_file_name(name)
}
