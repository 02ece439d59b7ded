//! The mode of a file that holds a private key. The group may read it: that is how secrets are mounted into containers.

use std::path::Path;

use parking_lot::Mutex;

/// Warns when others may read the key. Once, until the mode changes: files are read each minute.
#[cfg(unix)]
pub(super) fn warn_when_others_may_read(path: &Path) {
    static TOLD: Mutex<Told> = Mutex::new(Told::new());
    let mut told = TOLD.lock();
    if is_news(path, &mut told) {
        let file = path.display();
        log::warn!("every user of this machine may read the private key in {file}: chmod 600 {file}");
    }
}

#[cfg(not(unix))]
pub(super) fn warn_when_others_may_read(_: &Path) {}

/// The files of which the log has that others may read them, with their mode.
#[cfg(unix)]
type Told = std::collections::BTreeMap<std::path::PathBuf, u32>;

#[cfg(unix)]
fn is_news(path: &Path, told: &mut Told) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    const READ_OR_WRITE_BY_OTHERS: u32 = 0o006;
    let Ok(metadata) = path.metadata() else { return false };
    let mode = metadata.permissions().mode();
    if mode & READ_OR_WRITE_BY_OTHERS == 0 {
        told.remove(path);
        return false;
    }
    told.insert(path.to_owned(), mode) != Some(mode)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    #[test]
    fn a_mode_is_told_once_and_again_when_it_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("client.pem");
        fs::write(&path, "a key").expect("written");
        let mut told = Told::new();
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
            assert_eq!(is_news(&path, &mut told), expected, "{mode:o}");
            assert!(!is_news(&path, &mut told), "{mode:o}, again");
        }
    }
}
