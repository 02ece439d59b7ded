//! Bounds the queue of finished spans, and counts those for which there is no room.
//!
//! OpenTelemetry's batch processor has a bound, too, but does not report its losses before it ends.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor},
};

use super::losses::Losses;

/// Passes spans to the batch processor while there is room.
#[derive(Debug)]
pub(super) struct BoundedQueue {
    batches: BatchSpanProcessor,
    room: Room,
}

/// How many spans may still wait for the collector or be on the way to it. A clone shares the count.
#[derive(Clone)]
pub(super) struct Room {
    queued: Arc<AtomicUsize>,
    limit: usize,
    losses: Arc<Losses>,
}

impl BoundedQueue {
    pub fn new(batches: BatchSpanProcessor, room: Room) -> Self {
        Self { batches, room }
    }
}

impl SpanProcessor for BoundedQueue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.room.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

impl Room {
    /// Room for `limit` spans.
    pub fn new(limit: usize, losses: Arc<Losses>) -> Self {
        Self {
            queued: Arc::default(),
            limit,
            losses,
        }
    }

    /// Takes room for a span; otherwise counts it as lost.
    fn enter(&self) -> bool {
        let has_room = self.queued.fetch_add(1, Ordering::Relaxed) < self.limit;
        if !has_room {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.losses.queue_full();
        }
        has_room
    }

    /// Gives the room of these spans back, since the collector has them or they are lost. Returns how many still had room: none
    /// after [`Self::close`].
    pub fn leave(&self, spans: usize) -> usize {
        let before = self
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                Some(queued.saturating_sub(spans))
            });
        self.losses.queue_emptied();
        before.unwrap_or_default().min(spans)
    }

    /// Gives up all spans that have room. Returns how many.
    pub fn close(&self) -> usize {
        self.queued.swap(0, Ordering::Relaxed)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_without_room_are_counted_and_room_is_given_back() {
        let losses = Arc::new(Losses::new(&"http://collector".parse().expect("a URL")));
        let room = Room::new(2, Arc::clone(&losses));
        assert_eq!(
            [room.enter(), room.enter(), room.enter(), room.enter()],
            [true, true, false, false]
        );
        assert_eq!(losses.dropped(), 2);
        assert_eq!(room.leave(1), 1);
        assert_eq!([room.enter(), room.enter()], [true, false]);
        assert_eq!((losses.dropped(), room.close()), (3, 2));
        assert_eq!(room.leave(2), 0, "they were given up already");
    }
}
