//! Sees to it that a renewed certificate is used without a restart, and that nobody is surprised when one ends: watches the
//! files, and looks by itself now and then where watching fails.

mod expiry_notifier;
mod watched_folders;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use expiry_notifier::ExpiryNotifier;
use watched_folders::WatchedFolders;

use crate::{background, config::ClientSettings, entra::ConfidentialClient};

/// How often to look without having been told to: not every file system tells.
const LOOK: Duration = Duration::from_mins(1);
/// How long the files must be left alone before they are read: certificate and key may be two.
const SETTLE: Duration = Duration::from_millis(300);
/// They are read after this in any case: somebody may write to one of them all the time.
const SETTLE_AT_MOST: Duration = Duration::from_secs(2);

enum Wake {
    Changed,
    Stop,
}

/// Dropped, it ends the watch.
pub struct CertificateWatch {
    stop: Sender<Wake>,
}

impl CertificateWatch {
    /// Watches on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(client: Arc<ConfidentialClient>, settings: &ClientSettings) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::of(settings, wake.clone());
        // Here, and not on the thread: what changes from now on is seen.
        folders.watch();
        let mut watch = Watch {
            client,
            folders,
            ending: ExpiryNotifier::new(&settings.expiry_warning_days),
            last_error: None,
        };
        background::spawn_restarting("certificate-watch", move || watch.run(&woken))?;
        Ok(Self { stop: wake })
    }
}

impl Drop for CertificateWatch {
    fn drop(&mut self) {
        // A thread that has ended already needs no telling.
        let _ = self.stop.send(Wake::Stop);
    }
}

struct Watch {
    client: Arc<ConfidentialClient>,
    folders: WatchedFolders,
    ending: ExpiryNotifier,
    /// What was logged last, so that one mistake is logged once and not each minute.
    last_error: Option<String>,
}

impl Watch {
    fn run(&mut self, woken: &Receiver<Wake>) {
        self.warn_of_the_end();
        while wait(woken, LOOK) {
            self.folders.watch();
            self.look();
            self.warn_of_the_end();
        }
    }

    fn look(&mut self) {
        let Err(error) = self.client.reload_credential() else {
            self.last_error = None;
            return;
        };
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            log::error!(
                "the certificate cannot be read again, the old one stays: {text}; hint: {}",
                error.hint()
            );
        }
        self.last_error = Some(text);
    }

    fn warn_of_the_end(&mut self) {
        let credential = self.client.credential();
        let Some(certificate) = credential.certificate() else {
            return;
        };
        if let Some((level, text)) = self.ending.news(certificate.details(), self.client.now()) {
            log::log!(level, "{text}");
        }
    }
}

/// Until it is time to look, which it is after `at_most`; `false` when there is nothing to watch for any more.
fn wait(woken: &Receiver<Wake>, at_most: Duration) -> bool {
    match woken.recv_timeout(at_most) {
        Ok(Wake::Changed) => settle(woken, SETTLE, SETTLE_AT_MOST),
        Err(RecvTimeoutError::Timeout) => true,
        Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => false,
    }
}

/// Until nothing has changed for `quiet`, or `at_most` has passed; `false` as in [`wait`].
fn settle(woken: &Receiver<Wake>, quiet: Duration, at_most: Duration) -> bool {
    let deadline = Instant::now() + at_most;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match woken.recv_timeout(quiet.min(left)) {
            Ok(Wake::Changed) if !left.is_zero() => {}
            Ok(Wake::Changed) | Err(RecvTimeoutError::Timeout) => return true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn files_that_never_come_to_rest_are_read_all_the_same() {
        let (wake, woken) = mpsc::channel();
        let is_read = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(10);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_read.load(Ordering::SeqCst) && Instant::now() < deadline {
                    wake.send(Wake::Changed).expect("somebody listens");
                    thread::yield_now();
                }
                assert!(is_read.load(Ordering::SeqCst), "not read within ten seconds");
            });
            assert!(settle(&woken, SETTLE, Duration::from_millis(20)));
            is_read.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn where_nothing_tells_it_is_looked_all_the_same() {
        let (_wake, woken) = mpsc::channel();
        assert!(wait(&woken, Duration::from_millis(1)));
    }

    #[test]
    fn a_change_does_not_hide_that_it_shall_stop() {
        let (wake, woken) = mpsc::channel();
        wake.send(Wake::Changed).expect("somebody listens");
        wake.send(Wake::Changed).expect("somebody listens");
        wake.send(Wake::Stop).expect("somebody listens");
        assert!(!wait(&woken, LOOK));
    }
}
