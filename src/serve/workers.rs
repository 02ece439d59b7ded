//! How many threads serve requests.

use std::thread;

use crate::config::ServerSettings;

/// How many, per server, with these settings.
pub fn workers(settings: &ServerSettings) -> usize {
    match settings.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
    .min(MAX)
}

/// Most that the web server takes.
const MAX: usize = 512;
