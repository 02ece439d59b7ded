//! One cached token, renewed shortly before it expires. One request at a time fetches the next token. While it does, and while
//! renewal fails, the other requests use the cached token until it expires.

use chrono::Utc;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use super::AzureError;
use crate::{azure::failure_cache::FailureCache, single_flight::SingleFlight};

/// A token is renewed this long before it expires, or at half of a shorter lifetime.
const RENEW_BEFORE_SECONDS: i64 = 5 * 60;
/// After a failed renewal, the next attempt starts this much later.
const RETRY_RENEWAL_SECONDS: i64 = 30;
/// No Azure token lives longer than a day. A longer lifetime in a response is wrong and is cut to this.
const MAX_LIFETIME_SECONDS: i64 = 2 * 24 * 60 * 60;

/// A token and its times, in seconds since 1970.
#[derive(Clone)]
pub(super) struct Token {
    value: SecretString,
    renew_at: i64,
    expires_at: i64,
}

impl Token {
    /// `None` when `expires_at` (seconds since 1970) has passed.
    pub(super) fn new(value: SecretString, expires_at: i64) -> Option<Self> {
        let now = Utc::now().timestamp();
        let left = expires_at.saturating_sub(now).min(MAX_LIFETIME_SECONDS);
        let expires_at = now + left;
        (left > 0).then(|| Self {
            value,
            renew_at: expires_at - RENEW_BEFORE_SECONDS.min(left / 2),
            expires_at,
        })
    }

    fn is_fresh(&self) -> bool {
        Utc::now().timestamp() < self.renew_at && self.is_valid()
    }

    fn is_valid(&self) -> bool {
        Utc::now().timestamp() < self.expires_at
    }
}

/// The cache of one token.
#[derive(Default)]
pub(super) struct CachedToken {
    token: Mutex<Option<Token>>,
    fetch: SingleFlight<Result<SecretString, AzureError>>,
    failures: FailureCache<()>,
}

impl CachedToken {
    /// The cached token while it is fresh, otherwise the one that `fetch` brings. A request that arrives during a fetch uses
    /// the cached token while that is valid; otherwise it waits for the new token or its error.
    pub(super) fn get(&self, fetch: impl FnOnce() -> Result<Token, AzureError>) -> Result<SecretString, AzureError> {
        if let Some(value) = self.value_if(Token::is_fresh) {
            return Ok(value);
        }
        match self.value_if(Token::is_valid) {
            Some(value) => self.fetch.try_run(|| self.renew(fetch)).unwrap_or(Ok(value)),
            None => self.fetch.run(|| self.renew(fetch)),
        }
    }

    fn renew(&self, fetch: impl FnOnce() -> Result<Token, AzureError>) -> Result<SecretString, AzureError> {
        // Another request may have finished since the caller looked.
        if let Some(value) = self.value_if(Token::is_fresh) {
            return Ok(value);
        }
        if let Some(error) = self.failures.get(&()) {
            return self.value_if(Token::is_valid).ok_or(error);
        }
        match fetch() {
            Ok(token) => {
                let value = token.value.clone();
                *self.token.lock() = Some(token);
                Ok(value)
            }
            Err(error) => self.value_after_failed_renewal(error),
        }
    }

    fn value_after_failed_renewal(&self, error: AzureError) -> Result<SecretString, AzureError> {
        self.failures.insert((), &error);
        let mut token = self.token.lock();
        match token.as_mut().filter(|token| token.is_valid()) {
            Some(token) => {
                log::warn!(
                    "an Azure token could not be renewed; the current one is used until it expires: {error}; hint: {}",
                    error.hint()
                );
                token.renew_at = Utc::now().timestamp() + RETRY_RENEWAL_SECONDS;
                Ok(token.value.clone())
            }
            None => Err(error),
        }
    }

    /// Drops the token if it is `rejected`: another request may have cached a newer one by now.
    pub(super) fn invalidate(&self, rejected: &SecretString) {
        self.token
            .lock()
            .take_if(|token| token.value.expose_secret() == rejected.expose_secret());
    }

    fn value_if(&self, condition: fn(&Token) -> bool) -> Option<SecretString> {
        self.token
            .lock()
            .as_ref()
            .filter(|token| condition(token))
            .map(|token| token.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str, left: i64) -> Option<Token> {
        Token::new(SecretString::from(value), Utc::now().timestamp() + left)
    }

    fn outage() -> AzureError {
        AzureError::Malformed {
            service: "a service".to_owned(),
            what: "nothing",
        }
    }

    fn due_for_renewal(value: &str, left: i64) -> CachedToken {
        let cached = CachedToken::default();
        *cached.token.lock() = token(value, left).map(|token| Token { renew_at: 0, ..token });
        cached
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_used_until_it_expires_and_not_fetched_for_each_request() {
        let cached = due_for_renewal("old", 60);
        let value = cached.get(|| Err(outage())).unwrap();
        assert_eq!(value.expose_secret(), "old");
        let value = cached.get(|| panic!("fetched again at once")).unwrap();
        assert_eq!(value.expose_secret(), "old");
        cached.token.lock().as_mut().unwrap().expires_at = 0;
        assert!(
            cached.get(|| panic!("fetched again at once")).is_err(),
            "an expired token is of no use"
        );
    }

    #[test]
    fn while_one_request_fetches_the_others_use_the_cached_token() {
        let cached = due_for_renewal("old", 60);
        let value = cached.get(|| {
            assert_eq!(cached.get(|| panic!("a second fetch")).unwrap().expose_secret(), "old");
            Ok(token("new", 3600).unwrap())
        });
        assert_eq!(value.unwrap().expose_secret(), "new");
        assert_eq!(cached.get(|| panic!("fresh")).unwrap().expose_secret(), "new");
    }

    #[test]
    fn only_the_rejected_token_is_dropped() {
        let cached = CachedToken::default();
        cached.get(|| Ok(token("new", 3600).unwrap())).unwrap();
        cached.invalidate(&SecretString::from("old"));
        assert_eq!(cached.get(|| panic!("it is cached")).unwrap().expose_secret(), "new");
        cached.invalidate(&SecretString::from("new"));
        assert_eq!(
            cached
                .get(|| Ok(token("newer", 3600).unwrap()))
                .unwrap()
                .expose_secret(),
            "newer"
        );
    }

    #[test]
    fn expiry_times_are_bounded() {
        assert!(token("x", 0).is_none() && Token::new(SecretString::from("x"), i64::MIN).is_none());
        let far = Token::new(SecretString::from("x"), i64::MAX).unwrap();
        assert!(far.expires_at <= Utc::now().timestamp() + MAX_LIFETIME_SECONDS);
    }
}
