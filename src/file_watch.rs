//! Notices when files change, and calls back on a separate thread. It watches the folders of the files, and also calls back
//! once a minute in case watching fails: not every file system sends events.

mod watched_folders;

use std::{
    io,
    path::PathBuf,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use watched_folders::WatchedFolders;

use crate::background;

/// How often to call back without an event.
const POLL_INTERVAL: Duration = Duration::from_mins(1);
/// How long the files must be unchanged before they are read: certificate and key may be two files.
const SETTLE: Duration = Duration::from_millis(300);
/// They are read after this time in any case: a program may write to one of them continuously.
const MAX_SETTLE: Duration = Duration::from_secs(2);

enum Wake {
    Changed,
    Stop,
}

/// Why the watch calls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The watch begins; the files need not be read again.
    Start,
    /// The files may have changed, or a minute has passed.
    Check,
}

/// The watch. Dropping it ends the watch.
pub(crate) struct FileWatch {
    stop: Sender<Wake>,
}

impl FileWatch {
    /// Starts watching these files on a new thread with this name. `check` runs there.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        name: &'static str,
        files: &[PathBuf],
        mut check: impl FnMut(Occasion) + Send + 'static,
    ) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let mut folders = WatchedFolders::new(files, wake.clone());
        // Before the thread starts, so that no change from now on is missed.
        folders.watch();
        background::spawn_restarting(name, move || {
            check(Occasion::Start);
            while wait(&woken, POLL_INTERVAL) {
                folders.watch();
                check(Occasion::Check);
            }
        })?;
        Ok(Self { stop: wake })
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // Fails only if the thread has already ended.
        let _ = self.stop.send(Wake::Stop);
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
