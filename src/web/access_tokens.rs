//! A valid access token for a signed-in user, whenever the site needs one: refreshed shortly before it ends, and by one
//! request at a time, since parallel refreshes sign users out. Blocks: never call it on a serving thread.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use chrono::{DateTime, Duration, Utc};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};

use super::{
    session::Ticket,
    token_store::{Kept, TokenStore},
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
}

/// The tokens of all signed-in users, and how to refresh them.
pub struct AccessTokens {
    store: Box<dyn TokenStore>,
    client: Arc<ConfidentialClient>,
    refreshing: Cache<Ticket, Arc<Mutex<()>>>,
}

impl AccessTokens {
    /// Kept in `store`, refreshed by `client`.
    pub fn new(store: Box<dyn TokenStore>, client: Arc<ConfidentialClient>) -> Self {
        Self { store, client, refreshing: Cache::builder().time_to_idle(LOCK_LIFETIME).build() }
    }

    /// Keeps the tokens of a new sign-in.
    pub fn keep(&self, ticket: &Ticket, tokens: TokenSet) {
        self.store.insert(ticket, Kept::new(tokens));
    }

    /// Ends a sign-in: a confidential client's refresh token outlives the sign-out at Entra, so it must be deleted.
    pub fn forget(&self, ticket: &Ticket) {
        self.store.remove(ticket);
    }

    /// When the user's access token ends, if there is one.
    pub fn expires_at(&self, ticket: &Ticket) -> Option<DateTime<Utc>> {
        self.store.get(ticket).map(|tokens| tokens.expires_at)
    }

    /// An access token with time left.
    ///
    /// # Errors
    /// When there is none and none can be had.
    pub fn valid(&self, ticket: &Ticket) -> Result<SecretString, NoToken> {
        let tokens = self.store.get(ticket).ok_or(NoToken::SignInAgain)?;
        if tokens.refresh_at > Utc::now() {
            return Ok(tokens.access_token);
        }
        match self.refresh(ticket, &tokens.access_token) {
            // Entra cannot be asked just now: the token serves as long as it lasts.
            Err(NoToken::Failed(error)) if tokens.expires_at > Utc::now() => {
                log::warn!("access token not refreshed, the old one is used while it lasts: {}", error.with_hint());
                Ok(tokens.access_token)
            }
            other => other,
        }
    }

    /// Another access token than `refused`, which the API did not take.
    ///
    /// # Errors
    /// When none can be had.
    pub fn instead_of(&self, ticket: &Ticket, refused: &SecretString) -> Result<SecretString, NoToken> {
        self.refresh(ticket, refused)
    }

    /// Whoever comes second waits, and finds the first one's new token.
    fn refresh(&self, ticket: &Ticket, old: &SecretString) -> Result<SecretString, NoToken> {
        let lock = self.refreshing.get_with_by_ref(ticket, Arc::default);
        // The lock guards no data: one left by a panic is as good as any.
        let _turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = self.store.get(ticket).ok_or(NoToken::SignInAgain)?;
        if tokens.access_token.expose_secret() != old.expose_secret() {
            return Ok(tokens.access_token);
        }
        let Some(refresh_token) = tokens.refresh_token else {
            return Err(NoToken::SignInAgain);
        };
        let mut fresh = self.client.refresh(&refresh_token).map_err(no_token)?;
        // RFC 6749 §6: without a new refresh token, the old one stays.
        fresh.refresh_token = fresh.refresh_token.or(Some(refresh_token));
        let access_token = fresh.access_token.clone();
        self.store.replace(ticket, Kept::new(fresh));
        Ok(access_token)
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
