//! A budget of failed sign-ins for each address. Each costs a request to Entra and a signature, by a vault perhaps, which
//! counts them: whoever invents codes by the thousand must not use up what others need.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use actix_web::HttpRequest;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::{policy::EvictionPolicy, sync::Cache};

use crate::serve::{Source, TrustedProxies};

/// Failures in a minute from one address: more than people make who share one.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// How long an address waits that has used them up.
const PAUSE: Duration = Duration::from_mins(1);
/// Most addresses remembered.
const MAX_SOURCES: u64 = 20_000;

/// The budgets of all addresses.
pub struct FailedSignIns {
    proxies: TrustedProxies,
    budgets: Cache<Source, Arc<DefaultDirectRateLimiter>>,
    shut_out: Cache<Source, ()>,
}

impl FailedSignIns {
    /// All full. `proxies` say for whom they ask.
    pub fn new(proxies: TrustedProxies) -> Self {
        let lru = EvictionPolicy::lru;
        Self {
            proxies,
            budgets: Cache::builder().max_capacity(MAX_SOURCES).eviction_policy(lru()).time_to_idle(PAUSE * 2).build(),
            shut_out: Cache::builder().max_capacity(MAX_SOURCES).eviction_policy(lru()).time_to_live(PAUSE).build(),
        }
    }

    /// Seconds to wait, when the address that sent `request` has used its failures up.
    pub fn wait(&self, request: &HttpRequest) -> Option<u64> {
        let source = self.source(request)?;
        self.shut_out.contains_key(&source).then_some(PAUSE.as_secs())
    }

    /// Notes one more.
    pub fn note(&self, request: &HttpRequest) {
        let Some(source) = self.source(request) else { return };
        let full = || Arc::new(RateLimiter::direct(Quota::per_minute(PER_MINUTE)));
        if self.budgets.get_with(source, full).check().is_err() {
            log::warn!("too many sign-ins from one address failed: it is shut out for a minute");
            self.shut_out.insert(source, ());
        }
    }

    fn source(&self, request: &HttpRequest) -> Option<Source> {
        let peer = request.peer_addr()?.ip();
        Some(self.proxies.client(peer, request.headers()).into())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn an_address_is_shut_out_after_many_failures_and_others_are_not() {
        let failures = FailedSignIns::new(TrustedProxies::default());
        let from = |address: &str| TestRequest::default().peer_addr(address.parse().unwrap()).to_http_request();
        let (guesser, other) = (from("192.0.2.1:1"), from("192.0.2.2:1"));
        for _ in 0..30 {
            failures.note(&guesser);
            assert_eq!(failures.wait(&guesser), None);
        }
        failures.note(&guesser);
        assert_eq!(failures.wait(&guesser), Some(60));
        assert_eq!(failures.wait(&from("192.0.2.1:2")), Some(60), "whatever the port");
        assert_eq!(failures.wait(&other), None);
    }
}
