//! Rate limits: how much one address, and one caller, may ask of this server. By the generic cell rate algorithm, in the
//! memory of this process; with several replicas each counts by itself.
//!
//! Six budgets: all requests of an address, before anything costs; its health probes, which no other request can use up;
//! tokens of an address that were refused, so that guessing them does not cost a signature each; reads, writes and searches
//! of a caller. Memory is bounded: of more addresses or
//! callers than [`MAX_KEYS`] the ones unheard of for longest are forgotten, which gives them their full budget again.

mod store;

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{HeaderName, HeaderValue},
    },
};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use store::BoundedStore;

use crate::api::problem::Problem;
use crate::{
    blog::UserKey,
    config::ApiSettings,
    serve::{Source, TrustedProxies},
};

/// Most addresses, and most callers, that are remembered at once, in each budget: some 20 MB in all.
const MAX_KEYS: u64 = 20_000;

/// Health probes that one address may always send. Load balancers and orchestrators send a few per second; the limit is for
/// floods. Where the settings allow an address more requests than this, they allow it as many probes.
const MIN_PROBES_PER_SECOND: u32 = 1000;
const MIN_PROBES_BURST: u32 = 2000;

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The budgets of one server. Shared by all workers.
pub struct RateLimits<C: Clock = DefaultClock> {
    proxies: TrustedProxies,
    /// `None` when switched off.
    budgets: Option<Budgets<C>>,
}

struct Budgets<C: Clock> {
    requests: Budget<Source, C>,
    probes: Budget<Source, C>,
    failures: Budget<Source, C>,
    /// Until when no unknown token of an address is looked at.
    shut_out: Cache<Source, Instant>,
    reads: Budget<UserKey, C>,
    writes: Budget<UserKey, C>,
    searches: Budget<UserKey, C>,
}

/// One limit for each key.
struct Budget<K: std::hash::Hash + Eq + Clone + Send + Sync + 'static, C: Clock> {
    limiter: RateLimiter<K, BoundedStore<K>, C, StateInformationMiddleware>,
    clock: C,
    name: &'static str,
    policy: HeaderValue,
}

impl<K: std::hash::Hash + Eq + Clone + Send + Sync + 'static, C: Clock + Clone> Budget<K, C> {
    /// `rate` in `period`, and `burst` at once.
    fn new(name: &'static str, rate: NonZeroU32, period: Duration, burst: NonZeroU32, clock: C) -> Self {
        let one = period
            .checked_div(rate.get())
            .filter(|one| !one.is_zero())
            .unwrap_or(Duration::from_nanos(1));
        let quota = Quota::with_period(one)
            .unwrap_or(Quota::per_second(rate))
            .allow_burst(burst);
        let policy = format!("\"{name}\";q={burst};w={}", seconds_up(one.saturating_mul(burst.get())));
        Self {
            limiter: RateLimiter::new(quota, BoundedStore::new(MAX_KEYS), clock.clone()),
            clock,
            name,
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("")),
        }
    }

    /// Takes one out of the budget of `key`.
    fn take(&self, key: &K) -> Result<StateSnapshot, Exceeded> {
        self.limiter.check_key(key).map_err(|not_until: NotUntil<C::Instant>| {
            let wait = not_until.wait_time_from(self.clock.now());
            Exceeded {
                name: self.name,
                policy: self.policy.clone(),
                wait,
            }
        })
    }
}

/// A budget that is used up.
#[derive(Debug)]
pub struct Exceeded {
    name: &'static str,
    policy: HeaderValue,
    wait: Duration,
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        let Exceeded { name, policy, wait } = exceeded;
        let seconds = seconds_up(wait).max(1);
        Self::too_many_requests(
            name,
            seconds,
            headers(policy, &format!("\"{name}\";r=0;t={seconds}")).to_vec(),
        )
    }
}

/// The headers that tell of a budget: what it is, and what is left of it.
fn headers(policy: HeaderValue, state: &str) -> [(HeaderName, HeaderValue); 2] {
    let state = HeaderValue::try_from(state).unwrap_or(HeaderValue::from_static(""));
    [(POLICY, policy), (STATE, state)]
}

/// What an answer says of the budget that its request was taken from.
#[derive(Debug)]
pub struct Remaining {
    /// Headers with their values.
    pub headers: [(HeaderName, HeaderValue); 2],
}

