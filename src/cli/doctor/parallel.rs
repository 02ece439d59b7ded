//! Several things at once, each on a thread of its own: one that hangs holds up nobody.

use std::{sync::mpsc, thread, time::Instant};

/// What comes of each, in their order; `None` of one that has not ended by `deadline`, and is left behind.
pub fn side_by_side<T, F>(works: Vec<F>, deadline: Instant) -> Vec<Option<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let start = |work: F| {
        let (send, receive) = mpsc::channel();
        // Who waited too long is no longer there.
        thread::spawn(move || drop(send.send(work())));
        receive
    };
    let started: Vec<_> = works.into_iter().map(start).collect();
    let outcome = |running: mpsc::Receiver<T>| {
        running
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()
    };
    started.into_iter().map(outcome).collect()
}
