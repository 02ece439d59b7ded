//! One cached token, renewed shortly before it expires. One request at a time fetches the next token. While it does, and while
//! renewal fails, the other requests use the cached token until it expires.

use chrono::Utc;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{failure_cache::FailureCache, hint::Hint, single_flight::SingleFlight};

/// A token is renewed this long before it expires, or at half of a shorter lifetime.
const RENEW_BEFORE_SECONDS: i64 = 5 * 60;
/// After a failed renewal, the next attempt starts this much later.
const RETRY_RENEWAL_SECONDS: i64 = 30;
/// No token lives longer than a day. A longer lifetime in a response is wrong and is cut to this.
const MAX_LIFETIME_SECONDS: i64 = 2 * 24 * 60 * 60;
/// A token that does not say when it expires is renewed after this time.
const RENEW_UNDATED_SECONDS: i64 = 60;
/// Such a token is used for this long while it cannot be renewed. The shortest-lived ones, of Amazon RDS, live 15 minutes.
const MAX_UNDATED_SECONDS: i64 = 10 * 60;

/// A token and its times, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    value: SecretString,
    renew_at: i64,
    valid_until: i64,
    /// `None` if the token does not say.
    expires_at: Option<i64>,
}

impl Token {
    /// `None` when `expires_at` (seconds since 1970) has passed.
    pub(crate) fn new(value: SecretString, expires_at: i64) -> Option<Self> {
        let now = Utc::now().timestamp();
        let left = expires_at.saturating_sub(now).min(MAX_LIFETIME_SECONDS);
        let expires_at = now + left;
        (left > 0).then(|| Self {
            value,
            renew_at: expires_at - RENEW_BEFORE_SECONDS.min(left / 2),
            valid_until: expires_at,
            expires_at: Some(expires_at),
        })
    }

    /// A token that does not say when it expires.
    pub(crate) fn undated(value: SecretString) -> Self {
        let now = Utc::now().timestamp();
        Self {
            value,
            renew_at: now + RENEW_UNDATED_SECONDS,
            valid_until: now + MAX_UNDATED_SECONDS,
            expires_at: None,
        }
    }

    pub(crate) fn value(&self) -> &SecretString {
        &self.value
    }

    /// When it expires, in seconds since 1970; `None` if the token does not say.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    fn is_fresh(&self) -> bool {
        Utc::now().timestamp() < self.renew_at && self.is_valid()
    }

    fn is_valid(&self) -> bool {
        Utc::now().timestamp() < self.valid_until
    }
}

/// The cache of one token, which is fetched with errors of type `E`.
pub(crate) struct CachedToken<E> {
    token: Mutex<Option<Token>>,
    fetch: SingleFlight<Result<Token, E>>,
    failures: FailureCache<(), E>,
}

impl<E> Default for CachedToken<E> {
    fn default() -> Self {
        Self {
            token: Mutex::default(),
            fetch: SingleFlight::default(),
            failures: FailureCache::default(),
        }
    }
}

impl<E: Clone + Hint> CachedToken<E> {
    /// The cached token while it is fresh, otherwise the one that `fetch` brings. A request that arrives during a fetch uses
    /// the cached token while that is valid; otherwise it waits for the new token or its error.
    pub(crate) fn get(&self, fetch: impl FnOnce() -> Result<Token, E>) -> Result<Token, E> {
        if let Some(token) = self.token_if(Token::is_fresh) {
            return Ok(token);
        }
        match self.token_if(Token::is_valid) {
            Some(token) => self.fetch.try_run(|| self.renew(fetch)).unwrap_or(Ok(token)),
            None => self.fetch.run(|| self.renew(fetch)),
        }
    }

    fn renew(&self, fetch: impl FnOnce() -> Result<Token, E>) -> Result<Token, E> {
        // Another request may have finished since the caller looked.
        if let Some(token) = self.token_if(Token::is_fresh) {
            return Ok(token);
        }
        if let Some(error) = self.failures.get(&()) {
            return self.token_if(Token::is_valid).ok_or(error);
        }
        match fetch() {
            Ok(token) => {
                *self.token.lock() = Some(token.clone());
                Ok(token)
            }
            Err(error) => self.token_after_failed_renewal(error),
        }
    }

