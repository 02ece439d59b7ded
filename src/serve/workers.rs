//! The number of threads that serve requests.

use std::thread;

use crate::config::ServerSettings;

/// Threads per server with these settings.
pub fn workers(settings: &ServerSettings) -> usize {
    match settings.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
    .min(MAX_WORKERS)
}

/// Most that the web server accepts.
const MAX_WORKERS: usize = 512;
