//! The signing keys of the provider (JWKS, RFC 7517), cached by `kid`, and the rules of when they are fetched again
//! (Microsoft Learn "Signing key rollover"). Never lets the sender of tokens cause traffic to the provider: an unknown
//! `kid` leads to one fetch in five minutes, however many are invented.

mod key_set;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;

pub use key_set::JwksError;
pub(super) use key_set::{KeySet, SigningKey};

use super::{ProviderError, clock::Clock, single_flight::SingleFlight};

/// When signing keys are fetched, and how long they count.
#[derive(Debug, Clone)]
pub struct KeyPolicy {
    /// Keys this old are fetched again in the background.
    pub refresh_after: Duration,
    /// A random part of this is added to `refresh_after`, so that replicas do not ask all at once.
    pub refresh_jitter: Duration,
    /// Keys this old no longer count: the last good ones survive an outage of the provider for so long.
    pub expire_after: Duration,
    /// An unknown `kid` leads to a fetch at most once in this time.
    pub unknown_kid_interval: Duration,
    /// After a failed refresh, the next is tried when this has passed.
    pub retry_after: Duration,
    /// The same as long as there are no keys at all, and every request fails for want of them.
    pub retry_without_keys_after: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_hours(1),
            refresh_jitter: Duration::from_mins(6),
            expire_after: Duration::from_hours(24),
            unknown_kid_interval: Duration::from_mins(5),
            retry_after: Duration::from_mins(1),
            retry_without_keys_after: Duration::from_secs(1),
        }
    }
}

/// What there is for a `kid`.
pub(super) enum KeyLookup {
    /// The key.
    Found(SigningKey),
    /// The provider has no such key.
    Unknown,
    /// The provider cannot be asked at present.
    Unavailable,
    /// Only a fetch will tell.
    MustFetch,
}

/// The cached keys and when to ask for new ones. Fetching itself is the caller's.
pub(super) struct SigningKeys {
    policy: KeyPolicy,
    clock: Clock,
    set: ArcSwapOption<KeySet>,
    flight: SingleFlight,
    schedule: Mutex<Schedule>,
    refreshing: AtomicBool,
}

/// Moments on [`Clock::elapsed`].
#[derive(Default)]
struct Schedule {
    refresh_at: Duration,
    retry_at: Duration,
    unknown_kid_at: Duration,
    last_fetch_failed: bool,
}

