//! What a token store does.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::web::{
    session::Ticket,
    storage::{StoreError, redis::Lock},
};

/// The tokens of one sign-in, and when to refresh them. `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct StoredTokens {
    /// Access token for the API.
    pub access_token: SecretString,
    /// When the access token expires.
    pub expires_at: DateTime<Utc>,
    /// Entra ID replaces it at each use.
    pub refresh_token: Option<SecretString>,
    /// From this time on, the access token is refreshed when it is used: in the background while it is still valid.
    pub refresh_at: DateTime<Utc>,
}

/// What to do while another replica refreshes the same tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Give up at once: the current token is still valid.
    Try,
    /// Wait as long as a refresh may take.
    Block,
}

/// What a refresh takes in addition to its requests, in most cases.
const SLACK: Duration = Duration::from_secs(5);

/// How long to wait for another request's refresh, when a request to Entra ID takes at most `request_timeout`.
pub fn lock_timeout(request_timeout: Duration) -> Duration {
    // A refresh may be repeated with another credential.
    request_timeout * 2 + SLACK
}

/// While it exists, no other replica refreshes the same tokens.
pub struct RefreshLock {
    _lock: Option<Lock>,
}

impl RefreshLock {
    /// The lock of tokens that only this process has.
    pub fn local() -> Self {
        Self { _lock: None }
    }

    /// The lock of tokens that all replicas share.
    pub fn shared(lock: Lock) -> Self {
        Self { _lock: Some(lock) }
    }
}

/// Stores tokens. All functions block.
pub trait TokenStore: Send + Sync {
    /// Stores the tokens of a new sign-in.
    ///
    /// # Errors
    /// When Redis does not answer; so for all functions here.
    fn insert(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError>;
    /// Replaces the tokens of a sign-in that still exists. Does nothing after a sign-out.
    fn replace(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError>;
    /// The tokens, unless the sign-in has ended.
    fn get(&self, ticket: &Ticket) -> Result<Option<StoredTokens>, StoreError>;
    /// Deletes the tokens.
    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError>;
    /// Locks the tokens for a refresh. `None` when another replica holds the lock for too long.
    fn lock(&self, ticket: &Ticket, mode: LockMode) -> Result<Option<RefreshLock>, StoreError>;
}
