//! How long a request may wait for and use the database in total, for all its pieces of work together.

use std::time::{Duration, Instant};

tokio::task_local! {
    static UNTIL: Instant;
}

/// Runs `request`; all its work on the database must end within `time`.
pub async fn within<F: Future>(time: Duration, request: F) -> F::Output {
    UNTIL.scope(Instant::now() + time, request).await
}

/// The deadline of work that may take `time`: the request's own deadline, if that is earlier.
pub(super) fn until(time: Duration) -> Instant {
    let latest = Instant::now() + time;
    UNTIL.try_with(|until| latest.min(*until)).unwrap_or(latest)
}
