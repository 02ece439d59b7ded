//! The session store failed.

use crate::redis::RedisFailure;

/// Redis did not do what was asked, so the site does not know who is signed in.
#[derive(Debug, Clone, thiserror::Error)]
#[error("sessions are unavailable: {0}")]
pub struct StoreError(String);

impl StoreError {
    pub(super) fn new(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<RedisFailure> for StoreError {
    fn from(failure: RedisFailure) -> Self {
        Self(failure.to_string())
    }
}
