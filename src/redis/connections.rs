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

use super::servers::{Connection, Servers};
use crate::passwords::Password;

/// A connection that is younger than this has found the current servers of a cluster.
const FAILOVER_PAUSE: Duration = Duration::from_millis(500);

/// A connection authenticates again this long before its password expires, and up to this much earlier. The source has a newer
/// password five minutes before.
const RENEW_BEFORE: Duration = Duration::from_mins(3);
const RENEW_JITTER: Duration = Duration::from_secs(90);

/// A pool of connections.
pub(super) type Pool = r2d2::Pool<ConnectionManager>;

/// Creates and checks connections for the pool.
pub(super) struct ConnectionManager {
    servers: Arc<Servers>,
    epoch: CurrentEpoch,
    last_error: LastError,
}

/// A connection, and the epoch in which it was made.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    pub(super) epoch: Epoch,
    made_at: Instant,
    /// When the password expires, and when to send the next one.
    expiry: Option<Expiry>,
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
    pub(super) fn new(servers: &Arc<Servers>, epoch: &CurrentEpoch, last_error: &LastError) -> Self {
        Self {
            servers: Arc::clone(servers),
            epoch: epoch.clone(),
            last_error: last_error.clone(),
        }
    }

    fn try_connect(&self) -> RedisResult<PooledConnection> {
        // Before the connection is made: it is outdated if another one fails meanwhile.
        let epoch = self.epoch.get();
        let (connection, password) = self.servers.connect()?;
        Ok(PooledConnection {
            connection,
            epoch,
            expiry: password.as_ref().and_then(Expiry::of),
            made_at: Instant::now(),
            is_tainted: false,
        })
    }
}

impl ConnectionManager {
    /// Whether the server will accept commands on this connection for a while. Authenticates again if it is time to do so.
    fn is_authenticated(&self, pooled: &mut PooledConnection) -> bool {
        let now = Instant::now();
        let Some(expiry) = pooled.expiry else { return true };
        if now < expiry.renew_at {
            return true;
        }
        if now >= expiry.at {
            return false;
        }
        match self.servers.authenticate_again(&mut pooled.connection) {
            Ok(Some(password)) => {
                pooled.expiry = Expiry::of(&password);
                true
            }
            // A new connection takes its place. Its failure is reported to the request.
            Ok(None) | Err(_) => false,
        }
    }
}

/// The end of a password.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    /// When the server closes the connection.
    at: Instant,
    /// When to authenticate again.
    renew_at: Instant,
}

impl Expiry {
    /// `None` if the password does not say when it expires.
    fn of(password: &Password) -> Option<Self> {
        let (now, left) = (Instant::now(), password.time_left()?);
        // Not all connections at once.
        let margin = (RENEW_BEFORE + RENEW_JITTER.mul_f64(rand::random())).min(left / 3);
        Some(Self {
            at: now + left,
            renew_at: now + left.saturating_sub(margin),
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
        let problem = if pooled.epoch != self.epoch.get() {
            "the connection is from before the last failure"
        } else if !self.is_authenticated(pooled) {
            "the password of the connection expires"
        } else {
            return Ok(());
        };
        self.last_error.set(Some(PoolFailure::Outdated));
        Err((ErrorKind::Io, problem).into())
    }

    fn has_broken(&self, pooled: &mut PooledConnection) -> bool {
        pooled.is_tainted || !pooled.connection.is_open() || pooled.epoch != self.epoch.get()
    }
}
