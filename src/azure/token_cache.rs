//! A token that is kept until shortly before its end. One at a time fetches the next; while that goes on, and while it fails, the
//! one at hand serves as long as it lasts.

use chrono::Utc;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use super::AzureError;
use crate::azure::failure_cache::RecentFailures;

/// A token is renewed so long before its end, or at half of a life that is shorter.
const RENEW_BEFORE_SECONDS: i64 = 5 * 60;
/// When that fails, it is tried again so much later.
const RENEW_AGAIN_SECONDS: i64 = 30;
/// No token of Azure's lives longer than a day; an answer that says so is wrong.
const LONGEST_SECONDS: i64 = 2 * 24 * 60 * 60;

/// A token and its times, in seconds since 1970.
#[derive(Clone)]
pub(super) struct Token {
    value: SecretString,
    renew_at: i64,
    end: i64,
}

impl Token {
    /// `None` when `end` has passed.
    pub(super) fn until(value: SecretString, end: i64) -> Option<Self> {
        let now = Utc::now().timestamp();
        let left = end.saturating_sub(now).min(LONGEST_SECONDS);
        let end = now + left;
        (left > 0).then(|| Self {
            value,
            renew_at: end - RENEW_BEFORE_SECONDS.min(left / 2),
            end,
        })
    }

    fn is_fresh(&self) -> bool {
        Utc::now().timestamp() < self.renew_at && self.is_good()
    }

    fn is_good(&self) -> bool {
        Utc::now().timestamp() < self.end
    }
}

/// The place of one token.
#[derive(Default)]
pub(super) struct KeptToken {
    token: Mutex<Option<Token>>,
    /// Held by who fetches.
    fetching: Mutex<()>,
    failures: RecentFailures<()>,
}

impl KeptToken {
    /// The token at hand, or else what `fetch` brings. Who comes while another fetches one waits for that one, or for its error.
    pub(super) fn get(&self, fetch: impl FnOnce() -> Result<Token, AzureError>) -> Result<SecretString, AzureError> {
        if let Some(value) = self.value_if(Token::is_fresh) {
            return Ok(value);
        }
        let _turn = match self.fetching.try_lock() {
            Some(turn) => turn,
            None => match self.value_if(Token::is_good) {
                Some(value) => return Ok(value),
                None => self.fetching.lock(),
            },
        };
        if let Some(value) = self.value_if(Token::is_fresh) {
            return Ok(value);
        }
        if let Some(error) = self.failures.of(&()) {
            return self.value_if(Token::is_good).ok_or(error);
        }
        match fetch() {
            Ok(token) => {
                let value = token.value.clone();
                *self.token.lock() = Some(token);
                Ok(value)
            }
            Err(error) => self.last_while_it_lasts(error),
        }
    }

    fn last_while_it_lasts(&self, error: AzureError) -> Result<SecretString, AzureError> {
        self.failures.keep((), &error);
        let mut token = self.token.lock();
        match token.as_mut().filter(|token| token.is_good()) {
            Some(token) => {
                log::warn!(
                    "a token is not renewed, the old one is used while it lasts: {error}; hint: {}",
                    error.hint()
                );
                token.renew_at = Utc::now().timestamp() + RENEW_AGAIN_SECONDS;
                Ok(token.value.clone())
            }
            None => Err(error),
        }
    }

    /// Forgets the token if it is `refused`: another request may have brought a new one by now.
    pub(super) fn forget(&self, refused: &SecretString) {
        self.token
            .lock()
            .take_if(|token| token.value.expose_secret() == refused.expose_secret());
    }

    fn value_if(&self, is_so: fn(&Token) -> bool) -> Option<SecretString> {
        self.token
            .lock()
            .as_ref()
            .filter(|token| is_so(token))
            .map(|token| token.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str, left: i64) -> Option<Token> {
        Token::until(SecretString::from(value), Utc::now().timestamp() + left)
    }

    fn away() -> AzureError {
        AzureError::Malformed {
            service: "nobody".to_owned(),
            what: "nothing",
        }
    }

    fn due(value: &str, left: i64) -> KeptToken {
        let kept = KeptToken::default();
        *kept.token.lock() = token(value, left).map(|token| Token { renew_at: 0, ..token });
        kept
    }

    #[test]
    fn a_token_that_cannot_be_renewed_serves_while_it_lasts_and_is_not_asked_for_each_time() {
        let kept = due("old", 60);
        let value = kept.get(|| Err(away())).unwrap();
        assert_eq!(value.expose_secret(), "old");
        let value = kept.get(|| panic!("asked again at once")).unwrap();
        assert_eq!(value.expose_secret(), "old");
        kept.token.lock().as_mut().unwrap().end = 0;
        assert!(
            kept.get(|| panic!("asked again at once")).is_err(),
            "what has ended is of no use"
        );
    }

    #[test]
    fn while_one_fetches_the_others_use_the_one_at_hand() {
        let kept = due("old", 60);
        let value = kept.get(|| {
            assert_eq!(
                kept.get(|| panic!("a second one fetches")).unwrap().expose_secret(),
                "old"
            );
            Ok(token("new", 3600).unwrap())
        });
        assert_eq!(value.unwrap().expose_secret(), "new");
        assert_eq!(kept.get(|| panic!("fresh")).unwrap().expose_secret(), "new");
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten() {
        let kept = KeptToken::default();
        kept.get(|| Ok(token("new", 3600).unwrap())).unwrap();
        kept.forget(&SecretString::from("old"));
        assert_eq!(kept.get(|| panic!("it is there")).unwrap().expose_secret(), "new");
        kept.forget(&SecretString::from("new"));
        assert_eq!(
            kept.get(|| Ok(token("newer", 3600).unwrap())).unwrap().expose_secret(),
            "newer"
        );
    }

    #[test]
    fn times_of_others_are_bounded() {
        assert!(token("x", 0).is_none() && Token::until(SecretString::from("x"), i64::MIN).is_none());
        let far = Token::until(SecretString::from("x"), i64::MAX).unwrap();
        assert!(far.end <= Utc::now().timestamp() + LONGEST_SECONDS);
    }
}
