//! Log lines on their way to stderr, written by a thread of its own.
//!
//! Otherwise each request would pay for a `write` of its own, and wait for the other threads' writes. A line is on its way
//! for [`GATHER`] at most; when stderr takes no more, whoever logs waits, so that nothing is lost and memory is bounded.
//! What is waiting when the process is killed (and not told to stop) is lost.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(5);
/// Most bytes that wait.
const MAX_WAITING: usize = 1024 * 1024;
/// Longest wait at the end for a reader that takes nothing any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handle to the lines that wait. A clone is another handle to the same.
#[derive(Clone)]
pub(super) struct Background(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Lines came, for the thread that writes.
    came: Condvar,
    /// Lines went, for whoever waits for room or for the end.
    went: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { lines: Mutex::default(), came: Condvar::new(), went: Condvar::new() });
        let background = Self(Arc::clone(&shared));
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(to))?;
        Ok(background)
    }

    /// Waits until every line is written.
    pub(super) fn finish(&self) {
        let is_busy = |lines: &mut Lines| lines.is_writing || !lines.waiting.is_empty();
        // Whether in time or not: there is nothing more that could be done.
        drop(self.0.went.wait_timeout_while(self.0.lines(), PATIENCE, is_busy));
    }
}

impl Write for Background {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines();
        while lines.waiting.len() >= MAX_WAITING {
            lines = self.0.went.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        let is_first = lines.waiting.is_empty() && !lines.is_writing;
        lines.waiting.extend_from_slice(line);
        drop(lines);
        if is_first {
            self.0.came.notify_one();
        }
        Ok(line.len())
    }

    /// Lines are gathered; see [`Background::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Nothing that holds the lock can leave it half changed.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut to: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut lines = self.lines();
            lines.is_writing = false;
            self.went.notify_all();
            let mut lines =
                self.came.wait_while(lines, |lines| lines.waiting.is_empty()).unwrap_or_else(PoisonError::into_inner);
            lines.is_writing = true;
            std::mem::swap(&mut lines.waiting, &mut batch);
            drop(lines);
            // There is nowhere to say that stderr is gone.
            let _ = to.write_all(&batch);
            batch.clear();
            thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes lines, once the test lets it.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Taken>, Condvar)>);

    #[derive(Default)]
    struct Taken {
        is_open: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn open(&self) {
            self.0.0.lock().expect("a lock").is_open = true;
            self.0.1.notify_all();
        }

        fn written(&self) -> String {
            String::from_utf8(self.0.0.lock().expect("a lock").bytes.clone()).expect("text")
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken =
                self.0.1.wait_while(self.0.0.lock().expect("a lock"), |taken| !taken.is_open).expect("a lock");
            taken.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_every_thread_is_written_whole_and_in_its_order() {
        let gate = Gate::default();
        gate.open();
        let background = Background::start(gate.clone()).expect("a thread");
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let mut background = background.clone();
                thread::spawn(move || {
                    for number in 0..500 {
                        background.write_all(format!("{thread} {number}\n").as_bytes()).expect("it is taken");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it ends");
        }
        background.finish();
        let text = gate.written();
        for thread in 0..4 {
            let own: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} "))).collect();
            let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
            assert_eq!(own, expected);
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_stops_whoever_logs_instead_of_losing_lines() {
        let gate = Gate::default();
        let background = Background::start(gate.clone()).expect("a thread");
        let mut logging = background.clone();
        let line = vec![b'x'; 64 * 1024];
        let all = 40 * line.len();
        let logs = thread::spawn(move || (0..40).try_for_each(|_| logging.write_all(&line)));
        while background.0.lines().waiting.len() < MAX_WAITING {
            thread::yield_now();
        }
        assert!(!logs.is_finished(), "it waits for room");
        gate.open();
        logs.join().expect("it ends").expect("it is taken");
        background.finish();
        assert_eq!(gate.written().len(), all);
    }
}
