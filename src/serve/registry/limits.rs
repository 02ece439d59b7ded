//! How many connections a server accepts, and how long they may take.

use std::time::Duration;

use crate::{config::ServerSettings, serve::descriptors};

/// Connections beyond the limit, for probes: they get `/health…` and nothing else.
pub(super) const PROBE_RESERVE: usize = 32;

/// The limits of one server.
#[derive(Debug, Clone)]
pub struct Limits {
    connections: usize,
    pub(super) per_source: usize,
    pub(super) head_ms: u64,
    pub(super) send_ms: u64,
}

impl Limits {
    /// The limits in the settings, as far as the file descriptors of this process allow.
    pub fn new(settings: &ServerSettings) -> Self {
        let room = descriptors::room_for_connections().unwrap_or(usize::MAX);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            connections: settings.max_connections.min(room.saturating_sub(PROBE_RESERVE).max(1)),
            per_source: settings.max_connections_per_address,
            head_ms: ms(settings.head_timeout),
            send_ms: ms(settings.send_timeout),
        }
    }

    /// Most connections at once, without the reserve for probes.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Most connections of each worker: enough for an uneven distribution, few enough that a flood waits in the system's
    /// queue instead of using up the descriptors.
    pub fn per_worker(&self, workers: usize) -> usize {
        (self.connections + PROBE_RESERVE).div_ceil(workers).saturating_add(64)
    }
}
