//! Reports failures of a request's session to the code that answers the request.
//!
//! The session middleware would answer such a failure itself, without the pages and headers of this site. So the store
//! reports success to it, and records the failure here.

use std::{cell::Cell, future::Future};

use crate::web::storage::StoreError;

/// What went wrong with the session of the request that this task serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionFailure {
    /// The session could not be read: the site does not know who sent the request.
    NotRead,
    /// The changes of the request to its session are lost.
    NotWritten,
    /// The session ended while the request was served. It must not come back, not even as a cookie.
    Ended,
}

tokio::task_local! {
    static FAILURE: Cell<Option<SessionFailure>>;
}

/// Serves a request, and returns what went wrong with its session.
pub async fn track_failures<T>(serve: impl Future<Output = T>) -> (T, Option<SessionFailure>) {
    FAILURE
        .scope(Cell::new(None), async { (serve.await, current_failure()) })
        .await
}

/// What has gone wrong with the session so far.
pub fn current_failure() -> Option<SessionFailure> {
    FAILURE.try_with(Cell::get).ok().flatten()
}

/// Records a failure, unless an earlier one is recorded.
pub(super) fn record_failure(failure: SessionFailure) {
    // Outside a request, as in a unit test, there is nothing to record.
    let _ = FAILURE.try_with(|first| first.set(Some(first.get().unwrap_or(failure))));
}

/// Removes a recorded failure of this kind.
pub(super) fn clear_failure(failure: SessionFailure) {
    let _ = FAILURE.try_with(|first| first.set(first.get().filter(|recorded| *recorded != failure)));
}

/// The value of `outcome`. On an error, logs it, records `failure` and returns `default`.
pub(super) fn or_record_failure<T>(outcome: Result<T, StoreError>, failure: SessionFailure, default: T) -> T {
    outcome.unwrap_or_else(|error| {
        log::error!("{error}");
        record_failure(failure);
        default
    })
}
