//! Files whose content the program trusts: only the account of this process, or root, may write them.
//!
//! Otherwise, an attacker with another account on this machine could put their own signing keys into a cache, or block a
//! start with a FIFO. Each check uses the opened descriptor, never the path a second time.

use std::{
    ffi::OsStr,
    fs::{DirBuilder, File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, statat, unlinkat};

/// Permission bits that let the group or others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// All permission bits of the group and of others.
const OPEN_TO_OTHERS: u32 = 0o077;

/// Who may read a trusted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// All users: the content is public.
    Anyone,
    /// Only the owner and the group: log collectors often run as another user.
    Group,
    /// Only the owner: the content is secret.
    OwnerOnly,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustedFileError {
    #[error("it does not exist")]
    NotFound,
    /// Another user could write the file, or it is not a regular file.
    #[error("{0}")]
    Untrusted(String),
    /// The operating system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the file at `path`, if it is a regular file of `max_bytes` or fewer, and only this account or root may write it and its
/// folder. Follows no symbolic link at `path` and never blocks.
///
/// # Errors
/// See [`TrustedFileError`].
pub(crate) fn read(path: &Path, readers: Readers, max_bytes: u64) -> Result<Vec<u8>, TrustedFileError> {
    let (folder, name) = trusted_folder(path)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Err(TrustedFileError::NotFound),
        Err(rustix::io::Errno::LOOP) => return Err(untrusted("it is a symbolic link")),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    check_file(&file.metadata()?, readers, max_bytes)?;
    let mut content = Vec::new();
    // The file may grow while it is read.
    file.take(max_bytes + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= max_bytes) {
        Ok(content)
    } else {
        Err(untrusted(&format!("it is larger than {max_bytes} bytes")))
    }
}

/// Replaces the file at `path` as a whole, with mode 0600. Creates the folder with mode 0700 if it is missing and its parent
/// exists. A crash leaves the old content or the new one.
///
/// # Errors
/// See [`TrustedFileError`]; the old content stays.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), TrustedFileError> {
    make_folder(path)?;
    let (folder, name) = trusted_folder(path)?;
    let mut temporary = OsStr::new(".").to_owned();
    temporary.push(name);
    temporary.push(format!(".{}", uuid::Uuid::new_v4()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)?);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| Ok(renameat(&folder, &temporary, &folder, name)?));
    if let Err(error) = moved {
        // The first error is reported.
        let _ = unlinkat(&folder, &temporary, AtFlags::empty());
        return Err(error.into());
    }
    // Without this, a power failure may undo the rename.
    Ok(folder.sync_all()?)
}

/// A folder that only this account or root may write, for files that stay open. It stays the same folder, even if its path leads
/// elsewhere later.
#[derive(Debug)]
pub(crate) struct TrustedFolder(File);

impl TrustedFolder {
    /// Opens the folder of `path`, and returns it with the file name. Creates it with mode 0700 if it is missing and its parent
    /// exists.
    ///
    /// # Errors
    /// See [`TrustedFileError`].
    pub(crate) fn of(path: &Path) -> Result<(Self, &OsStr), TrustedFileError> {
        make_folder(path)?;
        let (folder, name) = trusted_folder(path)?;
        Ok((Self(folder), name))
    }

    /// Opens a file for reading and writing, and creates it with mode 0600 if it is missing. `flags` such as `O_APPEND` are
    /// added. Follows no symbolic link and never blocks.
    ///
    /// # Errors
    /// See [`TrustedFileError`].
    pub(crate) fn open(&self, name: &OsStr, flags: OFlags, readers: Readers) -> Result<File, TrustedFileError> {
        let flags = flags
            | OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(descriptor) => File::from(descriptor),
            Err(rustix::io::Errno::LOOP) => return Err(untrusted("it is a symbolic link")),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        check_file(&file.metadata()?, readers, u64::MAX)?;
        Ok(file)
    }

    /// Gives a file another name, which must not exist yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        // No other account can create the file in between. Not every file system has hard links or `renameat2`.
        if self.identity(to)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        renameat(&self.0, from, &self.0, to)?;
        self.sync()
    }

    /// Device and inode of a file; `None` when it does not exist.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn identity(&self, name: &OsStr) -> io::Result<Option<(u64, u64)>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes created and renamed files survive a power failure.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens and checks the folder of `path`; returns it with the file name.
