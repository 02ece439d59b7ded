//! A valid access token for a signed-in user, whenever the site needs one: refreshed shortly before it ends, and by one
//! request at a time, since parallel refreshes sign users out. Blocks: never call it on a serving thread.

use std::{
    sync::{Arc, Mutex, PoisonError, TryLockError},
    time::{Duration as StdDuration, Instant},
};

use chrono::{DateTime, Duration, Utc};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};

use super::{
    redis_store::StoreError,
    session::Ticket,
    token_store::{Kept, TokenStore, Wait},
};
use crate::entra::{
    ConfidentialClient, TokenSet,
    aadsts::{EntraError, Remedy},
    confidential_client::SignInError,
};

/// A token with less than this left is refreshed before it is used.
const REFRESH_BEFORE: Duration = Duration::minutes(2);
/// And up to so much earlier, each token at a time of its own: people who signed in together after a restart would otherwise
/// all be refreshed in the same minute, hour by hour.
const REFRESH_JITTER: Duration = Duration::minutes(3);
/// A token that is still good is not refreshed again for so long after that failed.
const TRY_AGAIN_AFTER: Duration = Duration::seconds(30);
/// Who waited for a refresh that failed, and who comes so shortly after, does not ask again.
const ONE_FAILURE_FOR: StdDuration = StdDuration::from_secs(5);
/// Locks are forgotten after this; far longer than a refresh can take.
const LOCK_LIFETIME: StdDuration = StdDuration::from_mins(10);

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// The sign-in has ended, or Entra does not prolong it: the user must sign in again.
    #[error("the user must sign in again")]
    SignInAgain,
    /// Entra was asked and could not help, for a reason that signing in again does not mend.
    #[error(transparent)]
    Failed(#[from] SignInError),
    /// The same, a moment ago, for somebody else.
    #[error("a refresh failed a moment ago")]
    FailedJustNow,
    /// Nobody knows what tokens there are.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tokens of all signed-in users, and how to refresh them.
pub struct AccessTokens {
    store: Arc<dyn TokenStore>,
    client: Arc<ConfidentialClient>,
    refreshing: Cache<Ticket, Arc<Mutex<LastFailure>>>,
}

/// When a refresh failed last, for those who waited for it.
type LastFailure = Option<Instant>;

impl AccessTokens {
    /// Kept in `store`, refreshed by `client`.
    pub fn new(store: Arc<dyn TokenStore>, client: Arc<ConfidentialClient>) -> Self {
        Self { store, client, refreshing: Cache::builder().time_to_idle(LOCK_LIFETIME).build() }
    }

    /// Keeps the tokens of a new sign-in.
    ///
    /// # Errors
    /// When the place for them does not answer; so for the next two.
    pub fn keep(&self, ticket: &Ticket, tokens: TokenSet) -> Result<(), StoreError> {
        self.store.insert(ticket, Kept::new(tokens))
    }

    /// Ends sign-ins: a confidential client's refresh token outlives the sign-out at Entra, so it must be deleted.
    pub fn forget(&self, tickets: &[Ticket]) -> Result<(), StoreError> {
        tickets.iter().try_for_each(|ticket| self.store.remove(ticket))
    }

    /// When the user's access token ends, if there is one.
    pub fn expires_at(&self, ticket: &Ticket) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.store.get(ticket)?.map(|tokens| tokens.expires_at))
    }

    /// An access token with time left.
    ///
    /// # Errors
    /// When there is none and none can be had.
    pub fn valid(&self, ticket: &Ticket) -> Result<SecretString, NoToken> {
        let tokens = self.store.get(ticket)?.ok_or(NoToken::SignInAgain)?;
        let now = Utc::now();
        if tokens.refresh_at > now {
            return Ok(tokens.access_token);
        }
        let wait = if tokens.expires_at > now { Wait::NotAtAll } else { Wait::ForTheOther };
        self.refresh(ticket, &tokens.access_token, wait)
    }

    /// Another access token than `refused`, which the API did not take.
    ///
    /// # Errors
    /// When none can be had.
    pub fn instead_of(&self, ticket: &Ticket, refused: &SecretString) -> Result<SecretString, NoToken> {
        self.refresh(ticket, refused, Wait::ForTheOther)
    }

    /// One at a time. Whoever comes second waits, and finds the first one's new token; who does not wait goes on with the
    /// old one, which is still good.
    fn refresh(&self, ticket: &Ticket, old: &SecretString, wait: Wait) -> Result<SecretString, NoToken> {
        let lock = self.refreshing.get_with_by_ref(ticket, Arc::default);
        // A failure that a panic has left behind is as good as any.
        let turn_here = match wait {
            Wait::ForTheOther => Some(lock.lock().unwrap_or_else(PoisonError::into_inner)),
            Wait::NotAtAll => match lock.try_lock() {
                Ok(turn) => Some(turn),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            },
        };
        let Some(mut last_failure) = turn_here else { return Ok(old.clone()) };
        // And then among all replicas. Who has waited too long for another one goes on all the same.
        let turn = self.store.turn(ticket, wait)?;
        if turn.is_none() && wait == Wait::NotAtAll {
            return Ok(old.clone());
        }
        let tokens = self.store.get(ticket)?.ok_or(NoToken::SignInAgain)?;
        if tokens.access_token.expose_secret() != old.expose_secret() {
            return Ok(tokens.access_token);
        }
        // Somebody has just tried.
        match wait {
            Wait::NotAtAll if tokens.refresh_at > Utc::now() => return Ok(tokens.access_token),
            Wait::ForTheOther if last_failure.is_some_and(|at| at.elapsed() < ONE_FAILURE_FOR) => {
                return Err(NoToken::FailedJustNow);
            }
            _ => {}
        }
        let outcome = self.ask(ticket, &tokens);
        *last_failure = matches!(outcome, Err(NoToken::Failed(_))).then(Instant::now);
        match outcome {
            // Entra cannot be asked just now: the token serves as long as it lasts.
            Err(NoToken::Failed(error)) if wait == Wait::NotAtAll => {
                log::warn!("access token not refreshed, the old one is used while it lasts: {}", error.with_hint());
                let access_token = tokens.access_token.clone();
                self.store.replace(ticket, Kept { refresh_at: Utc::now() + TRY_AGAIN_AFTER, ..tokens })?;
                Ok(access_token)
            }
            other => other,
        }
    }

    fn ask(&self, ticket: &Ticket, tokens: &Kept) -> Result<SecretString, NoToken> {
        let refreshed = match &tokens.refresh_token {
            Some(refresh_token) => self.client.refresh(refresh_token).map_err(no_token),
            None => Err(NoToken::SignInAgain),
        };
        match refreshed {
            Ok(mut fresh) => {
                // RFC 6749 §6: without a new refresh token, the old one stays.
                fresh.refresh_token = fresh.refresh_token.or_else(|| tokens.refresh_token.clone());
                let access_token = fresh.access_token.clone();
                self.store.replace(ticket, Kept::new(fresh))?;
                Ok(access_token)
            }
            Err(NoToken::SignInAgain) => {
                // So that those who wait do not ask the same again.
                self.store.remove(ticket)?;
                Err(NoToken::SignInAgain)
            }
            Err(other) => Err(other),
        }
    }
}

