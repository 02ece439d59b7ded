//! The signing keys of the provider (JWKS, RFC 7517), cached by `kid`, and the rules for fetching them again (Microsoft Learn
//! "Signing key rollover"). Senders of tokens cannot cause traffic to the provider: invented `kid`s lead to one fetch in five
//! minutes, however many there are.

mod cache_file;
mod key_set;
mod policy;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use chrono::TimeDelta;
use parking_lot::{Mutex, MutexGuard};
use url::Url;

pub(super) use cache_file::KeyCacheFile;
use cache_file::{CacheFileError, CachedKeys};
pub use key_set::JwksError;
pub(super) use key_set::{KeySet, Lifetime, SigningKey};
pub use policy::KeyPolicy;

use super::{Authority, ProviderError, clock::Clock};
use crate::{failure_log::FailureLog, metrics, single_flight::SingleFlight};

/// A response of the key endpoint.
pub(super) struct FetchedKeys {
    pub(super) url: Url,
    /// The key set, as JSON.
    pub(super) jwks: Vec<u8>,
    /// From `Cache-Control`.
    pub(super) max_age: Option<Duration>,
}

/// The result of looking up a `kid`.
pub(super) enum KeyLookup {
    Found(SigningKey),
    /// The provider has no such key.
    Unknown,
    /// The keys could not be fetched, and the next attempt is not due.
    Unavailable,
    /// The key is not in memory, and a fetch is due.
    MustFetch,
}

/// The cached keys, and when to fetch new ones. The caller supplies the fetch itself.
pub(super) struct SigningKeys {
    /// The server that uses the keys, for the metrics.
    role: &'static str,
    policy: KeyPolicy,
    /// The tenants whose tokens the keys verify.
    tenants: Vec<Authority>,
    clock: Clock,
    cache_file: Option<KeyCacheFile>,
    set: ArcSwapOption<KeySet>,
    flight: SingleFlight<Result<(), ProviderError>>,
    schedule: Mutex<Schedule>,
    refreshing: AtomicBool,
    fetch_failures: FailureLog,
    file_failures: FailureLog,
}

/// Times on [`Clock::elapsed`].
#[derive(Default)]
struct Schedule {
    refresh_at: Duration,
    retry_at: Duration,
    unknown_kid_at: Duration,
    last_fetch_failed: bool,
}

impl SigningKeys {
    pub(super) fn new(
        role: &'static str,
        policy: KeyPolicy,
        clock: Clock,
        cache_file: Option<KeyCacheFile>,
        tenants: Vec<Authority>,
    ) -> Self {
        Self {
            role,
            policy,
            tenants,
            clock,
            cache_file,
            set: ArcSwapOption::empty(),
            flight: SingleFlight::default(),
            schedule: Mutex::default(),
            refreshing: AtomicBool::new(false),
            fetch_failures: FailureLog::default(),
            file_failures: FailureLog::default(),
        }
    }

