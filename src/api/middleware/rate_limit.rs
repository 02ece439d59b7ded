//! Rate limits: how much one address, and one caller, may request. They use the generic cell rate algorithm in this
//! process's memory and, with Redis, across all replicas. Without it, each replica counts separately.
//!
//! Six budgets:
//! - all requests of an address, checked before anything that costs time;
//! - health probes of an address, separate, so that other requests cannot use them up;
//! - rejected access tokens of an address, so that an attacker who guesses tokens does not make the server verify a
//!   signature for each guess;
//! - reads, writes and searches of a caller.
//!
//! Memory is bounded: each budget stores a fixed number of keys, and forgets the least recently used one first. A
//! forgotten key has its full budget again.

mod budget;
mod store;

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, http::Method};
use governor::clock::{Clock, DefaultClock};
use moka::{policy::EvictionPolicy, sync::Cache};

use self::budget::{Budget, BudgetName, MAX_KEYS};
pub use self::budget::{Exceeded, Remaining};
use crate::{
    blog::UserKey,
    config::ApiSettings,
    redis::RedisClient,
    serve::{Source, TrustedProxies},
};

/// Health probes that one address may always send. Load balancers and orchestrators send a few per second; the limit is
/// for floods. If the settings allow an address more requests than this, it may send as many probes.
const MIN_PROBES_PER_SECOND: u32 = 1000;
const MIN_PROBES_BURST: u32 = 2000;

/// The budgets of one server, shared by all workers.
pub struct RateLimits<C: Clock = DefaultClock> {
    proxies: TrustedProxies,
    /// `None` when rate limits are disabled.
    budgets: Option<Budgets<C>>,
}

struct Budgets<C: Clock> {
    requests: Budget<Source, C>,
    probes: Budget<Source, C>,
    failures: Budget<Source, C>,
    /// Until when an address's unknown tokens are rejected unverified.
    blocked: Cache<Source, Instant>,
    reads: Budget<UserKey, C>,
    writes: Budget<UserKey, C>,
    searches: Budget<UserKey, C>,
}

impl<C: Clock + Clone> Budgets<C> {
    fn new(clock: &C, settings: &ApiSettings, redis: Option<&RedisClient>) -> Self {
        let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let per_address =
            |name, rate, period, burst| Budget::new(name, number(rate), period, number(burst), clock.clone());
        let per_caller = |name, rate, burst| {
            let second = Duration::from_secs(1);
            Budget::new(name, number(rate), second, number(burst), clock.clone())
        };
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        Self {
            requests: per_address(
                BudgetName::Address,
                settings.limit_address_per_second,
                second,
                settings.limit_address_burst,
            )
            .shared_in(redis),
            // Health must not depend on Redis.
            probes: per_address(
                BudgetName::Probes,
                settings.limit_address_per_second.max(MIN_PROBES_PER_SECOND),
                second,
                settings.limit_address_burst.max(MIN_PROBES_BURST),
            ),
            failures: per_address(
                BudgetName::Failures,
                settings.limit_failures_per_minute,
                minute,
                settings.limit_failures_per_minute,
            )
            .shared_in(redis),
            blocked: Cache::builder()
                .max_capacity(MAX_KEYS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            reads: per_caller(
                BudgetName::Reads,
                settings.limit_reads_per_second,
                settings.limit_reads_burst,
            )
            .shared_in(redis),
            writes: per_caller(
                BudgetName::Writes,
                settings.limit_writes_per_second,
                settings.limit_writes_burst,
            )
            .shared_in(redis),
            searches: per_caller(
                BudgetName::Searches,
                settings.limit_searches_per_second,
                settings.limit_searches_burst,
            )
            .shared_in(redis),
        }
    }
}

impl RateLimits {
    /// With the limits of the settings, shared by all replicas if there is Redis.
    pub fn new(settings: &ApiSettings, proxies: TrustedProxies, redis: Option<&RedisClient>) -> Self {
        Self::with_clock(&DefaultClock::default(), settings, proxies, redis)
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with_clock(clock: &C, settings: &ApiSettings, proxies: TrustedProxies, redis: Option<&RedisClient>) -> Self {
        Self {
            proxies,
            budgets: settings.rate_limits.then(|| Budgets::new(clock, settings, redis)),
        }
    }

    /// Counts a request of an address, before anything else is done for it.
    ///
    /// # Errors
    /// When the address has used up its budget.
    pub async fn admit(&self, request: &HttpRequest) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, self.source(request)) else {
            return Ok(());
        };
        budgets
            .requests
            .take(&source)
            .await
            .map(drop)
            .inspect_err(Exceeded::count)
    }

