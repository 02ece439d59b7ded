//! The tokens of signed-in users, on the server. They never reach the cookie, a page or a log.
//!
//! They live apart from the session's other state because two requests of one session may run at once: a refreshed
//! token must be there for the second before the first is answered, and must not come back after a sign-out.

mod memory;
mod redis;
pub mod refresh;

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

pub use self::{memory::MemoryTokens, redis::RedisTokens};
use super::{
    session::Ticket,
    storage::redis::{Lock, StoreError},
};

/// The tokens of one sign-in, and when to renew them. `Debug` shows none of them.
#[derive(Debug, Clone)]
pub struct Kept {
    /// For the API.
    pub access_token: SecretString,
    /// When the access token ends.
    pub expires_at: DateTime<Utc>,
    /// Replaced at each use.
    pub refresh_token: Option<SecretString>,
    /// From when on the access token is refreshed before it is used.
    pub refresh_at: DateTime<Utc>,
}

/// How long to wait for one's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the token at hand will do.
    NotAtAll,
    /// As long as a refresh may take.
    ForTheOther,
}

/// What a refresh takes beside its requests, mostly.
const SLACK: Duration = Duration::from_secs(5);

/// How long one waits for another's refresh, where a request to Entra takes `timeout` at most.
pub fn patience(timeout: Duration) -> Duration {
    // With another credential it may be repeated.
    timeout * 2 + SLACK
}

/// One's turn to refresh; over when it is dropped.
pub struct Turn {
    _lock: Option<Lock>,
}

/// Where tokens are kept. Blocks.
pub trait TokenStore: Send + Sync {
    /// Keeps the tokens of a new sign-in.
    ///
    /// # Errors
    /// When they are elsewhere, and that does not answer; so for all of these.
    fn insert(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError>;
    /// Replaces the tokens of a sign-in that is still there; after a sign-out it does nothing.
    fn replace(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError>;
    /// The tokens, unless the sign-in has ended.
    fn get(&self, ticket: &Ticket) -> Result<Option<Kept>, StoreError>;
    /// Ends the sign-in.
    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError>;
    /// Waits until no other replica refreshes these tokens; until it is dropped, none does. `None` when the wait was too long.
    fn turn(&self, ticket: &Ticket, wait: Wait) -> Result<Option<Turn>, StoreError>;
}
