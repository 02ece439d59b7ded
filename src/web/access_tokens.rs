//! A valid access token for a signed-in user, whenever the site needs one: refreshed shortly before it ends, and by one
//! request at a time, since parallel refreshes sign users out. Blocks: never call it on a serving thread.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use chrono::{DateTime, Duration, Utc};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};

use super::{session::Ticket, token_store::TokenStore};
use crate::entra::{
    ConfidentialClient, TokenSet,
    aadsts::{EntraError, Remedy},
    confidential_client::SignInError,
};

/// A token with less than this left is refreshed before it is used.
const REFRESH_BEFORE: Duration = Duration::minutes(2);
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
        self.store.insert(ticket, tokens);
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
        if tokens.expires_at - Utc::now() >= REFRESH_BEFORE {
            return Ok(tokens.access_token);
        }
        match self.refresh(ticket, &tokens.access_token) {
            // Entra cannot be asked just now: the token serves as long as it lasts.
            Err(NoToken::Failed(error)) if tokens.expires_at > Utc::now() => {
                log::warn!("access token not refreshed, the old one is used while it lasts: {error}");
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
        self.store.replace(ticket, fresh);
        Ok(access_token)
    }
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
