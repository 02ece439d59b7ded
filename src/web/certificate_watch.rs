//! Sees to it that a renewed certificate is used without a restart, and that nobody is surprised when one ends: watches the
//! files, and looks by itself now and then where watching fails.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use chrono::Utc;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::{
    config::{CertificateSettings, ClientSettings, CredentialSettings},
    entra::ConfidentialClient,
};

/// How often to look without having been told to: not every file system tells.
const LOOK: Duration = Duration::from_mins(1);
/// How long a folder must be quiet before its files are read: certificate and key may be two files.
const SETTLE: Duration = Duration::from_millis(300);

enum Wake {
    Changed,
    Stop,
}

/// Dropped, it ends the watch.
pub struct CertificateWatch {
    stop: Sender<Wake>,
    _watcher: Option<RecommendedWatcher>,
}

impl CertificateWatch {
    /// Watches on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(client: Arc<ConfidentialClient>, settings: &ClientSettings) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let watcher = watcher(&folders(&files(settings)), wake.clone())
            .inspect_err(|error| {
                log::warn!("the certificate's folder is not watched, but looked at each minute: {error}");
            })
            .ok();
        let mut thresholds: Vec<i64> = settings.expiry_warning_days.iter().copied().map(i64::from).collect();
        thresholds.sort_unstable();
        let mut watch = Watch { client, thresholds, last_error: None, warned_at: None };
        thread::Builder::new().name("certificate-watch".to_owned()).spawn(move || watch.run(&woken))?;
        Ok(Self { stop: wake, _watcher: watcher })
    }
}

impl Drop for CertificateWatch {
    fn drop(&mut self) {
        // A thread that has ended already needs no telling.
        let _ = self.stop.send(Wake::Stop);
    }
}

/// The folders, not the files: an editor, `mv` and Kubernetes (`..data`) put another file in a file's place.
fn folders(files: &[CertificateSettings]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = files
        .iter()
        .flat_map(|file| [&file.path, &file.key_path])
        .flatten()
        .filter_map(|file| file.parent())
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned())
        .collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

fn files(settings: &ClientSettings) -> Vec<CertificateSettings> {
    let file = |entry| match entry {
        CredentialSettings::File(file) => Some(file),
        _ => None,
    };
    settings.credentials().into_iter().filter_map(file).collect()
}

fn watcher(folders: &[PathBuf], wake: Sender<Wake>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event, too; so is our own.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Nobody listens any more when the site stops.
            let _ = wake.send(Wake::Changed);
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

struct Watch {
    client: Arc<ConfidentialClient>,
    /// Days before the end at which to warn, the smallest first.
    thresholds: Vec<i64>,
    /// What was logged last, so that one mistake is logged once and not each minute.
    last_error: Option<String>,
    warned_at: Option<i64>,
}

impl Watch {
    fn run(&mut self, woken: &Receiver<Wake>) {
        self.warn_of_the_end();
        loop {
            match woken.recv_timeout(LOOK) {
                Ok(Wake::Changed) => while let Ok(Wake::Changed) = woken.recv_timeout(SETTLE) {},
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
            self.warn_of_the_end();
        }
    }

    fn look(&mut self) {
        match self.client.reload_credential() {
            Ok(is_new) => {
                self.last_error = None;
                if is_new {
                    self.warned_at = None;
                }
            }
            Err(error) => {
                let text = error.to_string();
                if self.last_error.as_ref() != Some(&text) {
                    log::error!(
                        "the certificate cannot be read again, the old one stays: {text}; hint: {}",
                        error.hint()
                    );
                }
                self.last_error = Some(text);
            }
        }
    }

    fn warn_of_the_end(&mut self) {
        let credential = self.client.credential();
        let Some(certificate) = credential.certificate() else { return };
        let days = certificate.details().days_left(Utc::now());
        let Some(threshold) = threshold(days, &self.thresholds).filter(|threshold| self.warned_at != Some(*threshold))
        else {
            return;
        };
        let ends = certificate.details().not_after.format("%Y-%m-%d %H:%M UTC");
        if days < 0 {
            log::error!("the certificate has expired ({ends}): nobody can sign in; see docs/rotate-a-certificate.md");
        } else {
            log::warn!("the certificate expires in {days} days ({ends}); see docs/rotate-a-certificate.md");
        }
        self.warned_at = Some(threshold);
    }
}

/// The smallest threshold that is reached; -1 stands for the end itself.
fn threshold(days: i64, thresholds: &[i64]) -> Option<i64> {
    if days < 0 { Some(-1) } else { thresholds.iter().copied().find(|threshold| days <= *threshold) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_reached_in_turn() {
        for (days, expected) in [
            (90, None),
            (31, None),
            (30, Some(30)),
            (15, Some(30)),
            (14, Some(14)),
            (7, Some(7)),
            (2, Some(7)),
            (1, Some(1)),
            (0, Some(1)),
            (-1, Some(-1)),
        ] {
            assert_eq!(threshold(days, &[1, 7, 14, 30]), expected, "{days}");
        }
        assert_eq!((threshold(5, &[]), threshold(-5, &[])), (None, Some(-1)), "its end is always told");
    }

    #[test]
    fn the_folder_of_a_bare_name_is_this_one() {
        let settings = CertificateSettings {
            path: Some("client.pem".into()),
            key_path: Some("keys/client.key".into()),
            ..CertificateSettings::default()
        };
        assert_eq!(folders(&[settings]), [PathBuf::from("."), PathBuf::from("keys")]);
    }
}
