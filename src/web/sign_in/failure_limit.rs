//! A budget of failed sign-ins for each address. Each costs a request to Entra and a signature, by a vault perhaps, which
//! counts them: whoever invents codes by the thousand must not use up what others need.
//!
//! Whether a code is good is known only after Entra was asked. So a sign-in reserves a part of the budget before, and gives it
//! back unless it fails: however many come at once, no more than the budget allows are tried.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, rt::time::timeout};
use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::serve::{Source, TrustedProxies};

/// Failures within [`WINDOW`] from one address: more than people make who share one.
const MAX_FAILURES: usize = 30;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_mins(1);
/// How long a sign-in waits for the outcome of others from its address that have reserved all that is left.
const WAIT: Duration = Duration::from_secs(15);
/// Most addresses remembered.
const MAX_SOURCES: u64 = 20_000;

/// The budgets of all addresses.
pub struct FailureLimit {
    proxies: TrustedProxies,
    budgets: Cache<Source, Arc<Budget>>,
}

#[derive(Default)]
struct Budget {
    used: Mutex<Used>,
    /// A reservation was given back, or has become a failure.
    settled: Notify,
}

#[derive(Default)]
struct Used {
    /// When each of the failures that still count happened, the oldest first.
    failures: VecDeque<Instant>,
    /// Sign-ins whose outcome is not known yet.
    reserved: usize,
}

/// A part of an address's budget. Dropped without [`Reservation::fail`], it is given back.
pub struct Reservation(Option<Arc<Budget>>);

/// Why nothing can be reserved.
enum Full {
    /// The failures alone use the budget up, for so long.
    Failures(Duration),
    /// The failures and the sign-ins under way.
    UnderWay,
}

impl FailureLimit {
    /// All full. `proxies` say for whom they ask.
    pub fn new(proxies: TrustedProxies) -> Self {
        let budgets = Cache::builder()
            .max_capacity(MAX_SOURCES)
            .eviction_policy(EvictionPolicy::lru());
        Self {
            proxies,
            budgets: budgets.time_to_idle(WINDOW * 2).build(),
        }
    }

    /// Reserves one failure for the address that sent `request`; waits a little for others that are under way.
    ///
    /// # Errors
    /// The seconds to wait, when the address has used its failures up.
    pub async fn reserve(&self, request: &HttpRequest) -> Result<Reservation, u64> {
        let Some(source) = self.source(request) else {
            return Ok(Reservation(None));
        };
        let budget = self.budgets.get_with(source, Arc::default);
        let wait = timeout(WAIT, async {
            loop {
                // Enabled before the look, so that nothing that is settled in between is missed.
                let settled = budget.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                match budget.try_reserve(Instant::now()) {
                    Ok(()) => return Ok(()),
                    Err(Full::Failures(left)) => return Err(left),
                    Err(Full::UnderWay) => settled.await,
                }
            }
        });
        match wait.await.unwrap_or(Err(WINDOW)) {
            Ok(()) => Ok(Reservation(Some(budget))),
            Err(left) => {
                log::warn!("too many sign-ins from one address failed: no more are tried for a while");
                Err(left.as_secs().max(1))
            }
        }
    }

    fn source(&self, request: &HttpRequest) -> Option<Source> {
        let peer = request.peer_addr()?.ip();
        Some(self.proxies.client(peer, request.headers()).into())
    }
}

impl Budget {
    fn try_reserve(&self, now: Instant) -> Result<(), Full> {
        let mut used = self.used();
        while used
            .failures
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW)
        {
            used.failures.pop_front();
        }
        if let Some(oldest) = used.failures.front()
            && used.failures.len() >= MAX_FAILURES
        {
            return Err(Full::Failures(
                WINDOW.saturating_sub(now.saturating_duration_since(*oldest)),
            ));
        }
        if used.failures.len() + used.reserved >= MAX_FAILURES {
            return Err(Full::UnderWay);
        }
        used.reserved += 1;
        Ok(())
    }

    fn settle(&self, failed_at: Option<Instant>) {
        let mut used = self.used();
        used.reserved = used.reserved.saturating_sub(1);
        used.failures.extend(failed_at);
        drop(used);
        self.settled.notify_waiters();
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Nothing that holds the lock can leave it half changed.
        self.used.lock()
    }
}

impl Reservation {
    /// The sign-in has failed, by what the browser brought.
    pub fn fail(mut self) {
        if let Some(budget) = self.0.take() {
            budget.settle(Some(Instant::now()));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            budget.settle(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{rt, test::TestRequest};
    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    fn from(address: &str) -> HttpRequest {
        TestRequest::default()
            .peer_addr(address.parse().unwrap())
            .to_http_request()
    }

    fn failures() -> FailureLimit {
        FailureLimit::new(TrustedProxies::default())
    }

    #[actix_web::test]
    async fn an_address_waits_after_many_failures_and_others_do_not() {
        let failures = failures();
        for _ in 0..MAX_FAILURES {
            failures.reserve(&from("192.0.2.1:1")).await.ok().unwrap().fail();
        }
        for port in [1, 2] {
            let seconds = failures
                .reserve(&from(&format!("192.0.2.1:{port}")))
                .await
                .err()
                .unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
        assert!(failures.reserve(&from("192.0.2.2:1")).await.is_ok());
    }

    #[actix_web::test]
    async fn what_succeeds_gives_its_part_back() {
        let failures = failures();
        for _ in 0..MAX_FAILURES * 3 {
            drop(failures.reserve(&from("192.0.2.1:1")).await.ok().unwrap());
        }
    }

    #[actix_web::test]
    async fn of_many_at_once_no_more_are_tried_than_may_fail() {
        let failures = failures();
        let request = from("192.0.2.1:1");
        let mut tried = Vec::new();
        while let Some(outcome) = failures.reserve(&request).now_or_never() {
            tried.push(outcome.ok().unwrap());
        }
        assert_eq!(tried.len(), MAX_FAILURES, "the next one waits");
        let waiting = join_all((0..MAX_FAILURES * 9).map(|_| failures.reserve(&request)));
        let fail = async {
            rt::task::yield_now().await;
            tried.into_iter().for_each(Reservation::fail);
        };
        let (outcomes, ()) = futures_util::future::join(waiting, fail).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.is_err()));
    }

    #[actix_web::test]
    async fn who_waits_goes_on_when_others_succeed() {
        let failures = failures();
        let request = from("192.0.2.1:1");
        let mut tried = Vec::new();
        for _ in 0..MAX_FAILURES {
            tried.push(failures.reserve(&request).await.ok().unwrap());
        }
        let succeed = async {
            rt::task::yield_now().await;
            tried.clear();
        };
        let (outcome, ()) = futures_util::future::join(failures.reserve(&request), succeed).await;
        assert!(outcome.is_ok());
    }

    #[test]
    fn a_failure_counts_for_a_minute() {
        let budget = Budget::default();
        let start = Instant::now();
        for _ in 0..MAX_FAILURES {
            assert!(budget.try_reserve(start).is_ok());
            budget.settle(Some(start));
        }
        assert!(budget.try_reserve(start + Duration::from_secs(59)).is_err());
        assert!(budget.try_reserve(start + WINDOW).is_ok());
    }
}