impl SigningKeys {
    pub(super) fn new(policy: KeyPolicy, clock: Clock) -> Self {
        Self {
            policy,
            clock,
            set: ArcSwapOption::empty(),
            flight: SingleFlight::new(),
            schedule: Mutex::default(),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The keys in memory, unless they are too old to count.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        let set = self.set.load_full()?;
        (self.clock.elapsed() < set.fetched_at() + self.policy.expire_after).then_some(set)
    }

    /// What memory says of a `kid`. Never blocks on the network.
    pub(super) fn look_up(&self, kid: &str) -> KeyLookup {
        let now = self.clock.elapsed();
        let Some(set) = self.current() else {
            return if now >= self.schedule().retry_at { KeyLookup::MustFetch } else { KeyLookup::Unavailable };
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

    /// What the provider says of a `kid`, after a fetch where the policy allows one. Blocks.
    pub(super) fn find(&self, kid: &str, fetch: impl FnOnce() -> Result<Vec<u8>, ProviderError>) -> KeyLookup {
        match self.look_up(kid) {
            KeyLookup::MustFetch => {}
            known => return known,
        }
        // The outcome is in the schedule, where the second look finds it.
        let _ = self.flight.run(|| {
            if !matches!(self.look_up(kid), KeyLookup::MustFetch) {
                return Ok(());
            }
            let had_keys = self.current().is_some();
            let outcome = self.replace(fetch);
            if had_keys {
                // Only now, so that all who come while it runs wait for its result.
                self.schedule().unknown_kid_at = self.clock.elapsed() + self.policy.unknown_kid_interval;
            }
            outcome
        });
        match self.look_up(kid) {
            // There were no keys, and the new ones lack this one too.
            KeyLookup::MustFetch => KeyLookup::Unknown,
            found => found,
        }
    }

    /// Fetches keys if there are none that count. Blocks.
    pub(super) fn prepare(&self, fetch: impl FnOnce() -> Result<Vec<u8>, ProviderError>) -> Result<(), ProviderError> {
        if self.current().is_some() {
            return Ok(());
        }
        self.flight.run(|| if self.current().is_some() { Ok(()) } else { self.replace(fetch) })
    }

    /// Fetches keys now. Blocks.
    pub(super) fn refresh(&self, fetch: impl FnOnce() -> Result<Vec<u8>, ProviderError>) -> Result<(), ProviderError> {
        self.flight.run(|| self.replace(fetch))
    }

    /// Whether a refresh is due. Whoever gets `true` must call [`Self::end_refresh`] after it: nobody else is told to.
    pub(super) fn begin_refresh(&self) -> bool {
        let Some(set) = self.set.load_full() else { return false };
        let now = self.clock.elapsed();
        // The common case needs no lock.
        if now < set.fetched_at() + self.policy.refresh_after {
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

    /// Puts new keys in place of the old; an old one that is not among them stops working. Keeps the old when the fetch
    /// fails.
    fn replace(&self, fetch: impl FnOnce() -> Result<Vec<u8>, ProviderError>) -> Result<(), ProviderError> {
        let outcome = fetch().and_then(|jwks| {
            KeySet::parse(&jwks, self.clock.elapsed(), self.set.load().as_deref()).map_err(ProviderError::from)
        });
        let now = self.clock.elapsed();
        let mut schedule = self.schedule();
        schedule.last_fetch_failed = outcome.is_err();
        match outcome {
            Ok(set) => {
                schedule.refresh_at =
                    now + self.policy.refresh_after + self.policy.refresh_jitter.mul_f64(rand::random());
                self.set.store(Some(Arc::new(set)));
                Ok(())
            }
            Err(error) => {
                let wait = match self.current() {
                    Some(_) => self.policy.retry_after,
                    None => self.policy.retry_without_keys_after,
                };
                schedule.retry_at = now + wait;
                log::warn!("the signing keys could not be fetched: {error}");
                Err(error)
            }
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // Each field is written whole: a panic elsewhere leaves nothing half-done.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const JWKS: &[u8] = br#"{"keys":[]}"#;

    fn failing() -> Result<Vec<u8>, ProviderError> {
        Err(ProviderError::Issuer { expected: String::new(), found: String::new() })
    }

    fn keys() -> (SigningKeys, Clock) {
        let clock = Clock::default();
        (SigningKeys::new(KeyPolicy::default(), clock.clone()), clock)
    }

    #[test]
    fn invented_kids_lead_to_one_fetch_in_five_minutes() {
        let (keys, clock) = keys();
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            Ok(JWKS.to_vec())
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
        keys.prepare(|| Ok(JWKS.to_vec())).unwrap();
        assert!(matches!(keys.find("new", failing), KeyLookup::Unavailable));
        assert!(matches!(keys.find("new", || panic!("asked again")), KeyLookup::Unavailable));
    }

    #[test]
    fn without_keys_the_provider_is_asked_again_after_a_while() {
        let (keys, clock) = keys();
        assert!(matches!(keys.find("one", failing), KeyLookup::Unavailable));
        assert!(matches!(keys.look_up("one"), KeyLookup::Unavailable));
        clock.advance(KeyPolicy::default().retry_without_keys_after);
        assert!(matches!(keys.look_up("one"), KeyLookup::MustFetch));
        assert!(matches!(keys.find("one", || Ok(JWKS.to_vec())), KeyLookup::Unknown));
    }

    #[test]
    fn a_refresh_is_due_after_an_hour_and_told_to_one_caller() {
        let (keys, clock) = keys();
        assert!(!keys.begin_refresh(), "nothing to refresh yet");
        keys.prepare(|| Ok(JWKS.to_vec())).unwrap();
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
    fn the_last_good_keys_survive_an_outage_of_a_day_and_no_longer() {
        let (keys, clock) = keys();
        keys.prepare(|| Ok(JWKS.to_vec())).unwrap();
        clock.advance(Duration::from_mins(24 * 60 - 1));
        keys.refresh(failing).unwrap_err();
        assert!(keys.current().is_some());
        clock.advance(Duration::from_mins(1));
        assert!(keys.current().is_none());
        keys.prepare(failing).unwrap_err();
    }

    #[test]
    fn an_answer_that_is_no_key_set_counts_as_a_failure() {
        let (keys, _) = keys();
        keys.prepare(|| Ok(b"<html>".to_vec())).unwrap_err();
        assert!(keys.current().is_none());
    }
}
