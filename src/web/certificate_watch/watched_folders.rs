//! The folders in which the certificate's files are, watched as far as they can be. The folders, not the files: an editor,
//! `mv` and Kubernetes (`..data`) put another file in a file's place.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Wake;
use crate::config::{CertificateSettings, ClientSettings, CredentialSettings};

/// The link that Kubernetes exchanges when a mounted secret changes: the files are links through it.
const MOUNTED_DATA: &str = "..data";

/// What is watched, and what stands in the way.
pub(super) struct WatchedFolders {
    watcher: Option<RecommendedWatcher>,
    wanted: BTreeSet<PathBuf>,
    /// Those of which the log has that they are not watched.
    told: BTreeSet<PathBuf>,
}

impl WatchedFolders {
    /// Those of the settings' files; nothing is watched yet. Each change of one of the files wakes.
    pub(super) fn of(settings: &ClientSettings, wake: Sender<Wake>) -> Self {
        let files = files(settings);
        let wanted = files.iter().filter_map(|file| folder(file)).collect();
        let names: BTreeSet<OsString> = files
            .iter()
            .filter_map(|file| file.file_name())
            .map(OsStr::to_owned)
            .collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event, &names)) {
                // Nobody listens any more when the site stops.
                let _ = wake.send(Wake::Changed);
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                log::warn!("the certificate's files are not watched, but looked at each minute: {error}");
            })
            .ok();
        Self {
            watcher,
            wanted,
            told: BTreeSet::new(),
        }
    }

    /// Watches every folder that is there. One that is missing, or that somebody has made anew, is watched from the next call.
    pub(super) fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in &self.wanted {
            // A folder that was made anew has the old one's name; whether that one is watched cannot be asked.
            let _ = watcher.unwatch(folder);
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.told.remove(folder);
                }
                Err(error) if self.told.insert(folder.clone()) => {
                    log::warn!(
                        "{} is not watched, but looked at each minute: {error}",
                        folder.display()
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Everything that is read to load a certificate from a file.
fn files(settings: &ClientSettings) -> Vec<PathBuf> {
    let of_entry = |entry| match entry {
        CredentialSettings::File(CertificateSettings {
            path,
            key_path,
            key_passphrase_file,
            ..
        }) => [path, key_path, key_passphrase_file],
        _ => [None, None, None],
    };
    settings
        .credentials()
        .into_iter()
        .flat_map(of_entry)
        .flatten()
        .collect()
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

/// Whether one of the files may be another now. Others write to the same folder: a database, a log, even ours.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    // Reading a file is an event, too; so is our own.
    if event.kind.is_access() {
        return false;
    }
    let is_one = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| names.contains(name) || name == MOUNTED_DATA)
    };
    // An event without a path says that some were lost.
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

    fn settings(path: &Path) -> ClientSettings {
        let certificate = CertificateSettings {
            path: Some(path.to_owned()),
            key_path: Some("keys/client.key".into()),
            key_passphrase_file: Some("secrets/passphrase".into()),
            ..CertificateSettings::default()
        };
        ClientSettings {
            certificate,
            ..ClientSettings::default()
        }
    }

    fn is_woken(woken: &Receiver<Wake>) -> bool {
        matches!(woken.recv_timeout(Duration::from_secs(10)), Ok(Wake::Changed))
    }

    #[test]
    fn the_folders_of_all_files_are_meant_and_that_of_a_bare_name_is_this_one() {
        let (wake, _woken) = mpsc::channel();
        let folders = WatchedFolders::of(&settings(Path::new("client.pem")), wake).wanted;
        assert_eq!(folders, [".", "keys", "secrets"].map(PathBuf::from).into());
    }

    #[test]
    fn only_what_happens_to_the_files_wakes() {
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
            "what was lost may have been one"
        );
        assert!(
            concerns(&event(".client.pem.new").add_path("/certs/client.pem".into()), &names),
            "a rename into its place"
        );
    }

    #[test]
    fn a_folder_that_is_missing_hinders_no_other_and_is_watched_when_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let late = folder.path().join("late");
        let mut settings = settings(&folder.path().join("client.pem"));
        settings.certificate.key_path = Some(late.join("client.key"));
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::of(&settings, wake);
        folders.watch();
        fs::write(folder.path().join("client.pem"), "new").expect("written");
        assert!(is_woken(&woken), "the one that is there");

        fs::create_dir(&late).expect("made");
        folders.watch();
        while woken.try_recv().is_ok() {}
        fs::write(late.join("client.key"), "new").expect("written");
        assert!(is_woken(&woken), "the one that came later");

        fs::remove_dir_all(&late).expect("removed");
        fs::create_dir(&late).expect("made anew");
        folders.watch();
        while woken.try_recv().is_ok() {}
        fs::write(late.join("client.key"), "newer").expect("written");
        assert!(is_woken(&woken), "the one that was made anew");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_kubernetes_exchanges_is_seen() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..2026_01", "old"), ("..2026_02", "new")] {
            fs::create_dir(at(version)).expect("made");
            fs::write(at(version).join("client.pem"), content).expect("written");
        }
        symlink("..2026_01", at("..data")).expect("linked");
        symlink("..data/client.pem", at("client.pem")).expect("linked");
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::of(&settings(&at("client.pem")), wake);
        folders.watch();
        symlink("..2026_02", at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
        assert!(is_woken(&woken));
        assert_eq!(fs::read_to_string(at("client.pem")).expect("a file"), "new");
    }
}
