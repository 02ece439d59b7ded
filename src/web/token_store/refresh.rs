//! Valid access tokens for signed-in users. A token is refreshed in the background shortly before it expires, by one
//! request at a time: parallel refreshes sign users out.

use std::{
    sync::Arc,
    time::{Duration as StdDuration, Instant},
};

use actix_web::rt::time::timeout;
use chrono::{DateTime, Duration, Utc};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::store::{LockMode, StoredTokens, TokenStore};
use crate::{
    blocking_pool::PoolError,
    entra::{
        ClaimsChallenge, ConfidentialClient, TokenSet,
        aadsts::{EntraError, ErrorCategory},
        confidential_client::SignInError,
    },
    metrics::{self, sign_in::Outcome},
    web::{
        blocking_pools::BlockingPools,
        session::Ticket,
        storage::{StorageExecutor, StoreError},
    },
};

/// A token with less than this left is refreshed when it is used: in the background while it is still valid.
const REFRESH_BEFORE: Duration = Duration::minutes(2);
/// A token is refreshed up to this much earlier, at a random time. Otherwise users who signed in together after a
/// restart would all be refreshed in the same minute of each hour.
const REFRESH_JITTER: Duration = Duration::minutes(3);
/// How long after a failed refresh a token that is still valid is not refreshed again.
const RETRY_AFTER: Duration = Duration::seconds(30);
/// Requests that waited for a failed refresh, or arrive within this time after it, do not try again.
const FAILURE_MEMORY: StdDuration = StdDuration::from_secs(5);
/// Unused locks are dropped after this time, which is far longer than a refresh can take.
const LOCK_LIFETIME: StdDuration = StdDuration::from_mins(10);

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The sign-in has ended, or Entra ID does not renew it.
    #[error("the user must sign in again")]
    SignInRequired,
    /// A refresh cannot bring what Entra ID requires: the user must sign in and meet this claims challenge.
    #[error("Entra ID requires a stronger sign-in")]
    StepUpRequired(ClaimsChallenge),
    /// The refresh failed for a reason that a new sign-in does not resolve.
    #[error(transparent)]
    RefreshFailed(#[from] SignInError),
    /// A refresh for another request failed a moment ago.
    #[error("a refresh failed a moment ago")]
    FailedRecently,
    /// Too many requests refresh tokens at once.
    #[error(transparent)]
    Busy(#[from] PoolError),
    /// The token store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tokens of all signed-in users, and how to refresh them.
pub struct AccessTokens {
    store: Arc<dyn TokenStore>,
    client: Arc<ConfidentialClient>,
    refreshing: Cache<Ticket, Arc<Mutex<LastFailure>>>,
    pools: Arc<BlockingPools>,
    executor: StorageExecutor,
    /// How long a request waits for the refresh of another request.
    lock_timeout: StdDuration,
}

/// When a refresh failed last, for the requests that waited for it.
type LastFailure = Option<Instant>;

impl AccessTokens {
    /// Tokens in `store`, which `client` refreshes. `executor` must be that of the store.
    pub fn new(
        store: Arc<dyn TokenStore>,
        client: Arc<ConfidentialClient>,
        pools: Arc<BlockingPools>,
        executor: StorageExecutor,
        lock_timeout: StdDuration,
    ) -> Self {
        Self {
            store,
            client,
            refreshing: Cache::builder().time_to_idle(LOCK_LIFETIME).build(),
            pools,
            executor,
            lock_timeout,
        }
    }

    /// Stores the tokens of a new sign-in. Blocks, as the next two functions do.
    ///
    /// # Errors
    /// When the token store does not answer; so for the next two functions.
    pub fn insert(&self, ticket: &Ticket, tokens: TokenSet) -> Result<(), StoreError> {
        self.store.insert(ticket, StoredTokens::new(tokens))
    }

    /// Deletes the tokens of these sign-ins: a confidential client's refresh token outlives the sign-out at Entra ID.
    pub fn remove(&self, tickets: &[Ticket]) -> Result<(), StoreError> {
        tickets.iter().try_for_each(|ticket| self.store.remove(ticket))
    }

    /// When the user's access token expires, if there is one.
    pub fn expires_at(&self, ticket: &Ticket) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.store.get(ticket)?.map(|tokens| tokens.expires_at))
    }

    /// A valid access token. One that expires soon is refreshed in the background: no page waits for that.
    ///
    /// # Errors
    /// When there is none, and none can be obtained.
    pub async fn valid(self: &Arc<Self>, ticket: &Ticket) -> Result<SecretString, TokenError> {
        let tokens = self.load(ticket).await?.ok_or(TokenError::SignInRequired)?;
        let now = Utc::now();
        if tokens.expires_at <= now {
            return self.refresh(ticket, tokens.access_token).await;
        }
        if tokens.refresh_at <= now {
            self.refresh_in_background(ticket, &tokens.access_token);
        }
        Ok(tokens.access_token)
    }

    /// Another access token than `rejected`, which the API did not accept.
    ///
    /// # Errors
    /// When none can be obtained.
    pub async fn replace_rejected(
        self: &Arc<Self>,
        ticket: &Ticket,
        rejected: SecretString,
    ) -> Result<SecretString, TokenError> {
        self.refresh(ticket, rejected).await
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<StoredTokens>, StoreError> {
        let (store, ticket) = (Arc::clone(&self.store), ticket.clone());
        self.executor.run(move || store.get(&ticket)).await
    }

    /// Refreshes, one request at a time. The others wait without occupying a thread, and find the new token.
    async fn refresh(self: &Arc<Self>, ticket: &Ticket, old: SecretString) -> Result<SecretString, TokenError> {
        let guard = wait_for_lock(self.refreshing.get_with_by_ref(ticket, Arc::default), self.lock_timeout).await?;
        let (tokens, ticket) = (Arc::clone(self), ticket.clone());
        // Continues, and keeps the lock, even if the browser disconnects meanwhile.
        self.pools
            .tokens
            .run(move || tokens.refresh_now(&ticket, &old, LockMode::Block, guard))
            .await?
    }

    /// Refreshes, unless another request does so or no thread is free: the current token is valid.
    fn refresh_in_background(self: &Arc<Self>, ticket: &Ticket, old: &SecretString) {
        let Ok(guard) = self.refreshing.get_with_by_ref(ticket, Arc::default).try_lock_owned() else {
            return;
        };
        let (tokens, ticket, old) = (Arc::clone(self), ticket.clone(), old.clone());
        self.pools.tokens.try_start(move || {
            if let Err(error) = tokens.refresh_now(&ticket, &old, LockMode::Try, guard) {
                log::info!("access token not refreshed before it expires: {error}");
            }
        });
    }

    fn refresh_now(
        &self,
        ticket: &Ticket,
        old: &SecretString,
        mode: LockMode,
        mut last_failure: OwnedMutexGuard<LastFailure>,
    ) -> Result<SecretString, TokenError> {
        // The guard locks out this process's requests, this lock the other replicas. A request that has waited too long
        // goes on without it.
        let lock = self.store.lock(ticket, mode)?;
        if lock.is_none() && mode == LockMode::Try {
            return Ok(old.clone());
        }
        let tokens = self.store.get(ticket)?.ok_or(TokenError::SignInRequired)?;
        if tokens.access_token.expose_secret() != old.expose_secret() {
            return Ok(tokens.access_token);
        }
        // Another request has just tried.
        match mode {
            LockMode::Try if tokens.refresh_at > Utc::now() => return Ok(tokens.access_token),
            LockMode::Block if last_failure.is_some_and(|at| at.elapsed() < FAILURE_MEMORY) => {
                return Err(TokenError::FailedRecently);
            }
            _ => {}
        }
        let outcome = self.request_tokens(ticket, &tokens);
        *last_failure = matches!(outcome, Err(TokenError::RefreshFailed(_))).then(Instant::now);
        // The current token is used until it expires. The next attempt is later if Entra ID cannot be asked now, and
        // never if Entra ID requires more than a refresh can bring.
        let refresh_at = match &outcome {
            Err(TokenError::RefreshFailed(error)) => {
                log::warn!(
                    "access token not refreshed; the current one is used until it expires: {}",
                    error.with_hint()
                );
                Utc::now() + RETRY_AFTER
            }
            Err(TokenError::StepUpRequired(_)) => tokens.expires_at,
            _ => return outcome,
        };
        if mode == LockMode::Try {
            self.store.replace(ticket, StoredTokens { refresh_at, ..tokens })?;
        }
        outcome
    }

    /// Requests new tokens from Entra ID, and stores them.
    fn request_tokens(&self, ticket: &Ticket, tokens: &StoredTokens) -> Result<SecretString, TokenError> {
        let refreshed = match &tokens.refresh_token {
            Some(refresh_token) => {
                let refreshed = self.client.refresh(refresh_token);
                count(&refreshed);
                refreshed.map_err(token_error)
            }
            None => Err(TokenError::SignInRequired),
        };
        match refreshed {
            Ok(mut fresh) => {
                // RFC 6749 §6: without a new refresh token, the old one stays valid.
                fresh.refresh_token = fresh.refresh_token.or_else(|| tokens.refresh_token.clone());
                let access_token = fresh.access_token.clone();
                self.store.replace(ticket, StoredTokens::new(fresh))?;
                Ok(access_token)
            }
            Err(TokenError::SignInRequired) => {
                // So that waiting requests do not ask Entra ID the same again.
                self.store.remove(ticket)?;
                Err(TokenError::SignInRequired)
            }
            Err(other) => Err(other),
        }
    }
}

/// Waits until no other request of this process refreshes the same tokens.
async fn wait_for_lock(
    lock: Arc<Mutex<LastFailure>>,
    lock_timeout: StdDuration,
) -> Result<OwnedMutexGuard<LastFailure>, TokenError> {
    timeout(lock_timeout, lock.lock_owned())
        .await
        .map_err(|_| TokenError::FailedRecently)
}

impl StoredTokens {
    /// Tokens that were just received. The time to refresh them is chosen once, not at each use.
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

/// When to refresh a token. `fraction`, from 0 to 1, scales the jitter, which is at most a twentieth of the token's
/// lifetime.
fn refresh_at(expires_at: DateTime<Utc>, now: DateTime<Utc>, fraction: f64) -> DateTime<Utc> {
    let jitter = REFRESH_JITTER.min((expires_at - now) / 20).max(Duration::zero());
    let milliseconds = jitter.as_seconds_f64() * 1000.0 * fraction;
    #[expect(clippy::cast_possible_truncation, reason = "three minutes at most")]
    let earlier = Duration::milliseconds(milliseconds as i64);
    expires_at - REFRESH_BEFORE - earlier
}

/// Counts a refresh in the metrics.
fn count<T>(refreshed: &Result<T, SignInError>) {
    let (outcome, code) = match refreshed {
        Ok(_) => (Outcome::Success, None),
        Err(SignInError::Entra(error)) => {
            let outcome = match error.category() {
                _ if error.claims.is_some() => Outcome::StepUp,
                _ if requires_sign_in(error) => Outcome::UserRejected,
                ErrorCategory::Certificate | ErrorCategory::Configuration => Outcome::SiteRejected,
                _ => Outcome::Rejected,
            };
            (outcome, Some(error.bounded_label()))
        }
        Err(SignInError::Provider(_)) => (Outcome::Unreachable, None),
        Err(SignInError::Credential(_)) => (Outcome::CredentialUnusable, None),
        Err(_) => (Outcome::InvalidResponse, None),
    };
    metrics::sign_in::refreshed(outcome, code);
}

fn token_error(error: SignInError) -> TokenError {
    match error {
        SignInError::Entra(EntraError {
            claims: Some(claims), ..
        }) => TokenError::StepUpRequired(*claims),
        SignInError::Entra(error) if requires_sign_in(&error) => {
            log::info!(
                "refresh rejected, the user must sign in again: {} {:?}",
                error.error,
                error.code
            );
            TokenError::SignInRequired
        }
        other => TokenError::RefreshFailed(other),
    }
}

fn requires_sign_in(error: &EntraError) -> bool {
    matches!(error.category(), ErrorCategory::SignInAgain | ErrorCategory::Consent)
        || matches!(
            error.error.as_str(),
            "invalid_grant" | "interaction_required" | "login_required"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_request_that_waits_for_a_hanging_refresh_fails_after_a_while() {
        let lock = Arc::<Mutex<LastFailure>>::default();
        let hangs = Arc::clone(&lock).lock_owned().await;
        let guard = wait_for_lock(Arc::clone(&lock), StdDuration::from_millis(10)).await;
        assert!(matches!(guard, Err(TokenError::FailedRecently)));
        drop(hangs);
        assert!(wait_for_lock(lock, StdDuration::from_mins(1)).await.is_ok());
    }

    #[test]
    fn each_token_is_refreshed_at_its_own_time_within_bounds() {
        let now = Utc::now();
        let seconds_before_expiry = |life: i64, fraction: f64| {
            let expires_at = now + Duration::seconds(life);
            (expires_at - refresh_at(expires_at, now, fraction)).num_seconds()
        };
        assert_eq!(
            (
                seconds_before_expiry(3600, 0.0),
                seconds_before_expiry(3600, 0.5),
                seconds_before_expiry(3600, 1.0)
            ),
            (120, 210, 300)
        );
        assert_eq!(seconds_before_expiry(86_400, 1.0), 300, "never more than three minutes");
        assert_eq!(
            seconds_before_expiry(600, 1.0),
            150,
            "a short-lived token is not refreshed much earlier"
        );
        assert_eq!(seconds_before_expiry(-5, 1.0), 120, "an expired token");
    }
}
