//! Limits failed sign-ins per client address. Each sign-in costs a request to Entra ID and a signature, possibly in a
//! vault with a quota: a client that makes up codes by the thousand must not use up what others need.
//!
//! Only Entra ID knows whether a code is valid. So a sign-in reserves a part of the budget before Entra ID is asked,
//! and returns it unless it fails: however many arrive at once, no more are tried than may fail.
//!
//! With Redis, all replicas share the budget. While Redis does not answer, each replica has its own.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest,
    rt::time::{sleep, timeout},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, sync::Notify};

use crate::{
    metrics,
    quota::{SharedQuota, Taken, Unavailable},
    redis::RedisClient,
    serve::{Source, TrustedProxies},
};

/// Most failures within [`WINDOW`] from one address: more than users behind one shared address cause.
const BURST: u32 = 30;
const MAX_FAILURES: usize = BURST as usize;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_mins(1);
/// The shared budget regains one failure in this time.
const INTERVAL: Duration = WINDOW.checked_div(BURST).expect("not zero");
/// How often a sign-in asks for a part of the shared budget while others use it up.
const RETRY: Duration = Duration::from_millis(500);
/// How long a sign-in waits for others from its address that have reserved the rest of the budget.
const WAIT: Duration = Duration::from_secs(15);
/// Most addresses that have a budget.
const MAX_SOURCES: u64 = 20_000;

/// The budgets of all addresses.
pub struct FailureLimit {
    proxies: TrustedProxies,
    budgets: Cache<Source, Arc<Budget>>,
    /// The part that replicas share; `None` without Redis.
    shared: Option<SharedQuota>,
}

#[derive(Default)]
struct Budget {
    used: Mutex<Used>,
    /// Signals that a reservation was returned, or has become a failure.
    settled: Notify,
}

#[derive(Default)]
struct Used {
    /// Times of the failures that still count, the oldest first.
    failures: VecDeque<Instant>,
    /// Sign-ins whose outcome is not known yet.
    reserved: usize,
}

/// A part of an address's budget. Dropping it without [`Reservation::fail`] returns it.
#[derive(Default)]
pub struct Reservation {
    here: Option<Arc<Budget>>,
    shared: Option<SharedReservation>,
}

struct SharedReservation {
    quota: SharedQuota,
    source: Source,
    /// The one that serves the request. The reservation may be dropped on a thread for blocking work, whose runtime runs no tasks.
    runtime: Handle,
}

/// Why nothing can be reserved.
enum Exhausted {
    /// By failures alone, for this long.
    ByFailures(Duration),
    /// By failures and sign-ins in progress.
    InProgress,
}

impl FailureLimit {
    /// Full budgets for all addresses. `proxies` may name the client that they forward a request for.
    /// All replicas with this Redis share them.
    pub fn new(proxies: TrustedProxies, redis: Option<RedisClient>) -> Self {
        let budgets = Cache::builder()
            .max_capacity(MAX_SOURCES)
            .eviction_policy(EvictionPolicy::lru());
        Self {
            proxies,
            budgets: budgets.time_to_idle(WINDOW * 2).build(),
            shared: redis.map(|redis| SharedQuota::new(redis, "sign_ins", INTERVAL, BURST)),
        }
    }

    /// Reserves one failure for the address that sent `request`. Waits briefly for sign-ins in progress.
    ///
    /// # Errors
    /// The seconds to wait, when the address has used up its budget.
    pub async fn reserve(&self, request: &HttpRequest) -> Result<Reservation, u64> {
        let Some(source) = self.source(request) else {
            return Ok(Reservation::default());
        };
        let budget = self.budgets.get_with(source, Arc::default);
        let reserved = timeout(WAIT, async {
            let reservation = Reservation {
                here: Some(budget.reserve().await?),
                shared: None,
            };
            self.reserve_shared(source, reservation).await
        });
        reserved.await.unwrap_or(Err(WINDOW)).map_err(|left| {
            metrics::limits::rate_limited("sign_ins");
            log::warn!("too many sign-ins from one address failed: further ones are rejected for a while");
            left.as_secs().max(1)
        })
    }

    /// Adds a part of the shared budget. If there is nothing left and other sign-ins from this address are in progress, some of
    /// it may belong to sign-ins that succeed: this one waits a little for them.
    async fn reserve_shared(&self, source: Source, mut reservation: Reservation) -> Result<Reservation, Duration> {
        let Some(shared) = &self.shared else {
            return Ok(reservation);
        };
        let give_up = Instant::now() + INTERVAL;
        let is_alone = || {
            reservation
                .here
                .as_ref()
                .is_none_or(|budget| budget.used().reserved <= 1)
        };
        loop {
            match shared.take(&source, 1).await {
                Ok(Taken { granted: 0, wait, .. }) if is_alone() || Instant::now() >= give_up => {
                    return Err(wait.max(INTERVAL));
                }
                Ok(Taken { granted: 0, .. }) => sleep(RETRY).await,
                Ok(_) => {
                    reservation.shared = Some(SharedReservation {
                        quota: shared.clone(),
                        source,
                        runtime: Handle::current(),
                    });
                    return Ok(reservation);
                }
                Err(Unavailable) => return Ok(reservation),
            }
        }
    }

    fn source(&self, request: &HttpRequest) -> Option<Source> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.proxies.source(peer, request.headers())
    }
}

impl Budget {
    /// Reserves one failure in this process, and waits while sign-ins in progress have reserved all that is left.
    async fn reserve(self: &Arc<Self>) -> Result<Arc<Self>, Duration> {
        loop {
            // Enabled before the attempt, so that no signal in between is missed.
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            match self.try_reserve(Instant::now()) {
                Ok(()) => return Ok(Arc::clone(self)),
                Err(Exhausted::ByFailures(left)) => return Err(left),
                Err(Exhausted::InProgress) => settled.await,
            }
        }
    }

    fn try_reserve(&self, now: Instant) -> Result<(), Exhausted> {
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
            return Err(Exhausted::ByFailures(
                WINDOW.saturating_sub(now.saturating_duration_since(*oldest)),
            ));
        }
        if used.failures.len() + used.reserved >= MAX_FAILURES {
            return Err(Exhausted::InProgress);
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
        self.used.lock()
    }
}

impl Reservation {
    /// Counts the sign-in as failed, because of what the browser sent.
    pub fn fail(mut self) {
        self.shared = None;
        if let Some(budget) = self.here.take() {
            budget.settle(Some(Instant::now()));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(budget) = self.here.take() {
            budget.settle(None);
        }
        if let Some(shared) = self.shared.take() {
            shared.quota.give_back(&shared.source, &shared.runtime);
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
        FailureLimit::new(TrustedProxies::default(), None)
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
    async fn a_successful_sign_in_returns_its_reservation() {
        let failures = failures();
        for _ in 0..MAX_FAILURES * 3 {
            drop(failures.reserve(&from("192.0.2.1:1")).await.ok().unwrap());
        }
    }

    #[actix_web::test]
    async fn of_many_sign_ins_at_once_no_more_are_tried_than_may_fail() {
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
    async fn a_waiting_sign_in_continues_when_others_succeed() {
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
