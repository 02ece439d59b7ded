//! Threads that work beside the requests: a panic in one of them is logged, counted, and reported by health; where it is safe, the thread
//! is started again. Without this a thread would be gone without a word, and what it looks after would stay as it is.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

/// Wait before a thread is started again; doubled after each further panic.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait. A thread that has run for longer begins anew with [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What has become of the threads of one name, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Such as `certificate-watch`.
    pub name: &'static str,
    /// What they do now.
    pub status: Status,
    /// How often they have panicked.
    pub panics: u32,
}

/// What a thread does, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Its work, or it has ended as it should.
    Ok,
    /// Its work again, or in a moment, after a panic.
    Restarted,
    /// Nothing, after a panic.
    Failed,
}

impl Status {
    /// For machines that compare.
    pub fn word(self) -> &'static str {
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

/// Those of the whole process: health is about all of it.
static THREADS: Mutex<BTreeMap<&'static str, Record>> = Mutex::new(BTreeMap::new());

/// Starts a thread whose `work` goes on until it returns, and begins anew after a panic. So `work` must make sense of whatever it has
/// left half done.
///
/// # Errors
/// When no thread can be started.
pub fn spawn_restarting(name: &'static str, work: impl FnMut() + Send + 'static) -> io::Result<JoinHandle<()>> {
    spawn_with_pause(name, PAUSE, work)
}

/// Starts a thread whose `work` is not repeated after a panic.
///
/// # Errors
/// When no thread can be started.
pub fn spawn_once(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_ok() {
            note(name, Status::Ok, 0);
        } else {
            note(name, Status::Failed, 1);
            log::error!("the background thread {name} has panicked, and its work is not done");
        }
    })
}

/// What has become of all of them, by name. A name appears once one of them was started again, or has ended.
pub fn reports() -> Vec<Report> {
    threads()
        .iter()
        .map(|(name, Record { status, panics })| Report {
            name,
            status: *status,
            panics: *panics,
        })
        .collect()
}

/// The worst that has become of any of them.
pub fn status() -> Status {
    threads()
        .values()
        .map(|record| record.status)
        .max()
        .unwrap_or(Status::Ok)
}

fn spawn_with_pause(
    name: &'static str,
    first_pause: Duration,
    mut work: impl FnMut() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut pause = first_pause;
        loop {
            let begun = Instant::now();
            // What was said of the panic itself is in the log already, by the panic hook.
            if catch_unwind(AssertUnwindSafe(&mut work)).is_ok() {
                return;
            }
            if begun.elapsed() > LONGEST_PAUSE {
                pause = first_pause;
            }
            note(name, Status::Restarted, 1);
            log::error!(
                "the background thread {name} has panicked; it is started again in {} s",
                pause.as_secs()
            );
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}

fn note(name: &'static str, status: Status, panics: u32) {
    let mut threads = threads();
    let record = threads.entry(name).or_insert(Record { status, panics: 0 });
    record.status = status;
    record.panics = record.panics.saturating_add(panics);
}

fn threads() -> MutexGuard<'static, BTreeMap<&'static str, Record>> {
    // Nothing that holds the lock can leave it half changed.
    THREADS.lock()
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
        let thread = spawn_with_pause("test-restarting", Duration::ZERO, move || {
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