    fn token_after_failed_renewal(&self, error: E) -> Result<Token, E> {
        self.failures.insert((), &error);
        let mut token = self.token.lock();
        match token.as_mut().filter(|token| token.is_valid()) {
            Some(token) => {
                log::warn!(
                    "a token could not be renewed; the current one is used until it expires: {error}; hint: {}",
                    error.hint().unwrap_or_default()
                );
                token.renew_at = Utc::now().timestamp() + RETRY_RENEWAL_SECONDS;
                Ok(token.clone())
            }
            None => Err(error),
        }
    }

    /// Drops the token if it is `rejected`: another request may have cached a newer one by now. Whether it was.
    pub(crate) fn invalidate(&self, rejected: &SecretString) -> bool {
        self.token
            .lock()
            .take_if(|token| token.value.expose_secret() == rejected.expose_secret())
            .is_some()
    }

    fn token_if(&self, condition: fn(&Token) -> bool) -> Option<Token> {
        self.token.lock().as_ref().filter(|token| condition(token)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str, left: i64) -> Option<Token> {
        Token::new(SecretString::from(value), Utc::now().timestamp() + left)
    }

    #[derive(Debug, Clone, thiserror::Error)]
    #[error("an outage")]
    struct Outage;

    impl Hint for Outage {
        fn hint(&self) -> Option<std::borrow::Cow<'_, str>> {
            None
        }
    }

    fn due_for_renewal(value: &str, left: i64) -> CachedToken<Outage> {
        let cached = CachedToken::<Outage>::default();
        *cached.token.lock() = token(value, left).map(|token| Token { renew_at: 0, ..token });
        cached
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_used_until_it_expires_and_not_fetched_for_each_request() {
        let cached = due_for_renewal("old", 60);
        let value = cached.get(|| Err(Outage)).unwrap();
        assert_eq!(value.value().expose_secret(), "old");
        let value = cached.get(|| panic!("fetched again at once")).unwrap();
        assert_eq!(value.value().expose_secret(), "old");
        cached.token.lock().as_mut().unwrap().valid_until = 0;
        assert!(
            cached.get(|| panic!("fetched again at once")).is_err(),
            "an expired token is of no use"
        );
    }

    #[test]
    fn while_one_request_fetches_the_others_use_the_cached_token() {
        let cached = due_for_renewal("old", 60);
        let value = cached.get(|| {
            assert_eq!(
                cached.get(|| panic!("a second fetch")).unwrap().value().expose_secret(),
                "old"
            );
            Ok(token("new", 3600).unwrap())
        });
        assert_eq!(value.unwrap().value().expose_secret(), "new");
        assert_eq!(cached.get(|| panic!("fresh")).unwrap().value().expose_secret(), "new");
    }

    #[test]
    fn only_the_rejected_token_is_dropped() {
        let cached = CachedToken::<Outage>::default();
        cached.get(|| Ok(token("new", 3600).unwrap())).unwrap();
        cached.invalidate(&SecretString::from("old"));
        assert_eq!(
            cached.get(|| panic!("it is cached")).unwrap().value().expose_secret(),
            "new"
        );
        cached.invalidate(&SecretString::from("new"));
        assert_eq!(
            cached
                .get(|| Ok(token("newer", 3600).unwrap()))
                .unwrap()
                .value()
                .expose_secret(),
            "newer"
        );
    }

    #[test]
    fn expiry_times_are_bounded() {
        assert!(token("x", 0).is_none() && Token::new(SecretString::from("x"), i64::MIN).is_none());
        let far = Token::new(SecretString::from("x"), i64::MAX).unwrap();
        assert!(far.expires_at().unwrap() <= Utc::now().timestamp() + MAX_LIFETIME_SECONDS);
    }

    #[test]
    fn a_token_that_does_not_say_when_it_expires_is_renewed_after_a_minute_and_kept_for_ten() {
        let cached = CachedToken::<Outage>::default();
        let undated = || Ok(Token::undated(SecretString::from("x")));
        let now = Utc::now().timestamp();
        let token = cached.get(undated).unwrap();
        assert_eq!(token.expires_at(), None);
        assert!(token.is_fresh() && token.renew_at <= now + 61 && token.valid_until <= now + 601);
        cached.token.lock().as_mut().unwrap().renew_at = 0;
        assert_eq!(cached.get(|| Err(Outage)).unwrap().value().expose_secret(), "x");
        cached.token.lock().as_mut().unwrap().valid_until = 0;
        assert!(cached.get(|| panic!("fetched again at once")).is_err());
    }
}
