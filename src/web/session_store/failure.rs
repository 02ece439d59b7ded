//! What goes wrong with the session of a request, told to those who answer it.
//!
//! The session middleware would answer by itself, past everything that makes an answer a page of this site. So the store
//! says that all is well, and reports here what was not.

use std::{cell::Cell, future::Future};

use crate::web::storage::redis::StoreError;

/// What went wrong with the session of the request that this task serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody knows whose request it is.
    NotRead,
    /// What the request changed is lost.
    NotWritten,
    /// The session has ended while the request was served: it must not come back, not even as a cookie.
    Ended,
}

tokio::task_local! {
    static TROUBLE: Cell<Option<Trouble>>;
}

/// Runs what serves a request, and tells what was wrong with its session.
pub async fn noting_trouble<T>(serve: impl Future<Output = T>) -> (T, Option<Trouble>) {
    TROUBLE.scope(Cell::new(None), async { (serve.await, trouble()) }).await
}

/// What has been wrong so far.
pub fn trouble() -> Option<Trouble> {
    TROUBLE.try_with(Cell::get).ok().flatten()
}

/// Notes it, unless something else has been wrong before.
pub(super) fn note(kind: Trouble) {
    // Outside of a request, as in a test, nobody asks.
    let _ = TROUBLE.try_with(|trouble| trouble.set(Some(trouble.get().unwrap_or(kind))));
}

/// Takes a note back.
pub(super) fn forget(kind: Trouble) {
    let _ = TROUBLE.try_with(|trouble| trouble.set(trouble.get().filter(|noted| *noted != kind)));
}

/// `otherwise` in place of what could not be had, and a note of it.
pub(super) fn or_trouble<T>(outcome: Result<T, StoreError>, kind: Trouble, otherwise: T) -> T {
    outcome.unwrap_or_else(|error| {
        log::error!("{error}");
        note(kind);
        otherwise
    })
}
