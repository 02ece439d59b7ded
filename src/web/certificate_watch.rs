//! Loads a renewed certificate without a restart, and warns before a certificate expires. It watches the files, and
//! also reads them once a minute in case watching fails.

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

use crate::{
    background,
    config::ClientSettings,
    entra::ConfidentialClient,
    metrics::{self, Observation},
};

/// How often to read the files without an event: not every file system sends events.
const POLL_INTERVAL: Duration = Duration::from_mins(1);
/// How long the files must be unchanged before they are read: certificate and key may be two files.
const SETTLE: Duration = Duration::from_millis(300);
/// They are read after this time in any case: a program may write to one of them continuously.
const MAX_SETTLE: Duration = Duration::from_secs(2);

enum Wake {
    Changed,
    Stop,
}

/// The watch. Dropping it ends the watch.
pub struct CertificateWatch {
    stop: Sender<Wake>,
    _observation: Observation,
}

impl CertificateWatch {
    /// Starts watching on a new thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(client: Arc<ConfidentialClient>, settings: &ClientSettings) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::from_settings(settings, wake.clone());
        // Before the thread starts, so that no change from now on is missed.
        folders.watch();
        let observed = Arc::downgrade(&client);
        let certificates = move || {
            observed
                .upgrade()
                .map(|client| client.certificates())
                .unwrap_or_default()
        };
        let observation = metrics::certificates::observe_client(certificates);
        let mut watch = Watch {
            client,
            folders,
            expiry: ExpiryNotifier::new(&settings.expiry_warning_days),
            last_error: None,
        };
        background::spawn_restarting("certificate-watch", move || watch.run(&woken))?;
        Ok(Self {
            stop: wake,
            _observation: observation,
        })
    }
}

impl Drop for CertificateWatch {
    fn drop(&mut self) {
        // Fails only if the thread has already ended.
        let _ = self.stop.send(Wake::Stop);
    }
}

struct Watch {
    client: Arc<ConfidentialClient>,
    folders: WatchedFolders,
    expiry: ExpiryNotifier,
    /// The error that was logged last, so that it is not logged again each minute.
    last_error: Option<String>,
}

impl Watch {
    fn run(&mut self, woken: &Receiver<Wake>) {
        self.warn_of_expiry();
        while wait(woken, POLL_INTERVAL) {
            self.folders.watch();
            self.reload();
            self.warn_of_expiry();
        }
    }

    fn reload(&mut self) {
        let Err(error) = self.client.reload_credential() else {
            self.last_error = None;
            return;
        };
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            log::error!(
                "the certificate cannot be reloaded, the current one stays in use: {text}; hint: {}",
                error.hint()
            );
            self.client.record_unusable(&error);
        }
        self.last_error = Some(text);
    }

    fn warn_of_expiry(&mut self) {
        let credential = self.client.credential();
        let Some(certificate) = credential.certificate() else {
            return;
        };
        if let Some((level, text)) = self.expiry.next_warning(certificate.details(), self.client.now()) {
            log::log!(level, "{text}");
        }
    }
}

/// Waits until the files have changed, at most for `at_most`. Returns `false` when the watch ends.
fn wait(woken: &Receiver<Wake>, at_most: Duration) -> bool {
    match woken.recv_timeout(at_most) {
        Ok(Wake::Changed) => settle(woken, SETTLE, MAX_SETTLE),
        Err(RecvTimeoutError::Timeout) => true,
        Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => false,
    }
}

/// Waits until nothing has changed for `quiet`, at most for `at_most`. Returns `false` when the watch ends.
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
    fn files_that_change_continuously_are_still_read() {
        let (wake, woken) = mpsc::channel();
        let was_read = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(10);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !was_read.load(Ordering::SeqCst) && Instant::now() < deadline {
                    wake.send(Wake::Changed).expect("a receiver");
                    thread::yield_now();
                }
                assert!(was_read.load(Ordering::SeqCst), "not read within ten seconds");
            });
            assert!(settle(&woken, SETTLE, Duration::from_millis(20)));
            was_read.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn without_events_the_files_are_still_read() {
        let (_wake, woken) = mpsc::channel();
        assert!(wait(&woken, Duration::from_millis(1)));
    }

    #[test]
    fn a_change_does_not_hide_the_order_to_stop() {
        let (wake, woken) = mpsc::channel();
        wake.send(Wake::Changed).expect("a receiver");
        wake.send(Wake::Changed).expect("a receiver");
        wake.send(Wake::Stop).expect("a receiver");
        assert!(!wait(&woken, POLL_INTERVAL));
    }
}
