//! Connections to Redis, and what the last failed attempt to get one says about Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, RedisResult};

use super::{
    error::RedisSetupError,
    servers::{Connection, Servers},
};
use crate::config::RedisSettings;

/// A connection that is younger than this has found the current servers of a cluster.
const FAILOVER_PAUSE: Duration = Duration::from_millis(500);

/// A pool of connections.
pub(super) type Pool = r2d2::Pool<ConnectionManager>;

/// Creates and checks connections for the pool.
pub(super) struct ConnectionManager {
    servers: Servers,
    epoch: CurrentEpoch,
    last_error: LastError,
}

/// A connection, and the epoch in which it was made.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    pub(super) epoch: Epoch,
    made_at: Instant,
    /// Whether a late response to an earlier command may still arrive: the connection must not be used again.
    pub(super) is_tainted: bool,
}

/// The time between two failures of Redis. When a connection fails, all others of its epoch are dropped too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(pub(super) usize);

/// The epoch of connections that may be used. A clone shares it.
#[derive(Clone, Default)]
pub(super) struct CurrentEpoch(Arc<AtomicUsize>);

impl CurrentEpoch {
    pub(super) fn get(&self) -> Epoch {
        Epoch(self.0.load(Ordering::Acquire))
    }

    /// Begins the next epoch after `failed`: once, however many connections of that epoch fail.
    pub(super) fn end(&self, Epoch(failed): Epoch) {
        // If it does not match, another connection has ended the epoch.
        let next = failed.wrapping_add(1);
        let _ = self
            .0
            .compare_exchange(failed, next, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Why the pool got no connection last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolFailure {
    /// Redis did not accept a connection.
    NotConnected,
    /// An idle connection was from an earlier epoch, which says nothing about Redis now.
    Outdated,
}

/// The failure since the last successful connection, if any. A clone shares it.
#[derive(Clone, Default)]
pub(super) struct LastError(Arc<Mutex<Option<PoolFailure>>>);

impl LastError {
    fn set(&self, failure: Option<PoolFailure>) {
        *self.0.lock() = failure;
    }

    pub(super) fn take(&self) -> Option<PoolFailure> {
        self.0.lock().take()
    }
}

impl ConnectionManager {
    /// `None` when the settings name no Redis.
    pub(super) fn from_settings(
        settings: &RedisSettings,
        epoch: &CurrentEpoch,
        last_error: &LastError,
    ) -> Result<Option<Self>, RedisSetupError> {
        Ok(Servers::from_settings(settings)?.map(|servers| Self {
            servers,
            epoch: epoch.clone(),
            last_error: last_error.clone(),
        }))
    }

    fn try_connect(&self) -> RedisResult<PooledConnection> {
        // Before the connection is made: it is outdated if another one fails meanwhile.
        let epoch = self.epoch.get();
        Ok(PooledConnection {
            connection: self.servers.connect()?,
            epoch,
            made_at: Instant::now(),
            is_tainted: false,
        })
    }
}

impl PooledConnection {
    /// What to do after a command that failed with `error`, and had `left` to complete.
    pub(super) fn failed(&mut self, error: &RedisError, epoch: &CurrentEpoch, left: Duration, fair: Duration) {
        let is_lost = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
        if !is_lost && !is_read_only(error) {
            return;
        }
        let is_unfair = error.is_timeout() && left < fair;
        // A new connection has found the servers that there are now, so the others need not look again: while a cluster
        // or a Sentinel has not chosen another primary, every command fails.
        let is_current = self.made_at.elapsed() < FAILOVER_PAUSE && (self.connection.is_cluster() || !is_lost);
        self.is_tainted = true;
        if !is_unfair && !is_current {
            epoch.end(self.epoch);
        }
    }
}

/// Whether the server is a replica, and has not run the command: the primary is another server now.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    // Before Redis 7, a script's error has the code ERR, and the cause in its text.
    error.code() == Some("READONLY") || error.detail().is_some_and(|detail| detail.contains("READONLY"))
}

impl r2d2::ManageConnection for ConnectionManager {
    type Connection = PooledConnection;
    type Error = RedisError;

    fn connect(&self) -> RedisResult<PooledConnection> {
        let connected = self.try_connect();
        let failure = connected.is_err().then_some(PoolFailure::NotConnected);
        self.last_error.set(failure);
        connected
    }

    fn is_valid(&self, pooled: &mut PooledConnection) -> RedisResult<()> {
        if pooled.epoch == self.epoch.get() {
            return Ok(());
        }
        self.last_error.set(Some(PoolFailure::Outdated));
        Err((ErrorKind::Io, "the connection is from before the last failure").into())
    }

    fn has_broken(&self, pooled: &mut PooledConnection) -> bool {
        pooled.is_tainted || !pooled.connection.is_open() || pooled.epoch != self.epoch.get()
    }
}
