//! Runs several functions at once, each on its own thread, so that one that hangs does not delay the others.

use std::{sync::mpsc, thread, time::Instant};

/// The results in the order of `functions`; `None` for a function that has not returned by `deadline`. Its thread keeps running.
pub fn run_parallel<T, F>(functions: Vec<F>, deadline: Instant) -> Vec<Option<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let start = |function: F| {
        let (send, receive) = mpsc::channel();
        // Fails if the caller has stopped waiting.
        thread::spawn(move || drop(send.send(function())));
        receive
    };
    let started: Vec<_> = functions.into_iter().map(start).collect();
    let outcome = |running: mpsc::Receiver<T>| {
        running
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()
    };
    started.into_iter().map(outcome).collect()
}
