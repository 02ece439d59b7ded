//! Watches the folders of the files. The folders, not the files: an editor, `mv` and Kubernetes
//! (`..data`) replace a file by another one.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Wake;

/// The link that Kubernetes replaces when a mounted secret changes: the files are links through it.
const MOUNTED_DATA: &str = "..data";

/// The folders to watch, and the watcher.
pub(super) struct WatchedFolders {
    watcher: Option<RecommendedWatcher>,
    wanted: BTreeSet<PathBuf>,
    /// Folders that cannot be watched, and for which the log has a warning.
    reported: BTreeSet<PathBuf>,
}

impl WatchedFolders {
    /// The folders of these files. Nothing is watched yet. `wake` gets a message for each change of one of the files.
    pub(super) fn new(files: &[PathBuf], wake: Sender<Wake>) -> Self {
        let wanted = files.iter().filter_map(|file| folder(file)).collect();
        let names: BTreeSet<OsString> = files
            .iter()
            .filter_map(|file| file.file_name())
            .map(OsStr::to_owned)
            .collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event, &names)) {
                // Fails only while the watch ends.
                let _ = wake.send(Wake::Changed);
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                log::warn!("files are not watched, but read each minute: {error}");
            })
            .ok();
        Self {
            watcher,
            wanted,
            reported: BTreeSet::new(),
        }
    }

    /// Watches every folder that exists. A folder that is missing or was recreated is watched from the next call on.
    pub(super) fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in &self.wanted {
            // A recreated folder has the same name, and the watcher cannot say whether it watches the old or the new
            // one.
            let _ = watcher.unwatch(folder);
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.reported.remove(folder);
                }
                Err(error) if self.reported.insert(folder.clone()) => {
                    log::warn!(
                        "{} is not watched, but its files are read each minute: {error}",
                        folder.display()
                    );
                }
                Err(_) => {}
            }
        }
    }
}

fn folder(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(
        if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }
        .to_owned(),
    )
}

/// Whether one of the files may have changed. Other programs write to the same folder, and so does this one: a
/// database, a log.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    // Reading a file is an event too, also when this program reads it.
    if event.kind.is_access() {
        return false;
    }
    let is_one = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| names.contains(name) || name == MOUNTED_DATA)
    };
    // An event without a path means that some events were lost.
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_one)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::mpsc::{self, Receiver},
        time::Duration,
    };

    use super::*;

    fn is_woken(woken: &Receiver<Wake>) -> bool {
        matches!(woken.recv_timeout(Duration::from_secs(10)), Ok(Wake::Changed))
    }

    #[test]
    fn the_folders_of_all_files_are_watched_and_a_bare_name_is_in_the_current_one() {
        let (wake, _woken) = mpsc::channel();
        let files = ["client.pem", "keys/client.key", "secrets/passphrase"].map(PathBuf::from);
        let folders = WatchedFolders::new(&files, wake).wanted;
        assert_eq!(folders, [".", "keys", "secrets"].map(PathBuf::from).into());
    }

    #[test]
    fn only_changes_of_the_files_wake_the_watch() {
        let names = ["client.pem".into()].into();
        let event = |name: &str| Event::new(notify::EventKind::Any).add_path(Path::new("/certs").join(name));
        for (name, expected) in [
            ("client.pem", true),
            ("..data", true),
            ("blog.db-wal", false),
            ("blogctl.log", false),
            ("client.pem.swp", false),
        ] {
            assert_eq!(concerns(&event(name), &names), expected, "{name}");
        }
        assert!(
            concerns(&Event::new(notify::EventKind::Other), &names),
            "the lost events may concern one"
        );
        assert!(
            concerns(&event(".client.pem.new").add_path("/certs/client.pem".into()), &names),
            "a rename into its place"
        );
    }

    #[test]
    fn a_missing_folder_does_not_affect_others_and_is_watched_once_it_exists() {
        let folder = tempfile::tempdir().expect("a folder");
        let late = folder.path().join("late");
        let files = [folder.path().join("client.pem"), late.join("client.key")];
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::new(&files, wake);
        folders.watch();
        fs::write(folder.path().join("client.pem"), "new").expect("written");
        assert!(is_woken(&woken), "the existing folder");

        fs::create_dir(&late).expect("created");
        folders.watch();
        while woken.try_recv().is_ok() {}
        fs::write(late.join("client.key"), "new").expect("written");
        assert!(is_woken(&woken), "the folder that was created later");

        fs::remove_dir_all(&late).expect("removed");
        fs::create_dir(&late).expect("recreated");
        folders.watch();
        while woken.try_recv().is_ok() {}
        fs::write(late.join("client.key"), "newer").expect("written");
        assert!(is_woken(&woken), "the recreated folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_kubernetes_replaces_is_noticed() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..2026_01", "old"), ("..2026_02", "new")] {
            fs::create_dir(at(version)).expect("created");
            fs::write(at(version).join("client.pem"), content).expect("written");
        }
        symlink("..2026_01", at("..data")).expect("linked");
        symlink("..data/client.pem", at("client.pem")).expect("linked");
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::new(&[at("client.pem")], wake);
        folders.watch();
        symlink("..2026_02", at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
        assert!(is_woken(&woken));
        assert_eq!(fs::read_to_string(at("client.pem")).expect("a file"), "new");
    }
}