impl RateLimits {
    /// With the limits of the settings, on the machine's clock.
    pub fn new(settings: &ApiSettings, proxies: TrustedProxies) -> Self {
        Self::on(DefaultClock::default(), settings, proxies)
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn on(clock: C, settings: &ApiSettings, proxies: TrustedProxies) -> Self {
        let second = Duration::from_secs(1);
        let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let budgets = settings.rate_limits.then(|| {
            let (rate, burst) = (
                number(settings.limit_address_per_second),
                number(settings.limit_address_burst),
            );
            let failures = number(settings.limit_failures_per_minute);
            let reads = (
                number(settings.limit_reads_per_second),
                number(settings.limit_reads_burst),
            );
            let searches = (
                number(settings.limit_searches_per_second),
                number(settings.limit_searches_burst),
            );
            let writes = (
                number(settings.limit_writes_per_second),
                number(settings.limit_writes_burst),
            );
            Budgets {
                requests: Budget::new("address", rate, second, burst, clock.clone()),
                probes: Budget::new(
                    "probes",
                    number(settings.limit_address_per_second.max(MIN_PROBES_PER_SECOND)),
                    second,
                    number(settings.limit_address_burst.max(MIN_PROBES_BURST)),
                    clock.clone(),
                ),
                failures: Budget::new("failures", failures, Duration::from_mins(1), failures, clock.clone()),
                shut_out: Cache::builder()
                    .max_capacity(MAX_KEYS)
                    .eviction_policy(EvictionPolicy::lru())
                    .build(),
                reads: Budget::new("reads", reads.0, second, reads.1, clock.clone()),
                searches: Budget::new("searches", searches.0, second, searches.1, clock.clone()),
                writes: Budget::new("writes", writes.0, second, writes.1, clock),
            }
        });
        Self { proxies, budgets }
    }

    /// Counts a request of an address, before anything else is done for it.
    ///
    /// # Errors
    /// When the address has used up its budget.
    pub fn admit(&self, request: &HttpRequest) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, self.source(request)) else {
            return Ok(());
        };
        budgets.requests.take(&source).map(|_| ())
    }

    /// Counts a health probe of an address.
    ///
    /// # Errors
    /// When the address has used up its budget of probes.
    pub fn admit_probe(&self, request: &HttpRequest) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, self.source(request)) else {
            return Ok(());
        };
        budgets.probes.take(&source).map(|_| ())
    }

    /// The address to which a request counts, where limits are on.
    pub fn source(&self, request: &HttpRequest) -> Option<Source> {
        let peer = request.peer_addr().filter(|_| self.budgets.is_some())?;
        Some(self.proxies.client(peer.ip(), request.headers()).into())
    }

    /// Whether a token that nobody has seen before may be looked at.
    ///
    /// # Errors
    /// When too many tokens of the address have been refused lately.
    pub fn admit_unknown_token(&self, source: Option<Source>) -> Result<(), Exceeded> {
        let (Some(budgets), Some(source)) = (&self.budgets, source) else {
            return Ok(());
        };
        let wait = budgets
            .shut_out
            .get(&source)
            .map(|until| until.saturating_duration_since(Instant::now()));
        match wait.filter(|wait| !wait.is_zero()) {
            None => Ok(()),
            Some(wait) => Err(Exceeded {
                name: budgets.failures.name,
                policy: budgets.failures.policy.clone(),
                wait,
            }),
        }
    }

    /// Counts a token that was refused.
    pub fn note_refused_token(&self, source: Option<Source>) {
        let (Some(budgets), Some(source)) = (&self.budgets, source) else {
            return;
        };
        if let Err(exceeded) = budgets.failures.take(&source) {
            budgets.shut_out.insert(source, Instant::now() + exceeded.wait);
        }
    }

    /// Counts what a caller asks for; says what is left.
    ///
    /// # Errors
    /// When the caller has used up the budget of reads, or of writes.
    pub fn admit_caller(&self, caller: UserKey, method: &Method) -> Result<Option<Remaining>, Exceeded> {
        let Some(budgets) = &self.budgets else { return Ok(None) };
        let budget = if method.is_safe() {
            &budgets.reads
        } else {
            &budgets.writes
        };
        let left = budget.take(&caller)?.remaining_burst_capacity();
        let state = format!("\"{}\";r={left}", budget.name);
        Ok(Some(Remaining {
            headers: headers(budget.policy.clone(), &state),
        }))
    }

    /// Counts a search of a caller, which is a read as well.
    ///
    /// # Errors
    /// When the caller has used up the budget of searches.
    pub fn admit_search(&self, caller: UserKey) -> Result<(), Exceeded> {
        let Some(budgets) = &self.budgets else { return Ok(()) };
        budgets.searches.take(&caller).map(drop)
    }
}

