//! The mode of a file with a private key. The group may read it, since secrets are mounted into containers that way.

use std::path::Path;

use parking_lot::Mutex;

/// Warns if other users may read or write the key. Once per mode, since files are read every minute.
#[cfg(unix)]
pub(super) fn warn_when_others_may_read(path: &Path) {
    static REPORTED: Mutex<ReportedModes> = Mutex::new(ReportedModes::new());
    if must_report(path, &mut REPORTED.lock()) {
        let file = path.display();
        log::warn!("every user of this machine may read the private key in {file}: chmod 600 {file}");
    }
}

#[cfg(not(unix))]
pub(super) fn warn_when_others_may_read(_: &Path) {}

/// The mode for which each file was last reported.
#[cfg(unix)]
type ReportedModes = std::collections::BTreeMap<std::path::PathBuf, u32>;

#[cfg(unix)]
fn must_report(path: &Path, reported: &mut ReportedModes) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    const READ_OR_WRITE_BY_OTHERS: u32 = 0o006;
    let Ok(metadata) = path.metadata() else { return false };
    let mode = metadata.permissions().mode();
    if mode & READ_OR_WRITE_BY_OTHERS == 0 {
        reported.remove(path);
        return false;
    }
    reported.insert(path.to_owned(), mode) != Some(mode)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    #[test]
    fn a_mode_is_reported_once_and_again_after_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("client.pem");
        fs::write(&path, "a key").expect("written");
        let mut reported = ReportedModes::new();
        for (mode, expected) in [
            (0o600, false),
            (0o640, false),
            (0o644, true),
            (0o644, false),
            (0o646, true),
            (0o600, false),
            (0o644, true),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
            assert_eq!(must_report(&path, &mut reported), expected, "{mode:o}");
            assert!(!must_report(&path, &mut reported), "{mode:o}, again");
        }
    }
}
