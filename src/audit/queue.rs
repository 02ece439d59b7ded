//! The events that wait for the writing thread: a bounded queue that never blocks the threads that serve requests.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};

use super::{
    event::{Event, Origin, Record},
    repeats::RepeatFilter,
};
use crate::metrics::audit::TrailState;

/// Most events in the queue, including those that are being written: a few MiB.
pub(super) const MAX_QUEUED: usize = 8192;
/// Most events that are written together.
const MAX_BATCH: usize = 512;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writing thread.
    changed: Condvar,
    /// Wakes a thread that waits for the end of the writing thread.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    in_flight: usize,
    lost: Option<Loss>,
    lost_total: u64,
    repeats: RepeatFilter,
    is_closing: bool,
    has_ended: bool,
    /// Why the last write failed; `None` if it succeeded.
    failure: Option<String>,
}

struct Loss {
    events: u64,
    since: DateTime<Utc>,
}

/// What the writing thread takes at once.
pub(super) struct Batch {
    pub records: Vec<Record>,
    pub is_closing: bool,
}

impl Queue {
    /// Adds an event, or counts it as lost if the queue is full.
    pub fn push(&self, record: Record) {
        let mut state = self.state.lock();
        let Some(record) = state.repeats.admit(Instant::now(), record) else {
            return;
        };
        if state.is_closing || state.records.len() + state.in_flight >= MAX_QUEUED {
            state.lose(record.time);
            return;
        }
        state.records.push_back(record);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until there are events, the queue is closing, or the time is over; then takes what there is. Report the outcome to
    /// [`Self::done`].
    pub fn take(&self, at_most: Duration) -> Batch {
        let mut state = self.state.lock();
        let is_idle = |state: &mut State| state.records.is_empty() && !state.is_closing;
        self.changed.wait_while_for(&mut state, is_idle, at_most);
        // The writing thread panicked, and was restarted.
        for _ in 0..std::mem::take(&mut state.in_flight) {
            state.lose(Utc::now());
        }
        let repeated = if state.is_closing {
            state.repeats.flush()
        } else {
            state.repeats.due(Instant::now())
        };
        // Few, so that they may exceed the limit.
        state.records.extend(repeated);
        let count = state.records.len().min(MAX_BATCH);
        let mut records: Vec<Record> = state.records.drain(..count).collect();
        if state.records.is_empty()
            && let Some(Loss { events, since }) = state.lost.take()
        {
            let event = Event::EventsLost {
                reason: "not_written",
                events,
                since,
            };
            records.push(Record::new(event, Origin::default()));
        }
        state.in_flight = records.len();
        Batch {
            records,
            is_closing: state.is_closing,
        }
    }

    /// Returns the events that could not be written, and why, to the front of the queue.
    pub fn done(&self, unwritten: Vec<Record>, failure: Option<String>) {
        let mut state = self.state.lock();
        state.in_flight = 0;
        state.failure = failure;
        for record in unwritten.into_iter().rev() {
            state.records.push_front(record);
        }
    }

    /// Waits before a failed write is retried, but not while the queue is closing.
    pub fn pause(&self, at_most: Duration) {
        let mut state = self.state.lock();
        self.changed
            .wait_while_for(&mut state, |state| !state.is_closing, at_most);
    }

    /// Whether repeated events are being counted.
    pub fn is_counting(&self) -> bool {
        self.state.lock().repeats.is_counting()
    }

    /// Accepts no more events.
    pub fn close(&self) {
        self.state.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// The writing thread has ended. Returns how many events it leaves behind.
    pub fn end(&self) -> usize {
        let mut state = self.state.lock();
        state.has_ended = true;
        self.ended.notify_all();
        state.records.len()
    }

    /// Waits until the writing thread has ended, and returns whether it has.
    pub fn wait_for_end(&self, at_most: Duration) -> bool {
        let mut state = self.state.lock();
        let waited = self.ended.wait_while_for(&mut state, |state| !state.has_ended, at_most);
        !waited.timed_out()
    }

    /// Why the last write failed, and how many events were lost since the start.
    pub fn status(&self) -> (Option<String>, u64) {
        let state = self.state.lock();
        (state.failure.clone(), state.lost_total)
    }

    /// The same for metrics.
    pub fn trail_state(&self) -> TrailState {
        let state = self.state.lock();
        TrailState {
            waiting: state.records.len() + state.in_flight,
            lost: usize::try_from(state.lost_total).unwrap_or(usize::MAX),
            is_failing: state.failure.is_some(),
        }
    }
}

impl State {
    fn lose(&mut self, at: DateTime<Utc>) {
        self.lost_total = self.lost_total.saturating_add(1);
        let loss = self.lost.get_or_insert(Loss { events: 0, since: at });
        loss.events = loss.events.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(post_id: i64) -> Record {
        Record::new(Event::PostCreated { post_id }, Origin::default())
    }

    fn ids(batch: &Batch) -> Vec<i64> {
        let id = |record: &Record| match record.event {
            Event::PostCreated { post_id } => post_id,
            Event::EventsLost { events, .. } => -i64::try_from(events).unwrap(),
            _ => panic!("{record:?}"),
        };
        batch.records.iter().map(id).collect()
    }

    #[test]
    fn a_full_queue_loses_events_and_says_how_many_after_the_ones_before() {
        let queue = Queue::default();
        let more = 10;
        for id in 0..i64::try_from(MAX_QUEUED).unwrap() + more {
            queue.push(created(id));
        }
        assert_eq!(queue.status().1, 10);
        let mut all = Vec::new();
        loop {
            let batch = queue.take(Duration::ZERO);
            if batch.records.is_empty() {
                break;
            }
            assert!(batch.records.len() <= MAX_BATCH + 1);
            all.extend(ids(&batch));
            queue.done(Vec::new(), None);
        }
        let expected: Vec<i64> = (0..i64::try_from(MAX_QUEUED).unwrap()).chain([-more]).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_batch_that_was_taken_and_never_reported_is_lost_and_counted() {
        let queue = Queue::default();
        queue.push(created(1));
        queue.push(created(2));
        drop(queue.take(Duration::ZERO));
        queue.push(created(3));
        assert_eq!(ids(&queue.take(Duration::ZERO)), [3, -2]);
    }

    #[test]
    fn events_that_were_not_written_come_first_again_and_count_toward_the_limit() {
        let queue = Queue::default();
        queue.push(created(1));
        queue.push(created(2));
        let mut batch = queue.take(Duration::ZERO);
        for id in 3..=i64::try_from(MAX_QUEUED).unwrap() + 1 {
            queue.push(created(id));
        }
        assert_eq!(queue.status().1, 1, "two are being written");
        batch.records.remove(0);
        queue.done(batch.records, Some("full".to_owned()));
        assert_eq!(queue.status().0.as_deref(), Some("full"));
        assert_eq!(ids(&queue.take(Duration::ZERO))[..2], [2, 3]);
    }
}
