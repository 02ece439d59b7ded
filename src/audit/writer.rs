//! The thread that writes the trail: it numbers and chains the events in the queue, and appends them.
//!
//! Lines are written at once, and synced to the disk at most once per [`SYNC_INTERVAL`]: a killed process loses only what was
//! in the queue, a power failure loses at most about a second. When writing fails, events stay in the queue and are retried; the
//! queue is bounded, and what does not fit is counted and becomes a line once writing works again.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    chain::Head,
    damaged_bytes::DamagedBytes,
    event::{Event, Origin, Record},
    line,
    queue::{Batch, Queue},
    sink::Sink,
};
use crate::failure_log::FailureLog;

/// Shortest time between two syncs.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Time before a failed write is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often an idle thread checks whether the file was renamed.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    queue: Arc<Queue>,
    sink: Sink,
    role: &'static str,
    head: Head,
    /// What is at the end of the sink, behind the last line.
    damaged: Option<DamagedBytes>,
    /// Whether only the line break of the last line is missing.
    owes_line_break: bool,
    /// Where the trail goes, for messages.
    target: String,
    log: FailureLog,
    started_at: Instant,
    synced_at: Option<Instant>,
    is_unsynced: bool,
}

impl Writer {
    pub fn new(queue: Arc<Queue>, sink: Sink, role: &'static str, head: Head, target: String) -> Self {
        Self {
            queue,
            sink,
            role,
            head,
            damaged: None,
            owes_line_break: false,
            target,
            log: FailureLog::default(),
            started_at: Instant::now(),
            synced_at: None,
            is_unsynced: false,
        }
    }

    /// The same, if the sink ends in bytes that are not a line. The next line declares them.
    pub fn after_damage(mut self, damaged: Option<DamagedBytes>) -> Self {
        self.damaged = damaged;
        self
    }

    /// Writes until the queue is closed and empty, or writing fails while it is closed.
    pub fn run(&mut self) {
        loop {
            let wait = if self.is_unsynced || self.queue.is_counting() {
                SYNC_INTERVAL
            } else {
                IDLE_INTERVAL
            };
            let Batch { records, is_closing } = self.queue.take(wait);
            let is_last = records.is_empty() && is_closing;
            let (unwritten, failure) = self.write(records, is_last);
            let failed = failure.is_some();
            if let Some(failure) = &failure {
                let message = format!("the audit trail cannot be written to {}: {failure}", self.target);
                self.log.failed(self.started_at.elapsed(), &message);
            } else {
                let message = format!("the audit trail is written to {} again", self.target);
                self.log.recovered(&message);
            }
            self.queue.done(unwritten, failure);
            if is_last || (failed && is_closing) {
                break;
            }
            if failed {
                self.queue.pause(RETRY_INTERVAL);
            }
        }
        // Closes the file, so that its lock is free.
        self.sink = Sink::Stream(Box::new(io::sink()));
        let left = self.queue.end();
        if left > 0 {
            log::error!("{left} events of the audit trail were not written to {}", self.target);
        }
    }

    /// Writes the events, and returns those that were not written, with the reason.
    fn write(&mut self, records: Vec<Record>, is_last: bool) -> (Vec<Record>, Option<String>) {
        let mut records = records;
        let outcome = self.append(&mut records).and_then(|()| self.sync_if_due(is_last));
        (records, outcome.err().map(|error| error.to_string()))
    }

