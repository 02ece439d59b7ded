//! The SQLite file: creates it, and checks that the path still leads to it.
//!
//! If someone deletes or replaces the file of a running program, the program keeps a file without a name: reads and
//! writes still work, but everything written is lost when the program ends. So the writer checks before each
//! transaction and again before it answers, and the readiness probe checks too.
//!
//! `O_PATH` descriptors pin the file and its log: their inode numbers cannot be reused for other files. Closing such a
//! descriptor, unlike an ordinary one, releases none of SQLite's locks.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use super::path::follow_links;
use crate::db::DbError;

/// The open file.
pub(super) struct DatabaseFile {
    path: PathBuf,
    main: PinnedFile,
    /// Write-ahead log; `None` until it is first seen.
    log: Mutex<Option<PinnedFile>>,
    log_path: PathBuf,
    is_lost: AtomicBool,
}

/// The identity of a file.
struct PinnedFile {
    device: u64,
    inode: u64,
    /// Prevents the inode number from being reused.
    _pinned: Option<OwnedFd>,
}

impl DatabaseFile {
    /// Creates the file with this mode if it is missing. An existing file keeps its mode. SQLite creates its other
    /// files with the mode of this one.
    pub fn create(path: &Path, mode: u32) -> Result<Self, DbError> {
        // SQLite follows symbolic links, and puts its other files next to their target.
        let target = follow_links(path).map_err(|reason| DbError::cannot_open(path.display(), reason))?;
        let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(&target);
        let unable = |reason: &io::Error| {
            DbError::cannot_open(path.display(), format!("unable to open database file: {reason}"))
        };
        // Exactly this mode, whatever the process's umask is.
        if let Err(reason) = created.and_then(|file| file.set_permissions(Permissions::from_mode(mode)))
            && reason.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(unable(&reason));
        }
        let real = path.canonicalize().map_err(|reason| unable(&reason))?;
        let main = PinnedFile::open(&real).map_err(|reason| unable(&reason))?;
        let mut log_path = real.clone().into_os_string();
        log_path.push("-wal");
        Ok(Self {
            path: path.to_owned(),
            main,
            log: Mutex::new(None),
            log_path: log_path.into(),
            is_lost: AtomicBool::new(false),
        })
    }

    /// The path from the settings.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the paths of the file and of its log still lead to the open files. Takes some microseconds.
    ///
    /// # Errors
    /// [`DbError::FileGone`]. Logged once when it happens, not at each check.
    pub fn check(&self) -> Result<(), DbError> {
        let missing = if !self.main.is_at(&self.path) {
            Some(&self.path)
        } else if !self.is_log_there() {
            Some(&self.log_path)
        } else {
            None
        };
        let was_lost = self.is_lost.swap(missing.is_some(), Ordering::Relaxed);
        let Some(missing) = missing else {
            if was_lost {
                log::info!("the SQLite file {} is back", self.path.display());
            }
            return Ok(());
        };
        let error = DbError::FileGone {
            path: missing.display().to_string(),
        };
        if !was_lost {
            log::error!("{error}");
        }
        Err(error)
    }

    fn is_log_there(&self) -> bool {
        let mut log = self.log.lock();
        if let Some(pinned) = &*log {
            return pinned.is_at(&self.log_path);
        }
        // The first transaction creates it.
        *log = PinnedFile::open(&self.log_path).ok();
        true
    }
}

impl PinnedFile {
    fn open(path: &Path) -> io::Result<Self> {
        let pinned = pin(path);
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            _pinned: pinned,
        })
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }
}

#[cfg(target_os = "linux")]
fn pin(path: &Path) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};

    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Other systems have no `O_PATH`.
#[cfg(not(target_os = "linux"))]
fn pin(_: &Path) -> Option<OwnedFd> {
    None
}