impl Kept {
    /// Just received: when to refresh it is decided once, not at each use.
    fn new(tokens: TokenSet) -> Self {
        let TokenSet { access_token, expires_at, refresh_token } = tokens;
        Self { access_token, expires_at, refresh_token, refresh_at: refresh_at(expires_at, Utc::now(), rand::random()) }
    }
}

/// `fraction`, from 0 to 1, is how much earlier than needed; of a token that lives for less than an hour at most a twentieth of
/// its life.
fn refresh_at(expires_at: DateTime<Utc>, now: DateTime<Utc>, fraction: f64) -> DateTime<Utc> {
    let jitter = REFRESH_JITTER.min((expires_at - now) / 20).max(Duration::zero());
    let milliseconds = jitter.as_seconds_f64() * 1000.0 * fraction;
    #[expect(clippy::cast_possible_truncation, reason = "three minutes at most")]
    let earlier = Duration::milliseconds(milliseconds as i64);
    expires_at - REFRESH_BEFORE - earlier
}

fn no_token(error: SignInError) -> NoToken {
    match error {
        SignInError::Entra(answer) if ends_the_sign_in(&answer) => {
            log::info!("refresh refused, the user must sign in again: {} {:?}", answer.error, answer.code);
            NoToken::SignInAgain
        }
        other => NoToken::Failed(other),
    }
}

fn ends_the_sign_in(answer: &EntraError) -> bool {
    matches!(answer.remedy(), Remedy::SignInAgain | Remedy::Consent)
        || matches!(answer.error.as_str(), "invalid_grant" | "interaction_required" | "login_required")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_a_time_of_its_own_within_bounds() {
        let now = Utc::now();
        let before_the_end = |life: i64, fraction: f64| {
            let expires_at = now + Duration::seconds(life);
            (expires_at - refresh_at(expires_at, now, fraction)).num_seconds()
        };
        assert_eq!((before_the_end(3600, 0.0), before_the_end(3600, 0.5), before_the_end(3600, 1.0)), (120, 210, 300));
        assert_eq!(before_the_end(86_400, 1.0), 300, "never more than three minutes");
        assert_eq!(before_the_end(600, 1.0), 150, "a short one is not spent on it");
        assert_eq!(before_the_end(-5, 1.0), 120, "one that has ended");
    }
}
