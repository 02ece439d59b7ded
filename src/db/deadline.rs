//! How long a request may wait for and use the database in all, however many pieces of work it has for it.

use std::time::{Duration, Instant};

tokio::task_local! {
    static UNTIL: Instant;
}

/// Runs `request`, whose work on the database must end within `time`, all of it together.
pub async fn within<F: Future>(time: Duration, request: F) -> F::Output {
    UNTIL.scope(Instant::now() + time, request).await
}

/// When the work must end: with the request, or after `time` where there is none.
pub(super) fn until(time: Duration) -> Instant {
    let latest = Instant::now() + time;
    UNTIL.try_with(|until| latest.min(*until)).unwrap_or(latest)
}
