//! A small disk in memory that a test fills and empties. Only root can mount one.
//!
//! ```ignore
//! let Some(disk) = SmallDisk::mount(32) else { return };
//! disk.fill();                                                  // writes to `disk.path()` fail
//! disk.free();
//! ```

use std::{fs, io::Write as _, path::Path, process::Command};

use rustix::process::geteuid;
use tempfile::TempDir;

/// A mounted disk, unmounted when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts a disk of this many MiB. `None` where the account may not.
    #[expect(clippy::print_stderr, reason = "a developer must see which tests were skipped")]
    pub fn mount(mib: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=711"), "tmpfs"]);
        command.arg(folder.path());
        if geteuid().is_root() && command.status().is_ok_and(|status| status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: this account cannot mount a small disk");
        None
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes until nothing fits.
    pub fn fill(&self) {
        let mut ballast = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("ballast"))
            .expect("a file");
        let chunk = vec![1; 1024 * 1024];
        for size in [1024 * 1024, 4096, 1] {
            while ballast.write_all(&chunk[..size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.path().join("ballast")).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a process that is being killed may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
