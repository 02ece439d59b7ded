//! Log lines on their way to stderr, written by a thread of its own.
//!
//! Otherwise each request would pay for a `write` of its own, and wait for the other threads' writes. A line is on its way
//! for [`GATHER`] at most. A reader that stops (a hung log collector, a full disk, a terminal on which somebody pressed Ctrl-S)
//! must not stop the server: when [`MAX_WAITING`] bytes wait, the next line waits [`WAIT_FOR_ROOM`] for room, then it is
//! dropped and counted. Until the reader has taken what waits, further lines are dropped at once. Then one line says how many
//! are lost. What waits when the process is killed (and not told to stop) is lost.

use std::{
    io::{self, ErrorKind, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(5);
/// Most bytes that wait; as many again may be with the thread that writes.
const MAX_WAITING: usize = 1024 * 1024;
/// How long a line waits for room. Only the first line waits: those that come while it is dropped are dropped at once.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(10);
/// How soon a non-blocking stderr that takes nothing is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Longest wait at the end for a reader that takes nothing any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the line that says how many lines are lost.
pub(super) type LossNotice = fn(u64) -> String;

/// A handle to the lines that wait. A clone is another handle to the same.
#[derive(Clone)]
pub(super) struct Background(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Lines came, for the thread that writes.
    came: Condvar,
    /// Lines went, for a thread that waits for room or for the end.
    went: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    /// Lines dropped since the thread that writes has last taken what waits.
    dropped: u64,
    is_writing: bool,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(to: impl Write + Send + 'static, notice: LossNotice) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            came: Condvar::new(),
            went: Condvar::new(),
        });
        let background = Self(Arc::clone(&shared));
        crate::background::spawn_once("log", move || shared.write_to(to, notice))?;
        Ok(background)
    }

    /// Waits until every line is written, [`PATIENCE`] at most. Gives whether they are.
    pub(super) fn finish(&self) -> bool {
        let is_busy = |lines: &mut Lines| lines.is_writing || !lines.waiting.is_empty();
        let ended = self.0.went.wait_while_for(&mut self.0.lines(), is_busy, PATIENCE);
        !ended.timed_out()
    }
}

impl Write for Background {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines();
        let is_full = |lines: &mut Lines| lines.dropped == 0 && !lines.has_room_for(line);
        if is_full(&mut lines) {
            self.0.went.wait_while_for(&mut lines, is_full, WAIT_FOR_ROOM);
        }
        if lines.dropped > 0 || !lines.has_room_for(line) {
            lines.dropped = lines.dropped.saturating_add(1);
            return Ok(line.len());
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

impl Lines {
    /// One line is always taken: a long one must not be lost without need.
    fn has_room_for(&self, line: &[u8]) -> bool {
        self.waiting.is_empty() || self.waiting.len().saturating_add(line.len()) <= MAX_WAITING
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Nothing that holds the lock can leave it half changed.
        self.lines.lock()
    }

    fn write_to(&self, mut to: impl Write, notice: LossNotice) {
        let mut batch = Vec::new();
        // Lines that were taken and could not be written, as while a disk is full.
        let mut failed = 0_u64;
        let mut is_line_open = false;
        loop {
            let mut lines = self.lines();
            lines.is_writing = false;
            self.went.notify_all();
            self.came.wait_while(&mut lines, |lines| lines.waiting.is_empty());
            lines.is_writing = true;
            std::mem::swap(&mut lines.waiting, &mut batch);
            let dropped = std::mem::take(&mut lines.dropped);
            drop(lines);
            self.went.notify_all();
            if failed > 0 {
                // They are older than the batch. A line that was cut off is ended first.
                let cut = if is_line_open { "\n" } else { "" };
                let Ok(()) = write_whole(&mut to, format!("{cut}{}", notice(failed)).as_bytes()) else {
                    failed = failed.saturating_add(lines_in(&batch)).saturating_add(dropped);
                    batch.clear();
                    thread::sleep(GATHER);
                    continue;
                };
                (failed, is_line_open) = (0, false);
            }
            if dropped > 0 {
                batch.extend_from_slice(notice(dropped).as_bytes());
            }
            if let Err(rest) = write_whole(&mut to, &batch) {
                // The notice itself is a line too.
                let notices = u64::from(dropped > 0);
                failed = lines_in(rest).saturating_sub(notices).saturating_add(dropped);
                is_line_open =
                    rest.len() < batch.len() && !batch.get(..batch.len() - rest.len()).is_some_and(ends_line);
            }
            batch.clear();
            thread::sleep(GATHER);
        }
    }
}

/// Writes all of it, however long that takes, unless the other end is gone or fails. The error is what was not written.
fn write_whole<'b>(to: &mut impl Write, mut bytes: &'b [u8]) -> Result<(), &'b [u8]> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(bytes),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has made the pipe that it shares with this one non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN),
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

    /// Takes lines, once the test lets it, and as many bytes as it has room for.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Taken>, Condvar)>);

    #[derive(Default)]
    struct Taken {
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
            let mut taken = self.0.0.lock();
            self.0.1.wait_while(&mut taken, |taken| !taken.is_open);
            if taken.is_full {
                return Err(ErrorKind::StorageFull.into());
            }
            // A pipe takes a part at a time.
            let part = &bytes[..bytes.len().min(1000)];
            taken.bytes.extend_from_slice(part);
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
                            .expect("it is taken");
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
    fn a_reader_that_takes_nothing_costs_lines_and_neither_time_nor_memory() {
        let gate = Gate::default();
        let mut background = start(&gate);
        let line = format!("{}\n", "x".repeat(999));
        // If each of them waited, this would take 1,000 s.
        let count = 100_000;
        for _ in 0..count {
            background.write_all(line.as_bytes()).expect("it is taken");
        }
        assert!(background.0.lines().waiting.len() <= MAX_WAITING);
        assert!(
            !background.finish(),
            "the reader is stuck, and the end does not wait for it"
        );
        gate.open();
        assert!(background.finish());
        background.write_all(b"and on it goes\n").expect("it is taken");
        assert!(background.finish());
        let text = gate.written();
        let written = text.lines().filter(|line| line.starts_with('x')).count();
        let told: Vec<_> = text.lines().filter(|line| line.ends_with(" lost")).collect();
        assert_eq!(
            told,
            [format!("{} lost", count - written)],
            "one line counts all of them"
        );
        assert!(text.ends_with(" lost\nand on it goes\n"));
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_when_it_has_room_again() {
        let gate = Gate::default();
        gate.open();
        let mut background = start(&gate);
        background.write_all(b"before\n").expect("it is taken");
        assert!(background.finish());
        gate.set_full(true);
        for _ in 0..3 {
            background.write_all(b"meanwhile\n").expect("it is taken");
            assert!(background.finish(), "a write that fails holds up nobody");
        }
        gate.set_full(false);
        background.write_all(b"after\n").expect("it is taken");
        assert!(background.finish());
        assert_eq!(gate.written(), "before\n3 lost\nafter\n");
    }

    #[test]
    fn a_line_longer_than_the_queue_is_written_when_nothing_else_waits() {
        let gate = Gate::default();
        gate.open();
        let mut background = start(&gate);
        let line = "y".repeat(2 * MAX_WAITING) + "\n";
        background.write_all(line.as_bytes()).expect("it is taken");
        while !background.finish() {}
        assert_eq!(gate.written(), line);
    }
}
