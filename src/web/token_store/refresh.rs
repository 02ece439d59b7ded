//! A valid access token for a signed-in user, whenever the site needs one: refreshed shortly before it ends, in the background, and by
//! one request at a time, since parallel refreshes sign users out.

use std::{
    sync::Arc,
    time::{Duration as StdDuration, Instant},
};

use actix_web::rt::time::timeout;
use chrono::{DateTime, Duration, Utc};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::entra::{
    ClaimsChallenge, ConfidentialClient, TokenSet,
    aadsts::{EntraError, ErrorCategory},
    confidential_client::SignInError,
};
use crate::web::{
    blocking_pools::{LaneError, Lanes},
    session::Ticket,
    storage::redis::{RedisStore, StoreError},
    token_store::{Kept, TokenStore, Wait},
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
    /// Entra wants more of the user than a refresh can bring: a sign-in with these claims.
    #[error("Entra ID demands another sign-in")]
    StepUp(ClaimsChallenge),
    /// Entra was asked and could not help, for a reason that signing in again does not mend.
    #[error(transparent)]
    Failed(#[from] SignInError),
    /// The same, a moment ago, for somebody else.
    #[error("a refresh failed a moment ago")]
    FailedJustNow,
    /// Too many ask at once.
    #[error(transparent)]
    Busy(#[from] LaneError),
    /// Nobody knows what tokens there are.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tokens of all signed-in users, and how to refresh them.
pub struct AccessTokens {
    store: Arc<dyn TokenStore>,
    client: Arc<ConfidentialClient>,
    refreshing: Cache<Ticket, Arc<Mutex<LastFailure>>>,
    lanes: Arc<Lanes>,
    /// Where the store is, unless it is in this process.
    redis: Option<RedisStore>,
    /// How long one waits for the refresh of another.
    patience: StdDuration,
}

/// When a refresh failed last, for those who waited for it.
type LastFailure = Option<Instant>;

impl AccessTokens {
    /// Kept in `store`, which is in `redis` or in this process; refreshed by `client`. Who waits for the refresh of another does so for
    /// `patience`.
    pub fn new(
        store: Arc<dyn TokenStore>,
        client: Arc<ConfidentialClient>,
        lanes: Arc<Lanes>,
        redis: Option<RedisStore>,
        patience: StdDuration,
    ) -> Self {
        Self {
            store,
            client,
            refreshing: Cache::builder().time_to_idle(LOCK_LIFETIME).build(),
            lanes,
            redis,
            patience,
        }
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

    /// An access token that is still good. One that ends soon is refreshed in the background: no page waits for that.
    ///
    /// # Errors
    /// When there is none and none can be had.
    pub async fn valid(self: &Arc<Self>, ticket: &Ticket) -> Result<SecretString, NoToken> {
        let tokens = self.look_up(ticket).await?.ok_or(NoToken::SignInAgain)?;
        let now = Utc::now();
        if tokens.expires_at <= now {
            return self.refresh(ticket, tokens.access_token).await;
        }
        if tokens.refresh_at <= now {
            self.refresh_in_background(ticket, &tokens.access_token);
        }
        Ok(tokens.access_token)
    }

    /// Another access token than `refused`, which the API did not take.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn instead_of(self: &Arc<Self>, ticket: &Ticket, refused: SecretString) -> Result<SecretString, NoToken> {
        self.refresh(ticket, refused).await
    }

    async fn look_up(&self, ticket: &Ticket) -> Result<Option<Kept>, StoreError> {
        match &self.redis {
            Some(redis) => {
                let (store, ticket) = (Arc::clone(&self.store), ticket.clone());
                redis.off_thread(move || store.get(&ticket)).await.flatten()
            }
            None => self.store.get(ticket),
        }
    }

    /// One at a time. Whoever comes second waits, without a thread, and finds the first one's new token.
    async fn refresh(self: &Arc<Self>, ticket: &Ticket, old: SecretString) -> Result<SecretString, NoToken> {
        let turn = turn_of(self.refreshing.get_with_by_ref(ticket, Arc::default), self.patience).await?;
        let (tokens, ticket) = (Arc::clone(self), ticket.clone());
        // Goes on, and keeps the turn, also when the browser has gone meanwhile.
        self.lanes
            .tokens
            .run(move || tokens.refresh_now(&ticket, &old, Wait::ForTheOther, turn))
            .await?
    }

    /// Unless somebody does so already, or the threads are in use: the token at hand is good.
    fn refresh_in_background(self: &Arc<Self>, ticket: &Ticket, old: &SecretString) {
        let Ok(turn) = self.refreshing.get_with_by_ref(ticket, Arc::default).try_lock_owned() else {
            return;
        };
        let (tokens, ticket, old) = (Arc::clone(self), ticket.clone(), old.clone());
        self.lanes.tokens.start(move || {
            if let Err(error) = tokens.refresh_now(&ticket, &old, Wait::NotAtAll, turn) {
                log::info!("access token not refreshed ahead of its end: {error}");
            }
        });
    }

    fn refresh_now(
        &self,
        ticket: &Ticket,
        old: &SecretString,
        wait: Wait,
        mut last_failure: OwnedMutexGuard<LastFailure>,
    ) -> Result<SecretString, NoToken> {
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
        // The token serves as long as it lasts: when Entra cannot be asked just now, for a while; when Entra wants more than a refresh
        // can bring, until its end.
        let again_at = match &outcome {
            Err(NoToken::Failed(error)) => {
                log::warn!(
                    "access token not refreshed, the old one is used while it lasts: {}",
                    error.with_hint()
                );
                Utc::now() + TRY_AGAIN_AFTER
            }
            Err(NoToken::StepUp(_)) => tokens.expires_at,
            _ => return outcome,
        };
        if wait == Wait::NotAtAll {
            self.store.replace(
                ticket,
                Kept {
                    refresh_at: again_at,
                    ..tokens
                },
            )?;
        }
        outcome
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

/// One's turn among the requests of this process.
async fn turn_of(
    lock: Arc<Mutex<LastFailure>>,
    patience: StdDuration,
) -> Result<OwnedMutexGuard<LastFailure>, NoToken> {
    timeout(patience, lock.lock_owned())
        .await
        .map_err(|_| NoToken::FailedJustNow)
}

impl Kept {
    /// Just received: when to refresh it is decided once, not at each use.
    fn new(tokens: TokenSet) -> Self {
        let TokenSet {
            access_token,
            expires_at,
            refresh_token,
        } = tokens;
        Self {
            access_token,
            expires_at,
            refresh_token,
            refresh_at: refresh_at(expires_at, Utc::now(), rand::random()),
        }
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
        SignInError::Entra(EntraError {
            claims: Some(claims), ..
        }) => NoToken::StepUp(*claims),
        SignInError::Entra(answer) if ends_the_sign_in(&answer) => {
            log::info!(
                "refresh refused, the user must sign in again: {} {:?}",
                answer.error,
                answer.code
            );
            NoToken::SignInAgain
        }
        other => NoToken::Failed(other),
    }
}

fn ends_the_sign_in(answer: &EntraError) -> bool {
    matches!(answer.category(), ErrorCategory::SignInAgain | ErrorCategory::Consent)
        || matches!(
            answer.error.as_str(),
            "invalid_grant" | "interaction_required" | "login_required"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn who_waits_for_a_refresh_that_hangs_is_told_after_a_while() {
        let lock = Arc::<Mutex<LastFailure>>::default();
        let hangs = Arc::clone(&lock).lock_owned().await;
        let turn = turn_of(Arc::clone(&lock), StdDuration::from_millis(10)).await;
        assert!(matches!(turn, Err(NoToken::FailedJustNow)));
        drop(hangs);
        assert!(turn_of(lock, StdDuration::from_mins(1)).await.is_ok());
    }

    #[test]
    fn each_token_has_a_time_of_its_own_within_bounds() {
        let now = Utc::now();
        let before_the_end = |life: i64, fraction: f64| {
            let expires_at = now + Duration::seconds(life);
            (expires_at - refresh_at(expires_at, now, fraction)).num_seconds()
        };
        assert_eq!(
            (
                before_the_end(3600, 0.0),
                before_the_end(3600, 0.5),
                before_the_end(3600, 1.0)
            ),
            (120, 210, 300)
        );
        assert_eq!(before_the_end(86_400, 1.0), 300, "never more than three minutes");
        assert_eq!(before_the_end(600, 1.0), 150, "a short one is not spent on it");
        assert_eq!(before_the_end(-5, 1.0), 120, "one that has ended");
    }
}