fn seconds_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use std::net::IpAddr;

    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

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
        RateLimits::on(clock.clone(), &settings, TrustedProxies::new(&trusted))
    }

    fn from(peer: &str, forwarded: &str) -> HttpRequest {
        TestRequest::default()
            .peer_addr(format!("{peer}:1").parse().expect("an address"))
            .insert_header(("X-Forwarded-For", forwarded))
            .to_http_request()
    }

    fn key(oid: u128) -> UserKey {
        UserKey {
            tid: Uuid::nil(),
            oid: Uuid::from_u128(oid),
        }
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let (one, other) = (from("192.0.2.1", ""), from("192.0.2.2", ""));
        for _ in 0..3 {
            limits.admit(&one).expect("within the burst");
        }
        let exceeded = limits.admit(&one).expect_err("used up");
        assert_eq!(
            (exceeded.wait, exceeded.policy),
            (Duration::from_secs(1), HeaderValue::from_static("\"address\";q=3;w=3"))
        );
        limits.admit(&other).expect("another address has its own");
        clock.advance(Duration::from_secs(1));
        limits.admit(&one).expect("one a second");
        limits.admit(&one).expect_err("and no more");
    }

    #[test]
    fn probes_have_a_budget_of_their_own() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let one = from("192.0.2.1", "");
        while limits.admit(&one).is_ok() {}
        let probes = (0..3000).filter(|_| limits.admit_probe(&one).is_ok()).count();
        assert_eq!(probes, 2000, "after all requests were used up");
    }

    #[test]
    fn nobody_escapes_by_a_header_and_proxies_of_ours_are_looked_through() {
        let clock = FakeRelativeClock::default();
        let untrusting = limits(&clock, &[]);
        let outcomes: Vec<_> = (0..4)
            .map(|n| untrusting.admit(&from("192.0.2.1", &format!("1.1.1.{n}"))).is_ok())
            .collect();
        assert_eq!(outcomes, [true, true, true, false], "one address, whatever it forwards");
        let trusting = limits(&clock, &["192.0.2.1/32"]);
        assert!(
            (0..9).all(|n| trusting.admit(&from("192.0.2.1", &format!("1.1.1.{n}"))).is_ok()),
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
        let left = limits
            .admit_caller(key(1), &Method::GET)
            .expect("a read")
            .expect("limits are on")
            .headers;
        assert_eq!(left[1].1, "\"reads\";r=1");
        limits.admit_caller(key(1), &Method::HEAD).expect("another read");
        limits.admit_caller(key(1), &Method::GET).expect_err("no third");
        limits.admit_caller(key(1), &Method::POST).expect("a write");
        limits.admit_caller(key(1), &Method::DELETE).expect_err("no second");
        limits
            .admit_caller(key(2), &Method::GET)
            .expect("another caller has their own");
    }

    #[test]
    fn searches_of_a_caller_have_a_budget_beside_the_reads() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        limits.admit_search(key(1)).expect("a search");
        limits.admit_search(key(1)).expect("another");
        assert_eq!(limits.admit_search(key(1)).expect_err("no third").name, "searches");
        limits.admit_caller(key(1), &Method::GET).expect("reads go on");
        limits.admit_search(key(2)).expect("another caller has their own");
        clock.advance(Duration::from_secs(1));
        limits.admit_search(key(1)).expect("one a second");
    }

    #[test]
    fn after_too_many_refused_tokens_unknown_ones_are_not_looked_at() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock, &[]);
        let source = |address: &str| Some(Source::from(address.parse::<IpAddr>().expect("an address")));
        let (guesser, other) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..3 {
            limits.admit_unknown_token(guesser).expect("still within the budget");
            limits.note_refused_token(guesser);
        }
        assert_eq!(
            limits.admit_unknown_token(guesser).expect_err("shut out").name,
            "failures"
        );
        limits.admit_unknown_token(other).expect("nobody else is");
    }
}