    /// The keys in memory, unless they are too old.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        let set = self.set.load_full()?;
        (self.clock.elapsed() < set.lifetime().expires_at).then_some(set)
    }

    /// Looks up a `kid` in memory. Never blocks on the network.
    pub(super) fn look_up(&self, kid: &str) -> KeyLookup {
        let now = self.clock.elapsed();
        let Some(set) = self.current() else {
            return if now >= self.schedule().retry_at {
                KeyLookup::MustFetch
            } else {
                KeyLookup::Unavailable
            };
        };
        if let Some(key) = set.get(kid) {
            return KeyLookup::Found(key);
        }
        let schedule = self.schedule();
        if now >= schedule.unknown_kid_at {
            KeyLookup::MustFetch
        } else if schedule.last_fetch_failed {
            KeyLookup::Unavailable
        } else {
            KeyLookup::Unknown
        }
    }

    /// Looks up a `kid`, after a fetch if the policy allows one. Blocks.
    pub(super) fn find(&self, kid: &str, fetch: impl FnOnce() -> Result<FetchedKeys, ProviderError>) -> KeyLookup {
        match self.look_up(kid) {
            KeyLookup::MustFetch => {}
            known => return known,
        }
        // The second lookup reads the outcome from the schedule.
        let _ = self.flight.run(|| {
            if !matches!(self.look_up(kid), KeyLookup::MustFetch) {
                return Ok(());
            }
            let had_keys = self.current().is_some();
            let outcome = self.replace(fetch);
            if had_keys {
                // A failed fetch says nothing about the key, so the next attempt comes sooner.
                let KeyPolicy {
                    unknown_kid_interval,
                    retry_after,
                    ..
                } = self.policy;
                let delay = if outcome.is_ok() {
                    unknown_kid_interval
                } else {
                    retry_after
                };
                // Set only now, so that requests that come during the fetch wait for its result.
                self.schedule().unknown_kid_at = self.clock.elapsed() + delay;
            }
            outcome
        });
        match self.look_up(kid) {
            // There were no keys, and the new ones do not include this one.
            KeyLookup::MustFetch => KeyLookup::Unknown,
            found => found,
        }
    }

    /// Fetches keys if there are no usable ones. Blocks.
    pub(super) fn prepare(
        &self,
        fetch: impl FnOnce() -> Result<FetchedKeys, ProviderError>,
    ) -> Result<(), ProviderError> {
        if self.current().is_some() {
            return Ok(());
        }
        self.flight.run(|| {
            if self.current().is_some() {
                Ok(())
            } else {
                self.replace(fetch)
            }
        })
    }

    /// Fetches keys now. Blocks.
    pub(super) fn refresh(
        &self,
        fetch: impl FnOnce() -> Result<FetchedKeys, ProviderError>,
    ) -> Result<(), ProviderError> {
        self.flight.run(|| self.replace(fetch))
    }

    /// Whether a refresh is due. A caller that gets `true` must call [`Self::end_refresh`] afterwards; until then, the others get
    /// `false`.
    pub(super) fn begin_refresh(&self) -> bool {
        let Some(set) = self.set.load_full() else { return false };
        let now = self.clock.elapsed();
        // The common case needs no lock.
        if now < set.lifetime().refresh_from {
            return false;
        }
        let schedule = self.schedule();
        let due = now >= schedule.refresh_at && now >= schedule.retry_at;
        drop(schedule);
        due && !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// See [`Self::begin_refresh`].
    pub(super) fn end_refresh(&self) {
        self.refreshing.store(false, Ordering::Release);
    }

    /// Replaces the keys; a previous key that is not among the new ones stops working. When the fetch fails, the previous keys stay;
    /// without any, those of the cache file are used.
    fn replace(&self, fetch: impl FnOnce() -> Result<FetchedKeys, ProviderError>) -> Result<(), ProviderError> {
        let outcome =
            fetch().and_then(
                |fetched| match self.parse(&fetched.jwks, self.lifetime_of_new(fetched.max_age)) {
                    Ok(set) => Ok((set, fetched.jwks)),
                    Err(error) => Err(ProviderError::Jwks {
                        url: fetched.url,
                        error,
                    }),
                },
            );
        let now = self.clock.elapsed();
        let mut schedule = self.schedule();
        schedule.last_fetch_failed = outcome.is_err();
        metrics::keys::fetched(self.role, outcome.is_ok());
        match outcome {
            Ok((set, jwks)) => {
                let jitter = self.policy.refresh_jitter.mul_f64(rand::random());
                schedule.refresh_at = set.lifetime().refresh_from + jitter;
                metrics::keys::in_use(self.role, set.len(), self.clock.now().timestamp());
                self.set.store(Some(Arc::new(set)));
                drop(schedule);
                self.fetch_failures.recovered("the signing keys could be fetched again");
                self.write_cache_file(&jwks);
                Ok(())
            }
            Err(error) => {
                let had_keys = self.current().is_some();
                let found_keys = !had_keys && self.load_cache_file();
                let is_urgent = !had_keys && !found_keys;
                let consequence = if is_urgent {
                    "no access token can be verified until then"
                } else {
                    "the last good ones stay in use"
                };
                let message = format!("the signing keys could not be fetched, {consequence}: {error}");
                self.fetch_failures.failed(now, &message);
                schedule.retry_at = now
                    + if is_urgent {
                        self.policy.retry_without_keys_after
                    } else {
                        self.policy.retry_after
                    };
                if found_keys { Ok(()) } else { Err(error) }
            }
        }
    }

    /// A failure to write the file is only logged: requests need only the keys in memory.
    fn write_cache_file(&self, jwks: &[u8]) {
        let Some(file) = &self.cache_file else { return };
        match file.write(jwks, self.clock.now()) {
            Ok(()) => self
                .file_failures
                .recovered(&format!("{file}: the signing keys are stored again")),
            Err(error) => self.report_cache_file(&format!("{file}: the signing keys could not be stored: {error}")),
        }
    }

    fn load_cache_file(&self) -> bool {
        let Some(file) = &self.cache_file else { return false };
        match file.read(self.clock.now()).and_then(|cached| self.use_cached(&cached)) {
            Ok(minutes) => {
                log::warn!("using the signing keys from {file}, fetched {minutes} minutes ago");
                true
            }
            Err(CacheFileError::NotFound) => false,
            Err(error) => {
                self.report_cache_file(&format!("{file}: the signing keys in it are not used: {error}"));
                false
            }
        }
    }

    /// Uses keys from the cache file; returns their age in minutes.
    fn use_cached(&self, cached: &CachedKeys) -> Result<u64, CacheFileError> {
        let left = self
            .policy
            .expire_after
            .checked_sub(cached.age)
            .filter(|left| !left.is_zero());
        let left = left.ok_or(CacheFileError::TooOld)?;
        let now = self.clock.elapsed();
        let set = self.parse(
            &cached.jwks,
            Lifetime {
                refresh_from: now,
                expires_at: now + left,
            },
        )?;
        let age = TimeDelta::from_std(cached.age).unwrap_or_default();
        metrics::keys::in_use(self.role, set.len(), (self.clock.now() - age).timestamp());
        self.set.store(Some(Arc::new(set)));
        Ok(cached.age.as_secs() / 60)
    }

    fn report_cache_file(&self, message: &str) {
        self.file_failures.failed(self.clock.elapsed(), message);
    }

    fn lifetime_of_new(&self, max_age: Option<Duration>) -> Lifetime {
        let KeyPolicy {
            refresh_after,
            refresh_not_before,
            expire_after,
            ..
        } = self.policy;
        let fresh_for = max_age
            .unwrap_or(refresh_after)
            .max(refresh_not_before)
            .min(refresh_after);
        let now = self.clock.elapsed();
        Lifetime {
            refresh_from: now + fresh_for,
            expires_at: now + expire_after,
        }
    }

    fn parse(&self, jwks: &[u8], lifetime: Lifetime) -> Result<KeySet, JwksError> {
        KeySet::parse(jwks, &self.tenants, lifetime, self.set.load().as_deref())
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use openssl::rsa::Rsa;

    use super::*;
    use crate::config::{DEV_TENANT_ID, EntraSettings};

    fn fetched(jwks: &[u8]) -> FetchedKeys {
        FetchedKeys {
            url: Url::parse("http://localhost/keys").unwrap(),
            jwks: jwks.to_vec(),
            max_age: None,
        }
    }

    /// A key set of one key, `one`.
    fn good() -> FetchedKeys {
        static JWKS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            let key = Rsa::generate(2048).unwrap();
            let [n, e] = [key.n(), key.e()].map(|number| URL_SAFE_NO_PAD.encode(number.to_vec()));
            serde_json::json!({ "keys": [{ "kty": "RSA", "kid": "one", "n": n, "e": e }] }).to_string()
        });
        fetched(JWKS.as_bytes())
    }

    #[expect(clippy::unnecessary_wraps, reason = "stands in for a fetch")]
    fn empty() -> Result<FetchedKeys, ProviderError> {
        Ok(fetched(br#"{"keys":[]}"#))
    }

    fn failing() -> Result<FetchedKeys, ProviderError> {
        Err(ProviderError::Issuer {
            expected: String::new(),
            found: String::new(),
        })
    }

    fn keys() -> (SigningKeys, Clock) {
        let clock = Clock::default();
        let settings = EntraSettings {
            tenant_id: DEV_TENANT_ID.to_owned(),
            ..EntraSettings::default()
        };
        let tenants = vec![Authority::new(&settings).unwrap()];
        (
            SigningKeys::new("test", KeyPolicy::default(), clock.clone(), None, tenants),
            clock,
        )
    }

    #[test]
    fn invented_kids_lead_to_one_fetch_in_five_minutes() {
        let (keys, clock) = keys();
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            Ok(good())
        };
        keys.prepare(fetch).unwrap();
        for n in 0..100 {
            assert!(matches!(keys.find(&format!("invented {n}"), fetch), KeyLookup::Unknown));
        }
        assert_eq!(fetches.get(), 2, "one at first, one for the first unknown kid");
        clock.advance(KeyPolicy::default().unknown_kid_interval);
        for n in 0..100 {
            assert!(matches!(keys.find(&format!("invented {n}"), fetch), KeyLookup::Unknown));
        }
        assert_eq!(fetches.get(), 3);
    }

    #[test]
    fn an_unknown_kid_is_not_called_unknown_while_the_provider_is_down() {
        let (keys, _) = keys();
        keys.prepare(|| Ok(good())).unwrap();
        assert!(matches!(keys.find("new", failing), KeyLookup::Unavailable));
        assert!(matches!(
            keys.find("new", || panic!("a second fetch")),
            KeyLookup::Unavailable
        ));
    }

    #[test]
    fn without_keys_the_next_fetch_comes_after_the_retry_delay() {
        let (keys, clock) = keys();
        assert!(matches!(keys.find("one", failing), KeyLookup::Unavailable));
        assert!(matches!(keys.look_up("one"), KeyLookup::Unavailable));
        clock.advance(KeyPolicy::default().retry_without_keys_after);
        assert!(matches!(keys.look_up("one"), KeyLookup::MustFetch));
        assert!(matches!(keys.find("two", || Ok(good())), KeyLookup::Unknown));
    }

    #[test]
    fn an_unknown_kid_leads_to_another_fetch_a_minute_after_a_failed_one() {
        for failure in [failing, empty] {
            let (keys, clock) = keys();
            keys.prepare(|| Ok(good())).unwrap();
            assert!(matches!(keys.find("two", failure), KeyLookup::Unavailable));
            clock.advance(Duration::from_secs(59));
            assert!(matches!(keys.look_up("two"), KeyLookup::Unavailable));
            clock.advance(Duration::from_secs(1));
            assert!(matches!(keys.find("two", || Ok(good())), KeyLookup::Unknown));
        }
    }

    #[test]
    fn an_empty_key_set_never_replaces_good_keys_and_leads_to_another_fetch_in_a_minute() {
        let (keys, clock) = keys();
        keys.prepare(|| Ok(good())).unwrap();
        clock.advance(Duration::from_mins(67));
        assert!(keys.begin_refresh());
        keys.refresh(empty).unwrap_err();
        keys.end_refresh();
        assert!(matches!(keys.look_up("one"), KeyLookup::Found(_)));
        assert!(!keys.begin_refresh());
        clock.advance(KeyPolicy::default().retry_after);
        assert!(keys.begin_refresh());
        keys.refresh(|| Ok(good())).unwrap();
    }

    #[test]
    fn an_empty_key_set_at_first_leaves_the_keys_unavailable_and_not_the_token_unknown() {
        let (keys, clock) = keys();
        keys.prepare(empty).unwrap_err();
        assert!(keys.current().is_none());
        assert!(matches!(keys.look_up("one"), KeyLookup::Unavailable));
        clock.advance(KeyPolicy::default().retry_without_keys_after);
        assert!(matches!(keys.find("one", || Ok(good())), KeyLookup::Found(_)));
    }

    #[test]
    fn a_refresh_is_due_after_an_hour_and_starts_once() {
        let (keys, clock) = keys();
        assert!(!keys.begin_refresh(), "nothing to refresh yet");
        keys.prepare(|| Ok(good())).unwrap();
        clock.advance(Duration::from_mins(59));
        assert!(!keys.begin_refresh());
        clock.advance(Duration::from_mins(8));
        assert!(keys.begin_refresh());
        assert!(!keys.begin_refresh(), "another caller does it already");
        keys.refresh(failing).unwrap_err();
        keys.end_refresh();
        assert!(!keys.begin_refresh(), "not at once after a failure");
        clock.advance(KeyPolicy::default().retry_after);
        assert!(keys.begin_refresh());
    }

    #[test]
    fn the_provider_may_ask_for_an_earlier_refresh_within_bounds() {
        let (keys, _) = keys();
        for (max_age, minutes) in [
            (None, 60),
            (Some(0), 5),
            (Some(600), 10),
            (Some(86_400), 60),
            (Some(u64::MAX), 60),
        ] {
            let begun = keys.clock.elapsed();
            let refresh_from = keys.lifetime_of_new(max_age.map(Duration::from_secs)).refresh_from;
            assert_eq!(
                refresh_from.saturating_sub(begun).as_secs() / 60,
                minutes,
                "{max_age:?}"
            );
        }
    }

    #[test]
    fn the_last_good_keys_survive_an_outage_of_a_day_and_no_longer() {
        let (keys, clock) = keys();
        keys.prepare(|| Ok(good())).unwrap();
        clock.advance(Duration::from_mins(24 * 60 - 1));
        keys.refresh(failing).unwrap_err();
        assert!(keys.current().is_some());
        clock.advance(Duration::from_mins(1));
        assert!(keys.current().is_none());
        keys.prepare(failing).unwrap_err();
    }

    #[test]
    fn a_response_that_is_no_key_set_counts_as_a_failure() {
        let (keys, _) = keys();
        keys.prepare(|| Ok(fetched(b"<html>"))).unwrap_err();
        assert!(keys.current().is_none());
    }
}
