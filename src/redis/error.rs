//! Errors of Redis.

use std::{io, path::PathBuf};

use redis::RedisError;

use crate::{blocking_pool::PoolError, passwords::PasswordError};

/// The reason of a command that was not sent, because Redis was down a moment ago.
const SKIPPED: &str = "Redis was not reachable a moment ago";

/// Redis did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct RedisFailure(String);

impl RedisFailure {
    /// An error with this reason.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }

    pub(super) fn too_slow() -> Self {
        Self::new("Redis does not answer in time")
    }

    pub(super) fn skipped() -> Self {
        Self::new(SKIPPED)
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.0 == SKIPPED
    }
}

impl From<PoolError> for RedisFailure {
    fn from(error: PoolError) -> Self {
        Self::new(error)
    }
}

impl From<RedisError> for RedisFailure {
    fn from(error: RedisError) -> Self {
        Self::new(error)
    }
}

/// Why the Redis settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// The CA file cannot be read.
    #[error("redis.ca_file {path} cannot be read: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The system starts no threads.
    #[error("cannot start threads for requests to Redis: {0}")]
    Threads(io::Error),
    /// The source of passwords cannot be set up.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The URL or the certificates cannot be used.
    #[error("redis.url cannot be used: {0}")]
    Client(RedisError),
}