    /// Appends the events as lines, and removes those that were written from the list.
    fn append(&mut self, records: &mut Vec<Record>) -> io::Result<()> {
        if records.is_empty() {
            return self.sink.prepare(0, &self.head);
        }
        let mut bytes = Vec::new();
        // For each line, where it ends and the head after it.
        let mut ends = Vec::new();
        let mut head = self.head.clone();
        if self.owes_line_break {
            bytes.push(b'\n');
        }
        if let Some(damaged) = &self.damaged {
            if damaged.needs_line_break() {
                bytes.push(b'\n');
            }
            let declared = damaged.declaration();
            let event = Event::DamagedTail {
                bytes: declared.bytes,
                sha256: declared.sha256,
                interrupted: damaged.needs_line_break(),
            };
            records.insert(0, Record::new(event, Origin::default()));
        }
        for record in &*records {
            let (text, next) = line::render(record, self.role, &head).map_err(io::Error::other)?;
            bytes.extend_from_slice(text.as_bytes());
            ends.push((bytes.len(), next.clone()));
            head = next;
        }
        let declares_damage = self.damaged.is_some();
        let outcome = self
            .sink
            .prepare(bytes.len(), &self.head)
            .map_err(|error| (0, error))
            .and_then(|()| {
                self.sink
                    .write(&bytes)
                    .map_err(|partial| (partial.written, partial.error))
            });
        let written = outcome.as_ref().err().map_or(bytes.len(), |(written, _)| *written);
        let whole = ends.iter().take_while(|(end, _)| *end <= written).count();
        let mut end_of_lines = 0;
        if self.owes_line_break && written > 0 {
            self.owes_line_break = false;
            end_of_lines = 1;
        }
        if let Some((end, last)) = whole.checked_sub(1).and_then(|at| ends.get(at)) {
            self.head = last.clone();
            self.sink.save_head(&self.head);
            self.damaged = None;
            self.is_unsynced = true;
            end_of_lines = *end;
        }
        records.drain(..whole);
        let torn = bytes.get(end_of_lines..written).unwrap_or_default();
        let is_torn = !torn.is_empty() && !self.sink.remove_last(torn.len());
        if let Some((end, next)) = ends.get(whole)
            && is_torn
            && *end == written + 1
        {
            // All but the line break is there, so it is a line.
            self.head = next.clone();
            self.sink.save_head(&self.head);
            self.damaged = None;
            self.is_unsynced = true;
            self.owes_line_break = true;
            records.remove(0);
            return outcome.map_err(|(_, error)| error);
        }
        if declares_damage && whole == 0 {
            // The next attempt declares it anew.
            records.remove(0);
        }
        if is_torn {
            match &mut self.damaged {
                Some(damaged) => damaged.add(torn),
                none => *none = Some(DamagedBytes::new(torn)),
            }
        }
        outcome.map_err(|(_, error)| error)
    }

    fn sync_if_due(&mut self, is_last: bool) -> io::Result<()> {
        let is_due = self.synced_at.is_none_or(|at| at.elapsed() >= SYNC_INTERVAL);
        if self.is_unsynced && (is_due || is_last) {
            self.sink.sync()?;
            self.is_unsynced = false;
            self.synced_at = Some(Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parking_lot::Mutex;

    use super::*;
    use crate::audit::{Expectations, Report, Verifier};

    /// Accepts `room` bytes, then fails like a full disk.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (content, room) = &mut *self.0.lock();
            let part = &bytes[..bytes.len().min(*room)];
            if part.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.extend_from_slice(part);
            *room -= part.len();
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn report(disk: &Disk) -> Report {
        let mut verifier = Verifier::new(Expectations::default());
        verifier.file("disk", disk.0.lock().0.as_slice()).unwrap();
        verifier.finish()
    }

    fn records(ids: std::ops::Range<i64>) -> Vec<Record> {
        ids.map(|post_id| Record::new(Event::PostCreated { post_id }, Origin::default()))
            .collect()
    }

    #[test]
    fn a_disk_that_fills_up_after_any_byte_loses_no_event_and_leaves_a_chain_that_verifies() {
        let length = {
            let disk = Disk::default();
            disk.0.lock().1 = usize::MAX;
            let sink = Sink::Stream(Box::new(disk.clone()));
            let mut writer = Writer::new(Arc::default(), sink, "api", Head::new_chain(), "disk".to_owned());
            writer.write(records(0..3), false);
            disk.0.lock().0.len()
        };
        // With one byte more, every line is there.
        for room in 0..length - 1 {
            let disk = Disk::default();
            disk.0.lock().1 = room;
            let sink = Sink::Stream(Box::new(disk.clone()));
            let mut writer = Writer::new(Arc::default(), sink, "api", Head::new_chain(), "disk".to_owned());
            let (unwritten, failure) = writer.write(records(0..3), false);
            assert!(failure.is_some(), "{room}");
            // A second attempt has a little more room.
            disk.0.lock().1 = room % 7;
            let (unwritten, failure) = writer.write(unwritten, false);
            assert!(failure.is_some(), "{room}");
            disk.0.lock().1 = usize::MAX;
            let (unwritten, failure) = writer.write(unwritten, true);
            assert!(unwritten.is_empty() && failure.is_none(), "{room}");
            let text = String::from_utf8(disk.0.lock().0.clone()).unwrap();
            for id in 0..3 {
                let count = text
                    .lines()
                    .filter(|line| line.ends_with('}') && line.contains(&format!("\"post_id\":{id},")))
                    .count();
                assert_eq!(count, 1, "{room}: {text}");
            }
            let report = report(&disk);
            // Bytes of two failed attempts, even if the second wrote only the line break, are more than one interrupted line.
            let is_torn_twice = report
                .findings
                .iter()
                .all(|finding| !finding.problem.contains("missing"));
            assert!(
                report.is_intact() || (room % 7 > 0 && is_torn_twice),
                "{room}: {report:?}"
            );
        }
    }
}
