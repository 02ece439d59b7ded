//! Connections to Redis, and what the last failed attempt to get one says about Redis.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{Client, Connection, ConnectionLike as _, ErrorKind, RedisError, RedisResult, TlsCertificates};

use super::error::RedisSetupError;
use crate::config::RedisSettings;

/// A pool of connections.
pub(super) type Pool = r2d2::Pool<ConnectionManager>;

/// Creates and checks connections for the pool.
pub(super) struct ConnectionManager {
    client: Client,
    timeout: Duration,
    epoch: CurrentEpoch,
    last_error: LastError,
}

/// A connection, and the epoch in which it was made.
pub(super) struct PooledConnection {
    pub(super) connection: Connection,
    pub(super) epoch: Epoch,
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
        let Some(url) = &settings.url else { return Ok(None) };
        let client = match &settings.ca_file {
            None => Client::open(url.expose()),
            Some(path) => {
                let pem = fs::read(path).map_err(|reason| RedisSetupError::CaFile {
                    path: path.clone(),
                    reason,
                })?;
                Client::build_with_tls(
                    url.expose(),
                    TlsCertificates {
                        client_tls: None,
                        root_cert: Some(pem),
                    },
                )
            }
        };
        let client = client.map_err(RedisSetupError::Client)?;
        Ok(Some(Self {
            client,
            timeout: settings.timeout,
            epoch: epoch.clone(),
            last_error: last_error.clone(),
        }))
    }

    fn try_connect(&self) -> RedisResult<PooledConnection> {
        let epoch = self.epoch.get();
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(PooledConnection {
            connection,
            epoch,
            is_tainted: false,
        })
    }
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
