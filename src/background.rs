//! Background threads. A panic in one of them is logged, counted, and reported by health, and the thread is restarted
//! where that is safe. Otherwise the thread would disappear silently, and its work would stop.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::metrics;

/// Delay before a restart, doubled after each further panic.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// Longest delay. A thread that has run for longer than this starts again with [`RESTART_DELAY`].
const MAX_RESTART_DELAY: Duration = Duration::from_mins(1);

/// What happened to the threads with one name, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadReport {
    /// Such as `certificate-watch`.
    pub name: &'static str,
    pub status: Status,
    pub panics: u32,
}

/// The status of a thread, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It works, or it has ended normally.
    Ok,
    /// It panicked, and was restarted or is about to be.
    Restarted,
    /// It panicked, and was not restarted.
    Failed,
}

impl Status {
    /// As in the JSON of health.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Restarted => "restarted",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Record {
    status: Status,
    panics: u32,
}

/// For the whole process, because health reports on all of it.
static THREADS: Mutex<BTreeMap<&'static str, Record>> = Mutex::new(BTreeMap::new());

/// Starts a thread that runs `work` until it returns, and runs it again after a panic. So `work` must cope with
/// whatever state a panic has left behind.
///
/// # Errors
/// When the system starts no thread.
pub fn spawn_restarting(name: &'static str, work: impl FnMut() + Send + 'static) -> io::Result<JoinHandle<()>> {
    spawn_with_delay(name, RESTART_DELAY, work)
}

/// Starts a thread that runs `work` once, even if it panics.
///
/// # Errors
/// When the system starts no thread.
pub fn spawn_once(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_ok() {
            record(name, Status::Ok, 0);
        } else {
            metrics::process::thread_panicked(name);
            record(name, Status::Failed, 1);
            log::error!("background thread {name} panicked and is not restarted");
        }
    })
}

/// The reports of all threads. A name appears once one of its threads has been restarted or has ended.
pub fn reports() -> Vec<ThreadReport> {
    THREADS
        .lock()
        .iter()
        .map(|(name, Record { status, panics })| ThreadReport {
            name,
            status: *status,
            panics: *panics,
        })
        .collect()
}

/// The worst status of any thread.
pub fn status() -> Status {
    THREADS
        .lock()
        .values()
        .map(|record| record.status)
        .max()
        .unwrap_or(Status::Ok)
}

fn spawn_with_delay(
    name: &'static str,
    first_delay: Duration,
    mut work: impl FnMut() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut delay = first_delay;
        loop {
            let begun = Instant::now();
            // The panic hook has already logged the panic itself.
            if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() {
                return;
            }
            if begun.elapsed() > MAX_RESTART_DELAY {
                delay = first_delay;
            }
            metrics::process::thread_panicked(name);
            record(name, Status::Restarted, 1);
            log::error!(
                "background thread {name} panicked; restarting it in {} s",
                delay.as_secs()
            );
            thread::sleep(delay);
            delay = (delay * 2).min(MAX_RESTART_DELAY);
        }
    })
}

fn record(name: &'static str, status: Status, panics: u32) {
    let mut threads = THREADS.lock();
    let record = threads.entry(name).or_insert(Record { status, panics: 0 });
    record.status = status;
    record.panics = record.panics.saturating_add(panics);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn report(name: &str) -> Option<(Status, u32)> {
        reports()
            .into_iter()
            .find(|report| report.name == name)
            .map(|report| (report.status, report.panics))
    }

    #[test]
    fn a_thread_that_panics_is_started_again_and_reported() {
        let (sender, seen) = mpsc::channel();
        let mut attempts = 0;
        let (end, may_end) = mpsc::channel::<()>();
        let thread = spawn_with_delay("test-restarting", Duration::ZERO, move || {
            attempts += 1;
            sender.send(attempts).unwrap();
            assert!(attempts > 2, "attempt {attempts}");
            let _ = may_end.recv();
        });
        assert_eq!(seen.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(report("test-restarting"), Some((Status::Restarted, 2)));
        assert!(status() >= Status::Restarted);
        drop(end);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn a_thread_that_is_not_started_again_is_reported_until_one_of_its_name_does_its_work() {
        spawn_once("test-once", || panic!("at work")).unwrap().join().unwrap();
        assert_eq!(report("test-once"), Some((Status::Failed, 1)));
        spawn_once("test-once", || {}).unwrap().join().unwrap();
        assert_eq!(report("test-once"), Some((Status::Ok, 1)));
    }

    #[test]
    fn a_thread_that_ends_as_it_should_is_no_news() {
        spawn_restarting("test-well", || {}).unwrap().join().unwrap();
        assert_eq!(report("test-well"), None);
    }
}
