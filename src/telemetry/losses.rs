//! Counts the spans that are lost, and reports in the log that spans are being lost.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use url::Url;

use crate::{failure_log::FailureLog, metrics};

/// What is lost, and whether the pipeline is ending.
pub(super) struct Losses {
    endpoint: String,
    started: Instant,
    dropped: AtomicU64,
    is_full: AtomicBool,
    exports: FailureLog,
    queue: FailureLog,
    is_stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Losses {
    pub fn new(endpoint: &Url) -> Self {
        Self {
            endpoint: endpoint.to_string(),
            started: Instant::now(),
            dropped: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            exports: FailureLog::default(),
            queue: FailureLog::default(),
            is_stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    /// A span has found no room in the queue. Called on threads that serve requests.
    pub fn queue_full(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::spans::dropped(1);
        // Most calls come in bursts; only the first of a burst takes the lock.
        if !self.is_full.swap(true, Ordering::Relaxed) {
            let message =
                "spans are dropped: the queue for the collector is full (telemetry.queue_size, telemetry.sample_ratio)";
            self.queue.failed(self.started.elapsed(), message);
        }
    }

    /// The queue has room again.
    pub fn queue_emptied(&self) {
        if self.is_full.swap(false, Ordering::Relaxed) {
            self.queue.recovered("the queue for the collector has room again");
        }
    }

    /// The collector did not accept a batch.
    pub fn export_failed(&self, spans: u64, reason: &str) {
        if spans == 0 {
            return;
        }
        self.dropped.fetch_add(spans, Ordering::Relaxed);
        metrics::spans::dropped(spans);
        let message = format!("spans are dropped: {reason} ({})", self.endpoint);
        self.exports.failed(self.started.elapsed(), &message);
    }

    /// The collector accepted a batch.
    pub fn export_succeeded(&self) {
        self.exports.recovered("the collector accepts spans again");
    }

    /// How many spans are lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends all waiting: see [`Self::wait`].
    pub fn begin_stop(&self) {
        *self.is_stopping.lock() = true;
        self.stopped.notify_all();
    }

    /// Waits before another attempt. Returns `false`, at once, when the pipeline is ending.
    pub fn wait(&self, delay: std::time::Duration) -> bool {
        let mut is_stopping = self.is_stopping.lock();
        self.stopped
            .wait_while_for(&mut is_stopping, |is_stopping| !*is_stopping, delay);
        !*is_stopping
    }

    /// Logs how many spans this server has lost.
    pub fn report_total(&self) {
        match self.dropped() {
            0 => {}
            lost => log::warn!(
                "{lost} spans were dropped since the start of this server, for {}",
                self.endpoint
            ),
        }
    }
}