    /// Counts a health probe of an address.
    ///
    /// # Errors
    /// When the address has used up its budget of probes.
    pub fn admit_probe(&self, request: &HttpRequest) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, self.source(request)) else {
            return Ok(());
        };
        budgets.probes.take_here(&source).map(drop).inspect_err(Exceeded::count)
    }

    /// The address that a request counts against; `None` when rate limits are disabled, or the request came over a Unix
    /// socket and no trusted proxy names its client.
    pub fn source(&self, request: &HttpRequest) -> Option<Source> {
        self.budgets.as_ref()?;
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.proxies.source(peer, request.headers())
    }

    /// Decides whether an unknown token of an address may be verified.
    ///
    /// # Errors
    /// When too many tokens of the address were rejected.
    pub fn admit_unknown_token(&self, source: Option<Source>) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, source) else {
            return Ok(());
        };
        let wait = budgets
            .blocked
            .get(&source)
            .map(|until| until.saturating_duration_since(Instant::now()));
        match wait.filter(|wait| !wait.is_zero()) {
            None => Ok(()),
            Some(wait) => Err(budgets.failures.exceeded_for(wait)).inspect_err(Exceeded::count),
        }
    }

    /// Counts a rejected token of an address.
    pub async fn record_rejected_token(&self, source: Option<Source>) {
        let (Some(budgets), Some(source)) = (&self.budgets, source) else {
            return;
        };
        if let Err(exceeded) = budgets.failures.take(&source).await {
            budgets.blocked.insert(source, Instant::now() + exceeded.wait);
        }
    }

    /// Counts a caller's request, and returns what is left; `None` when rate limits are disabled.
    ///
    /// # Errors
    /// When the caller has used up the budget of reads, or of writes.
    pub async fn admit_caller(&self, caller: UserKey, method: &Method) -> Result<Option<Remaining>, Exceeded> {
        let Some(budgets) = &self.budgets else { return Ok(None) };
        let budget = if method.is_safe() {
            &budgets.reads
        } else {
            &budgets.writes
        };
        budget.take(&caller).await.map(Some).inspect_err(Exceeded::count)
    }

    /// Counts a caller's search, which counts as a read as well.
    ///
    /// # Errors
    /// When the caller has used up the budget of searches.
    pub async fn admit_search(&self, caller: UserKey) -> Result<(), Exceeded> {
        let Some(budgets) = &self.budgets else { return Ok(()) };
        budgets
            .searches
            .take(&caller)
            .await
            .map(drop)
            .inspect_err(Exceeded::count)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use actix_web::{ResponseError as _, test::TestRequest};

    use futures_util::FutureExt as _;
    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;
    use crate::api::problem::Problem;

    fn limits(clock: &FakeRelativeClock, trusted: &[&str]) -> RateLimits<FakeRelativeClock> {
        let settings = ApiSettings {
            limit_address_per_second: 1,
            limit_address_burst: 3,
            limit_reads_per_second: 2,
            limit_reads_burst: 2,
            limit_writes_per_second: 1,
            limit_writes_burst: 1,
            limit_failures_per_minute: 2,
            limit_searches_per_second: 1,
            limit_searches_burst: 2,
            ..ApiSettings::default()
        };
        let trusted: Vec<_> = trusted.iter().map(|text| text.parse().expect("a network")).collect();
        RateLimits::with_clock(clock, &settings, TrustedProxies::new(&trusted), None)
    }

    /// Without Redis, nothing waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("an answer at once")
    }

    fn from(peer: &str, forwarded: &str) -> HttpRequest {
        TestRequest::default()
            .peer_addr(format!("{peer}:1").parse().expect("an address"))
            .insert_header(("X-Forwarded-For", forwarded))
            .to_http_request()
    }

    fn key(oid: u128) -> UserKey {
        UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(oid),
        }
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let (one, other) = (from("192.0.2.1", ""), from("192.0.2.2", ""));
        for _ in 0..3 {
            now(limits.admit(&one)).expect("within the burst");
        }
        let exceeded = now(limits.admit(&one)).expect_err("used up");
        assert_eq!(exceeded.wait, Duration::from_secs(1));
        let problem = Problem::from(exceeded).error_response();
        let header = |name: &str| problem.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("RateLimit-Policy"), Some("\"address\";q=3;w=3"));
        now(limits.admit(&other)).expect("another address has its own");
        clock.advance(Duration::from_secs(1));
        now(limits.admit(&one)).expect("one a second");
        now(limits.admit(&one)).expect_err("and no more");
    }

    #[test]
    fn probes_have_a_separate_budget() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let one = from("192.0.2.1", "");
        while now(limits.admit(&one)).is_ok() {}
        let probes = (0..3000).filter(|_| limits.admit_probe(&one).is_ok()).count();
        assert_eq!(probes, 2000, "after all requests were used up");
    }

    #[test]
    fn a_header_does_not_evade_the_limit_and_trusted_proxies_are_looked_through() {
        let clock = FakeRelativeClock::default();
        let untrusting = limits(&clock, &[]);
        let outcomes: Vec<_> = (0..4)
            .map(|n| now(untrusting.admit(&from("192.0.2.1", &format!("1.1.1.{n}")))).is_ok())
            .collect();
        assert_eq!(
            outcomes,
            [true, true, true, false],
            "the same address, whatever header it sends"
        );
        let trusting = limits(&clock, &["192.0.2.1/32"]);
        assert!(
            (0..9).all(|n| now(trusting.admit(&from("192.0.2.1", &format!("1.1.1.{n}")))).is_ok()),
            "nine clients"
        );
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_source() {
        let source = |text: &str| Source::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:1.2.3.4"), source("1.2.3.4"));
    }

    #[test]
    fn reads_and_writes_of_a_caller_are_counted_apart() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let left = now(limits.admit_caller(key(1), &Method::GET))
            .expect("a read")
            .expect("limits are on")
            .headers();
        assert_eq!(left[1].1, "\"reads\";r=1");
        now(limits.admit_caller(key(1), &Method::HEAD)).expect("another read");
        now(limits.admit_caller(key(1), &Method::GET)).expect_err("no third");
        now(limits.admit_caller(key(1), &Method::POST)).expect("a write");
        now(limits.admit_caller(key(1), &Method::DELETE)).expect_err("no second");
        now(limits.admit_caller(key(2), &Method::GET)).expect("another caller has their own");
    }

    #[test]
    fn searches_of_a_caller_have_a_budget_apart_from_reads() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        now(limits.admit_search(key(1))).expect("a search");
        now(limits.admit_search(key(1))).expect("another");
        assert_eq!(
            now(limits.admit_search(key(1))).expect_err("no third").name,
            BudgetName::Searches
        );
        now(limits.admit_caller(key(1), &Method::GET)).expect("reads go on");
        now(limits.admit_search(key(2))).expect("another caller has their own");
        clock.advance(Duration::from_secs(1));
        now(limits.admit_search(key(1))).expect("one a second");
    }

    #[test]
    fn after_too_many_rejected_tokens_unknown_ones_are_not_verified() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let source = |address: &str| Some(Source::from(address.parse::<IpAddr>().expect("an address")));
        let (guesser, other) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..3 {
            limits.admit_unknown_token(guesser).expect("still within the budget");
            now(limits.record_rejected_token(guesser));
        }
        assert_eq!(
            limits.admit_unknown_token(guesser).expect_err("blocked").name,
            BudgetName::Failures
        );
        limits.admit_unknown_token(other).expect("another address is not");
    }
}