fn trusted_folder(path: &Path) -> Result<(File, &OsStr), TrustedFileError> {
    let name = path.file_name().ok_or_else(|| untrusted("it names no file"))?;
    let folder_path = folder_of(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match open(&folder_path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Err(TrustedFileError::NotFound),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    check_folder(&folder.metadata()?, &folder_path)?;
    Ok((folder, name))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The sticky bit does not help: in `/tmp`, every user may create a file that does not exist yet.
fn check_folder(metadata: &Metadata, path: &Path) -> Result<(), TrustedFileError> {
    let shown = path.display();
    if !is_ours(metadata) {
        return Err(untrusted(&format!(
            "its folder {shown} belongs to another user (uid {})",
            metadata.uid()
        )));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(untrusted(&format!(
            "other users may write to its folder {shown} (mode {mode:04o}): use a separate folder with mode 0700"
        )));
    }
    Ok(())
}

fn check_file(metadata: &Metadata, readers: Readers, max_bytes: u64) -> Result<(), TrustedFileError> {
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Err(untrusted("it is not a regular file"));
    }
    if !is_ours(metadata) {
        return Err(untrusted(&format!(
            "it belongs to another user (uid {})",
            metadata.uid()
        )));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(untrusted(&format!(
            "other users may write it (mode {mode:04o}): chmod 600"
        )));
    }
    let closed = match readers {
        Readers::Anyone => 0,
        Readers::Group => OPEN_TO_OTHERS & 0o007,
        Readers::OwnerOnly => OPEN_TO_OTHERS,
    };
    if mode & closed != 0 {
        return Err(untrusted(&format!(
            "other users may read it (mode {mode:04o}): chmod 600"
        )));
    }
    if metadata.len() > max_bytes {
        return Err(untrusted(&format!("it is larger than {max_bytes} bytes")));
    }
    Ok(())
}

/// Owned by the account of this process, or by root, which may write every file anyway.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0
}

fn untrusted(reason: &str) -> TrustedFileError {
    TrustedFileError::Untrusted(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn reason(path: &Path, readers: Readers) -> String {
        read(path, readers, 100).expect_err("not trusted").to_string()
    }

    #[test]
    fn a_file_written_here_is_read_back_and_has_mode_0600() {
        let folder = folder();
        let path = folder.path().join("made/keys.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, Readers::OwnerOnly, 3).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_missing_file_or_folder_is_not_found() {
        let folder = folder();
        for path in ["keys.json", "no/keys.json"] {
            let outcome = read(&folder.path().join(path), Readers::Anyone, 100);
            assert!(matches!(outcome, Err(TrustedFileError::NotFound)), "{path}");
        }
    }

    #[test]
    fn only_a_regular_file_that_nobody_else_may_write_is_read() {
        let folder = folder();
        let path = folder.path().join("keys.json");
        fs::write(&path, "content").unwrap();
        for (mode, readers, expected) in [
            (0o644, Readers::Anyone, None),
            (
                0o664,
                Readers::Anyone,
                Some("other users may write it (mode 0664): chmod 600"),
            ),
            (
                0o646,
                Readers::Anyone,
                Some("other users may write it (mode 0646): chmod 600"),
            ),
            (0o600, Readers::OwnerOnly, None),
            (
                0o640,
                Readers::OwnerOnly,
                Some("other users may read it (mode 0640): chmod 600"),
            ),
            (
                0o604,
                Readers::OwnerOnly,
                Some("other users may read it (mode 0604): chmod 600"),
            ),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let outcome = read(&path, readers, 100).err().map(|error| error.to_string());
            assert_eq!(outcome.as_deref(), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_symbolic_link_a_fifo_a_device_and_a_folder_are_rejected_without_blocking() {
        let folder = folder();
        let real = folder.path().join("real.json");
        fs::write(&real, "content").unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink(&real, at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        fs::create_dir(at("folder")).unwrap();
        for (name, expected) in [
            ("link", "it is a symbolic link"),
            ("zero", "it is a symbolic link"),
            ("fifo", "it is not a regular file"),
            ("folder", "it is not a regular file"),
        ] {
            assert_eq!(reason(&at(name), Readers::Anyone), expected, "{name}");
        }
        assert_eq!(
            reason(Path::new("/dev/null"), Readers::Anyone),
            "it is not a regular file"
        );
    }

    #[test]
    fn a_file_larger_than_the_limit_is_rejected() {
        let folder = folder();
        let path = folder.path().join("keys.json");
        fs::write(&path, "x".repeat(101)).unwrap();
        assert_eq!(reason(&path, Readers::Anyone), "it is larger than 100 bytes");
    }

    #[test]
    fn nothing_is_read_from_or_written_to_a_folder_that_others_may_write() {
        let folder = folder();
        let path = folder.path().join("keys.json");
        fs::write(&path, "content").unwrap();
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let expected = format!(
                "other users may write to its folder {} (mode {mode:04o}): use a separate folder with mode 0700",
                folder.path().display()
            );
            assert_eq!(reason(&path, Readers::Anyone), expected);
            assert_eq!(replace(&path, b"new").unwrap_err().to_string(), expected);
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(read(&path, Readers::Anyone, 100).unwrap(), b"content");
    }

    #[test]
    fn what_belongs_to_another_user_is_rejected() {
        let folder = folder();
        let path = folder.path().join("keys.json");
        fs::write(&path, "content").unwrap();
        // Only root can change the owner of a file, so other accounts cannot run the rest of the test.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
        assert_eq!(reason(&path, Readers::Anyone), "it belongs to another user (uid 4711)");
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(4711), None).unwrap();
        assert!(reason(&path, Readers::Anyone).contains("belongs to another user (uid 4711)"));
    }
}
