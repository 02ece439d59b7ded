//! How long one request may wait for Redis, in all its commands together.

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

/// Runs what serves one request.
pub async fn of_request<T>(serve: impl Future<Output = T>) -> T {
    SPENT.scope(Cell::new(Duration::ZERO), serve).await
}

/// What this request may still wait of `whole`; outside of a request, all of it.
pub fn left(whole: Duration) -> Duration {
    whole.saturating_sub(SPENT.try_with(Cell::get).unwrap_or_default())
}

/// Notes that this request has waited.
pub fn spend(waited: Duration) {
    let _ = SPENT.try_with(|spent| spent.set(spent.get().saturating_add(waited)));
}

/// Does `work`, which blocks this thread until `deadline` at most.
pub fn until<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    /// Also when it panics: the thread serves others later.
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

/// What a command on this thread may take, `at_most`.
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
        of_request(async {
            spend(SECOND);
            assert_eq!(left(SECOND * 2), SECOND);
            spend(SECOND * 2);
            assert_eq!(left(SECOND * 2), Duration::ZERO);
        })
        .await;
        spend(SECOND);
        assert_eq!(left(SECOND * 2), SECOND * 2, "this is no request");
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
