//! What connections may take, so that many that do nothing, or one that does it slowly, keep nobody out.

use std::{thread, time::Duration};

use crate::config::ServerSettings;

/// How long an idle connection is kept: longer than load balancers usually do, so that they end it, not we under them.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to end its side.
pub const DISCONNECT: Duration = Duration::from_secs(5);

/// How many threads serve requests with these settings.
pub fn workers(settings: &ServerSettings) -> usize {
    match settings.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// Most connections of each of those threads, so that all together have as many as the settings say.
pub fn connections_per_worker(settings: &ServerSettings) -> usize {
    settings.max_connections.div_ceil(workers(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_share_the_connections() {
        let with = |workers, max_connections| ServerSettings { workers, max_connections, ..ServerSettings::default() };
        assert_eq!(connections_per_worker(&with(4, 10_000)), 2500);
        assert_eq!(connections_per_worker(&with(3, 10)), 4, "rather one too many than one too few");
        assert_eq!(connections_per_worker(&with(8, 1)), 1, "never none");
        assert!(workers(&with(0, 1)) >= 1);
    }
}
