//! Limits how long one request may wait for Redis, in all its commands together.

use std::{
    cell::Cell,
    future::Future,
    time::{Duration, Instant},
};

tokio::task_local! {
    static SPENT: Cell<Duration>;
}

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Serves one request with a full budget.
pub async fn with_budget<T>(serve: impl Future<Output = T>) -> T {
    SPENT.scope(Cell::new(Duration::ZERO), serve).await
}

/// How much of `whole` this request may still wait. Outside a request: all of it.
pub fn left(whole: Duration) -> Duration {
    whole.saturating_sub(SPENT.try_with(Cell::get).unwrap_or_default())
}

/// Deducts the time that this request has waited.
pub fn spend(waited: Duration) {
    let _ = SPENT.try_with(|spent| spent.set(spent.get().saturating_add(waited)));
}

/// Runs `work`, which may block this thread until `deadline`.
pub fn until<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    /// Resets the deadline even when the work panics: the thread serves other requests later.
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            DEADLINE.set(None);
        }
    }
    DEADLINE.set(Some(deadline));
    let _reset = Reset;
    work()
}

/// How long a command on this thread may take, `at_most`.
pub fn left_here(at_most: Duration) -> Duration {
    match DEADLINE.get() {
        Some(deadline) => at_most.min(deadline.saturating_duration_since(Instant::now())),
        None => at_most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[actix_web::test]
    async fn a_request_waits_no_longer_than_its_budget_however_many_commands_it_has() {
        assert_eq!(left(SECOND * 2), SECOND * 2);
        with_budget(async {
            spend(SECOND);
            assert_eq!(left(SECOND * 2), SECOND);
            spend(SECOND * 2);
            assert_eq!(left(SECOND * 2), Duration::ZERO);
        })
        .await;
        spend(SECOND);
        assert_eq!(left(SECOND * 2), SECOND * 2, "outside a request");
    }

    #[test]
    fn a_deadline_holds_for_its_own_work_only() {
        until(Instant::now(), || assert_eq!(left_here(SECOND), Duration::ZERO));
        assert_eq!(left_here(SECOND), SECOND);
        let panics = std::panic::catch_unwind(|| until(Instant::now(), || panic!("at work")));
        assert!(panics.is_err());
        assert_eq!(left_here(SECOND), SECOND);
    }
}
