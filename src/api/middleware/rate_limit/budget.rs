//! A budget: one rate limit for each key, and how responses report it.

use std::{hash::Hash, num::NonZeroU32, time::Duration};

use actix_web::http::header::{HeaderName, HeaderValue};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::Clock,
    middleware::{StateInformationMiddleware, StateSnapshot},
};

use super::store::BoundedStore;
use crate::{
    api::problem::Problem,
    metrics,
    quota::{Admission, Leases, QuotaKey, SharedQuota},
    redis::RedisClient,
};

/// Most addresses or callers that each budget stores: some 20 MB for all budgets together.
pub(super) const MAX_KEYS: u64 = 20_000;

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetName {
    /// All requests of an address.
    Address,
    /// Health probes of an address.
    Probes,
    /// Rejected access tokens of an address.
    Failures,
    /// Reads of a caller.
    Reads,
    /// Writes of a caller.
    Writes,
    /// Searches of a caller.
    Searches,
}

impl BudgetName {
    /// The name in the `RateLimit` headers.
    fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Probes => "probes",
            Self::Failures => "failures",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Searches => "searches",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Address => "too many requests from this address",
            Self::Probes => "too many health probes from this address",
            Self::Failures => "too many rejected access tokens from this address",
            Self::Reads => "too many reads by this caller",
            Self::Writes => "too many writes by this caller",
            Self::Searches => "too many searches by this caller",
        }
    }
}

/// One limit for each key.
pub(super) struct Budget<K: Hash + Eq + Clone + Send + Sync + 'static, C: Clock> {
    limiter: RateLimiter<K, BoundedStore<K>, C, StateInformationMiddleware>,
    /// The part that replicas share; `None` when each one counts alone.
    shared: Option<Leases<K>>,
    interval: Duration,
    burst: u32,
    clock: C,
    name: BudgetName,
    policy: HeaderValue,
}

impl<K: QuotaKey + Hash + Eq + Clone + Send + Sync + 'static, C: Clock + Clone> Budget<K, C> {
    /// Allows `rate` requests per `period`, and `burst` requests at once.
    pub fn new(name: BudgetName, rate: NonZeroU32, period: Duration, burst: NonZeroU32, clock: C) -> Self {
        let interval = period
            .checked_div(rate.get())
            .filter(|interval| !interval.is_zero())
            .unwrap_or(Duration::from_nanos(1));
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_second(rate))
            .allow_burst(burst);
        let window = whole_seconds(interval.saturating_mul(burst.get()));
        let policy = format!("\"{}\";q={burst};w={window}", name.as_str());
        Self {
            limiter: RateLimiter::new(quota, BoundedStore::new(MAX_KEYS), clock.clone()),
            shared: None,
            interval,
            burst: burst.get(),
            clock,
            name,
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("")),
        }
    }

    /// The same budget, shared by all replicas with this Redis.
    pub fn shared_in(mut self, redis: Option<&RedisClient>) -> Self {
        self.shared = redis.map(|redis| {
            let quota = SharedQuota::new(redis.clone(), self.name.as_str(), self.interval, self.burst);
            Leases::new(quota, MAX_KEYS)
        });
        self
    }

    /// Counts a request of `key`, and returns what is left. Waits only when the budget is shared, and this process has
    /// nothing left of it.
    ///
    /// # Errors
    /// When the budget is used up.
    pub async fn take(&self, key: &K) -> Result<Remaining, Exceeded> {
        let mut remaining = self.take_here(key)?;
        if let Some(shared) = &self.shared {
            match shared.admit(key).await {
                Admission::Admitted(left) => remaining.requests = remaining.requests.min(left),
                Admission::Refused(wait) => return Err(self.exceeded_for(wait)),
                Admission::Unshared => {}
            }
        }
        Ok(remaining)
    }

    /// Like [`Self::take`], for this process alone.
    ///
    /// # Errors
    /// When the budget is used up.
    pub fn take_here(&self, key: &K) -> Result<Remaining, Exceeded> {
        match self.limiter.check_key(key) {
            Ok(snapshot) => Ok(self.remaining(&snapshot)),
            Err(not_until) => Err(self.exceeded(&not_until)),
        }
    }

    /// The rejection for a key that has to wait this long.
    pub fn exceeded_for(&self, wait: Duration) -> Exceeded {
        Exceeded {
            name: self.name,
            policy: self.policy.clone(),
            wait,
        }
    }

    fn exceeded(&self, not_until: &NotUntil<C::Instant>) -> Exceeded {
        self.exceeded_for(not_until.wait_time_from(self.clock.now()))
    }

    fn remaining(&self, snapshot: &StateSnapshot) -> Remaining {
        Remaining {
            name: self.name,
            policy: self.policy.clone(),
            requests: snapshot.remaining_burst_capacity(),
        }
    }
}

/// What is left of a budget.
#[derive(Debug)]
pub struct Remaining {
    name: BudgetName,
    policy: HeaderValue,
    requests: u32,
}

impl Remaining {
    /// The headers of the response to the counted request.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 2] {
        headers(self.policy, &format!("\"{}\";r={}", self.name.as_str(), self.requests))
    }
}

/// A budget is used up.
#[derive(Debug)]
pub struct Exceeded {
    /// Which one.
    pub name: BudgetName,
    policy: HeaderValue,
    /// How long until the next request is allowed.
    pub wait: Duration,
}

impl Exceeded {
    /// Counts the rejected request.
    pub fn count(&self) {
        metrics::limits::rate_limited(self.name.as_str());
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        let Exceeded { name, policy, wait } = exceeded;
        let seconds = whole_seconds(wait).max(1);
        let headers = headers(policy, &format!("\"{}\";r=0;t={seconds}", name.as_str()));
        Self::too_many_requests(name.detail(), seconds, headers.to_vec())
    }
}

fn headers(policy: HeaderValue, state: &str) -> [(HeaderName, HeaderValue); 2] {
    let state = HeaderValue::try_from(state).unwrap_or(HeaderValue::from_static(""));
    [(POLICY, policy), (STATE, state)]
}

/// The time in seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
