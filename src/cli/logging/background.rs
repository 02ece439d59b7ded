//! A thread that writes the log lines to stderr.
//!
//! Otherwise each request would pay for its own `write`, and wait for those of other threads. A line waits at most
//! [`BATCH_INTERVAL`]. A reader that stops (a hung log collector, a full disk, a terminal after Ctrl-S) must not stop the server:
//! if [`MAX_QUEUED`] bytes are in the queue, the next line waits up to [`FULL_QUEUE_WAIT`] for space, then it is dropped and
//! counted. Until the reader has accepted the queue, further lines are dropped at once. Then one line reports how many are lost.
//! Lines in the queue are also lost if the process is killed.

use std::{
    io::{self, ErrorKind, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::metrics;

/// How long lines are collected before they are written together.
const BATCH_INTERVAL: Duration = Duration::from_millis(5);
/// Most bytes in the queue. The writing thread may hold as many again.
const MAX_QUEUED: usize = 1024 * 1024;
/// How long a line waits for space in the queue. Only the first line waits; the following ones are dropped at once.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(10);
/// Time before a non-blocking stderr that accepted nothing is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait at the end of the process for a reader that is stuck.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Formats the line that reports how many lines are lost.
pub(super) type LossNotice = fn(u64) -> String;

/// A handle to the queue of lines. Clones share the queue.
#[derive(Clone)]
pub(super) struct Background(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Wakes the writing thread when lines are in the queue.
    lines_queued: Condvar,
    /// Wakes threads that wait for space in the queue or for its end.
    lines_written: Condvar,
}

#[derive(Default)]
struct Lines {
    queue: Vec<u8>,
    /// Lines dropped since the writing thread last emptied the queue.
    dropped: u64,
    is_writing: bool,
}

impl Background {
    /// Starts the writing thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(to: impl Write + Send + 'static, notice: LossNotice) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            lines_queued: Condvar::new(),
            lines_written: Condvar::new(),
        });
        let background = Self(Arc::clone(&shared));
        crate::background::spawn_once("log", move || shared.write_to(to, notice))?;
        Ok(background)
    }

    /// Waits at most [`FINISH_TIMEOUT`] until every line is written, and returns whether they are.
    pub(super) fn finish(&self) -> bool {
        let is_busy = |lines: &mut Lines| lines.is_writing || !lines.queue.is_empty();
        let ended = self
            .0
            .lines_written
            .wait_while_for(&mut self.0.lines(), is_busy, FINISH_TIMEOUT);
        !ended.timed_out()
    }
}

impl Write for Background {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines();
        let is_full = |lines: &mut Lines| lines.dropped == 0 && !lines.has_room_for(line);
        if is_full(&mut lines) {
            self.0
                .lines_written
                .wait_while_for(&mut lines, is_full, FULL_QUEUE_WAIT);
        }
        if lines.dropped > 0 || !lines.has_room_for(line) {
            lines.dropped = lines.dropped.saturating_add(1);
            metrics::logs::dropped(1);
            return Ok(line.len());
        }
        let is_first = lines.queue.is_empty() && !lines.is_writing;
        lines.queue.extend_from_slice(line);
        drop(lines);
        if is_first {
            self.0.lines_queued.notify_one();
        }
        Ok(line.len())
    }

    /// Does nothing: [`Background::finish`] waits for the queue.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// An empty queue accepts any line, so that a long one is not lost.
    fn has_room_for(&self, line: &[u8]) -> bool {
        self.queue.is_empty() || self.queue.len().saturating_add(line.len()) <= MAX_QUEUED
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock()
    }

    fn write_to(&self, mut to: impl Write, notice: LossNotice) {
        let mut batch = Vec::new();
        // Lines that left the queue but could not be written, for example because the disk is full.
        let mut failed = 0_u64;
        let mut is_line_open = false;
        loop {
            let mut lines = self.lines();
            lines.is_writing = false;
            self.lines_written.notify_all();
            self.lines_queued.wait_while(&mut lines, |lines| lines.queue.is_empty());
            lines.is_writing = true;
            std::mem::swap(&mut lines.queue, &mut batch);
            let dropped = std::mem::take(&mut lines.dropped);
            drop(lines);
            self.lines_written.notify_all();
            if failed > 0 {
                // They are older than the batch. A line that was cut off needs a line end first.
                let cut = if is_line_open { "\n" } else { "" };
                let Ok(()) = write_whole(&mut to, format!("{cut}{}", notice(failed)).as_bytes()) else {
                    let lost = lines_in(&batch);
                    metrics::logs::dropped(lost);
                    failed = failed.saturating_add(lost).saturating_add(dropped);
                    batch.clear();
                    thread::sleep(BATCH_INTERVAL);
                    continue;
                };
                (failed, is_line_open) = (0, false);
            }
            if dropped > 0 {
                batch.extend_from_slice(notice(dropped).as_bytes());
            }
            if let Err(rest) = write_whole(&mut to, &batch) {
                // The notice is a line, too.
                let notices = u64::from(dropped > 0);
                let lost = lines_in(rest).saturating_sub(notices);
                metrics::logs::dropped(lost);
                failed = lost.saturating_add(dropped);
                is_line_open =
                    rest.len() < batch.len() && !batch.get(..batch.len() - rest.len()).is_some_and(ends_line);
            }
            batch.clear();
            thread::sleep(BATCH_INTERVAL);
        }
    }
}

