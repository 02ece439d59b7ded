//! What the registry knows of one connection. The connection writes it, and any thread may read it.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    task::Waker,
};

use futures_util::task::AtomicWaker;

use crate::serve::Source;

/// Lowest rate at which a client may read a response, once it has stalled for `server.send_seconds`.
const MIN_BYTES_PER_SECOND: u64 = 2048;

/// How the registry wants a connection to close. A later request can only be stricter than an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CloseMode {
    /// Stay open.
    None = 0,
    /// Close between two requests.
    WhenIdle = 1,
    /// Close because the head of a request takes too long.
    HeadTimeout = 2,
    /// Close at once.
    Abort = 3,
}

/// What a connection does. Times are milliseconds on the clock of the registry, which is never 0.
#[derive(Debug)]
pub struct ConnectionState {
    source: Option<Source>,
    /// Whether the server was full when it came: then it serves probes only.
    pub is_reserve: bool,
    close_mode: AtomicU8,
    waker: AtomicWaker,
    /// Requests that are being served.
    active: AtomicU32,
    /// When the last request ended, or the connection began; 0 while a request is under way.
    idle_since: AtomicU64,
    /// When the first byte of an unfinished head arrived; 0 without one.
    head_since: AtomicU64,
    /// When the client first accepted no bytes of the response under way; 0 while it accepts them.
    stalled_since: AtomicU64,
    /// Bytes that it has accepted since.
    sent: AtomicU64,
}

impl ConnectionState {
    pub(super) fn new(source: Option<Source>, is_reserve: bool, now: u64) -> Self {
        Self {
            source,
            is_reserve,
            close_mode: AtomicU8::new(CloseMode::None as u8),
            waker: AtomicWaker::new(),
            active: AtomicU32::new(0),
            idle_since: AtomicU64::new(now),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// How to close.
    pub fn close_mode(&self) -> CloseMode {
        match self.close_mode.load(Ordering::Relaxed) {
            0 => CloseMode::None,
            1 => CloseMode::WhenIdle,
            2 => CloseMode::HeadTimeout,
            _ => CloseMode::Abort,
        }
    }

    /// Asks the connection to close, and wakes its task.
    pub(super) fn close(&self, mode: CloseMode) {
        self.close_mode.fetch_max(mode as u8, Ordering::Relaxed);
        self.waker.wake();
    }

    /// The task to wake when the connection must close.
    pub fn wake_on_close(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The client's address, as far as it is counted; `None` for a Unix socket.
    pub fn source(&self) -> Option<Source> {
        self.source
    }

    /// The first byte of a head has arrived.
    pub fn begin_head(&self, now: u64) {
        self.head_since.store(now, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
    }

    /// The head is complete.
    pub fn end_head(&self) {
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// A request is being served.
    pub fn begin_request(&self) {
        // If the client still does not read, the next write notes the stall again.
        self.stalled_since.store(0, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        self.idle_since.store(0, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// The response is complete.
    pub fn end_request(&self, now: u64) {
        if self.active.fetch_sub(1, Ordering::Relaxed) == 1 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.idle_since.store(now, Ordering::Relaxed);
        }
    }

    /// Whether a request is being served.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }

    /// When it became idle; `None` while it is not.
    pub(super) fn idle_since(&self) -> Option<u64> {
        Some(self.idle_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// When an unfinished head began, if there is one.
    pub(super) fn head_since(&self) -> Option<u64> {
        Some(self.head_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// The client accepts no bytes.
    pub fn stall(&self, now: u64) {
        if self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.sent.store(0, Ordering::Relaxed);
            self.stalled_since.store(now, Ordering::Relaxed);
        }
    }

    /// The client accepted bytes of a response that had stalled.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The client has accepted everything.
    pub fn clear_stall(&self) {
        self.stalled_since.store(0, Ordering::Relaxed);
    }

    /// Whether the client has read too slowly since it stalled, `send_timeout_ms` or longer ago.
    pub(super) fn reads_too_slowly(&self, now: u64, send_timeout_ms: u64) -> bool {
        let since = self.stalled_since.load(Ordering::Relaxed);
        let ms = now.saturating_sub(since);
        let least = ms.saturating_mul(MIN_BYTES_PER_SECOND) / 1000;
        since != 0 && ms >= send_timeout_ms && self.sent.load(Ordering::Relaxed) < least
    }

    #[cfg(test)]
    pub(super) fn set_idle_since(&self, since: u64) {
        self.idle_since.store(since, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_must_read_and_not_too_slowly() {
        let state = ConnectionState::new(Some(Source::V4(1)), false, 1);
        assert!(!state.reads_too_slowly(40_000, 30_000), "nothing has stalled");
        state.stall(1000);
        assert!(!state.reads_too_slowly(30_000, 30_000), "29 seconds");
        assert!(state.reads_too_slowly(31_000, 30_000));
        state.add_sent(1);
        assert!(state.reads_too_slowly(31_000, 30_000), "a byte is too little");
        state.add_sent(100_000);
        assert!(!state.reads_too_slowly(31_000, 30_000));
        assert!(state.reads_too_slowly(120_000, 30_000), "it has stopped");
        state.clear_stall();
        assert!(!state.reads_too_slowly(120_000, 30_000));
    }
}
