//! The SQLite file itself: how it is created, and whether the path still leads to it.
//!
//! Who deletes or replaces the file of a running program leaves it with one that has no name any more: reads and writes go
//! on, and all that was written is lost when the program ends. So the writer looks before each transaction and again before it
//! answers, and so does the readiness probe. The file and its log are kept in sight by descriptors that name them without
//! opening them: their inode numbers cannot be given to other files meanwhile, and closing such a descriptor, unlike one
//! that was opened, releases none of SQLite's locks.

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

use super::open;
use crate::db::{DbError, migrate::behind_links};

/// The file that is open.
pub(super) struct DatabaseFile {
    path: PathBuf,
    main: Kept,
    /// Write-ahead log; `None` until it is first seen.
    log: Mutex<Option<Kept>>,
    log_path: PathBuf,
    is_lost: AtomicBool,
}

/// A file that is kept in sight.
struct Kept {
    device: u64,
    inode: u64,
    /// Keeps the inode number from being used again.
    _pinned: Option<OwnedFd>,
}

impl DatabaseFile {
    /// Creates the file with this mode if it is missing. The mode of one that is there already stays as it is; SQLite gives
    /// its other files the mode of this one.
    pub fn create(path: &Path, mode: u32) -> Result<Self, DbError> {
        // SQLite follows links, and keeps its other files where they lead.
        let target = behind_links(path).map_err(|reason| open::error(path, &reason))?;
        let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(&target);
        // The mode that was asked for, whatever the process leaves out by default.
        if let Err(reason) = created.and_then(|file| file.set_permissions(Permissions::from_mode(mode)))
            && reason.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(open::error(path, &unable(&reason)));
        }
        let real = path
            .canonicalize()
            .map_err(|reason| open::error(path, &unable(&reason)))?;
        let main = Kept::at(&real).map_err(|reason| open::error(path, &unable(&reason)))?;
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the paths of the file and of its log still lead to what is open. Some microseconds.
    ///
    /// # Errors
    /// [`DbError::FileGone`]. It is logged when it happens, not each time that it is found.
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
        if let Some(kept) = &*log {
            return kept.is_at(&self.log_path);
        }
        // Its first transaction makes it.
        *log = Kept::at(&self.log_path).ok();
        true
    }
}

impl Kept {
    fn at(path: &Path) -> io::Result<Self> {
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

/// Elsewhere no descriptor names a file without opening it.
#[cfg(not(target_os = "linux"))]
fn pin(_: &Path) -> Option<OwnedFd> {
    None
}

fn unable(reason: &io::Error) -> String {
    format!("unable to open database file: {reason}")
}