/// Writes all bytes, however long it takes, unless the reader is gone or writing fails. The error contains the bytes that were not
/// written.
fn write_whole<'b>(to: &mut impl Write, mut bytes: &'b [u8]) -> Result<(), &'b [u8]> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(bytes),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has made the shared pipe non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Err(_) => return Err(bytes),
        }
    }
    Ok(())
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes
        .split(|byte| *byte == b'\n')
        .skip(1)
        .count()
        .try_into()
        .unwrap_or(u64::MAX)
}

fn ends_line(bytes: &[u8]) -> bool {
    bytes.last() == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts lines once the test opens it, a part at a time.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Written>, Condvar)>);

    #[derive(Default)]
    struct Written {
        is_open: bool,
        is_full: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn open(&self) {
            self.0.0.lock().is_open = true;
            self.0.1.notify_all();
        }

        /// Like a disk: further writes fail, until there is room again.
        fn set_full(&self, is_full: bool) {
            self.0.0.lock().is_full = is_full;
        }

        fn written(&self) -> String {
            String::from_utf8(self.0.0.lock().bytes.clone()).expect("text")
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.0.lock();
            self.0.1.wait_while(&mut written, |written| !written.is_open);
            if written.is_full {
                return Err(ErrorKind::StorageFull.into());
            }
            // A pipe may accept only a part.
            let part = &bytes[..bytes.len().min(1000)];
            written.bytes.extend_from_slice(part);
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lost(count: u64) -> String {
        format!("{count} lost\n")
    }

    fn start(gate: &Gate) -> Background {
        Background::start(gate.clone(), lost).expect("a thread")
    }

    #[test]
    fn every_line_of_every_thread_is_written_whole_and_in_its_order() {
        let gate = Gate::default();
        gate.open();
        let background = start(&gate);
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let mut background = background.clone();
                thread::spawn(move || {
                    for number in 0..500 {
                        background
                            .write_all(format!("{thread} {number}\n").as_bytes())
                            .expect("accepted");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it ends");
        }
        assert!(background.finish());
        let text = gate.written();
        for thread in 0..4 {
            let own: Vec<_> = text
                .lines()
                .filter_map(|line| line.strip_prefix(&format!("{thread} ")))
                .collect();
            let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
            assert_eq!(own, expected);
        }
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_but_neither_time_nor_memory() {
        let gate = Gate::default();
        let mut background = start(&gate);
        let line = format!("{}\n", "x".repeat(999));
        // If each of them waited, this would take 1,000 s.
        let count = 100_000;
        for _ in 0..count {
            background.write_all(line.as_bytes()).expect("accepted");
        }
        assert!(background.0.lines().queue.len() <= MAX_QUEUED);
        assert!(
            !background.finish(),
            "the reader is stuck, and the end does not wait for it"
        );
        gate.open();
        assert!(background.finish());
        background.write_all(b"and on it goes\n").expect("accepted");
        assert!(background.finish());
        let text = gate.written();
        let written = text.lines().filter(|line| line.starts_with('x')).count();
        let notices: Vec<_> = text.lines().filter(|line| line.ends_with(" lost")).collect();
        assert_eq!(
            notices,
            [format!("{} lost", count - written)],
            "one line counts all of them"
        );
        assert!(text.ends_with(" lost\nand on it goes\n"));
    }

    #[test]
    fn lines_that_a_full_disk_rejects_are_counted_when_it_has_space_again() {
        let gate = Gate::default();
        gate.open();
        let mut background = start(&gate);
        background.write_all(b"before\n").expect("accepted");
        assert!(background.finish());
        gate.set_full(true);
        for _ in 0..3 {
            background.write_all(b"meanwhile\n").expect("accepted");
            assert!(background.finish(), "a failed write delays no other");
        }
        gate.set_full(false);
        background.write_all(b"after\n").expect("accepted");
        assert!(background.finish());
        assert_eq!(gate.written(), "before\n3 lost\nafter\n");
    }

    #[test]
    fn a_line_longer_than_the_queue_is_written_if_the_queue_is_empty() {
        let gate = Gate::default();
        gate.open();
        let mut background = start(&gate);
        let line = "y".repeat(2 * MAX_QUEUED) + "\n";
        background.write_all(line.as_bytes()).expect("accepted");
        while !background.finish() {}
        assert_eq!(gate.written(), line);
    }
}
