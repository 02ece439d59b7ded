//! The tokens of signed-in users, on the server. They never reach the cookie, a page or a log.
//!
//! They live apart from the session's other state because two requests of one session may run at once: a refreshed
//! token must be there for the second before the first is answered, and must not come back after a sign-out.

use std::time::Instant;

use chrono::{DateTime, Utc};
use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use secrecy::SecretString;

use super::{
    session::Ticket,
    session_store::{EndOfLife, Lifetime, Started},
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

/// Where tokens are kept. May block: call it where blocking is allowed, unless the implementation says otherwise.
pub trait TokenStore: Send + Sync {
    /// Keeps the tokens of a new sign-in.
    fn insert(&self, ticket: &Ticket, tokens: Kept);
    /// Replaces the tokens of a sign-in that is still there; after a sign-out it does nothing.
    fn replace(&self, ticket: &Ticket, tokens: Kept);
    /// The tokens, unless the sign-in has ended.
    fn get(&self, ticket: &Ticket) -> Option<Kept>;
    /// Ends the sign-in.
    fn remove(&self, ticket: &Ticket);
}

/// Tokens in this process, bounded and expiring as sessions are. Takes microseconds.
pub struct MemoryTokenStore(Cache<Ticket, Record>);

#[derive(Clone)]
struct Record {
    tokens: Kept,
    started: Instant,
}

impl MemoryTokenStore {
    /// Room for the tokens of `max_sessions` sign-ins; the least recently used go first.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        Self(
            Cache::builder()
                .max_capacity(max_sessions)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(EndOfLife(lifetime))
                .build(),
        )
    }
}

impl TokenStore for MemoryTokenStore {
    fn insert(&self, ticket: &Ticket, tokens: Kept) {
        self.0.insert(ticket.clone(), Record { tokens, started: Instant::now() });
    }

    fn replace(&self, ticket: &Ticket, tokens: Kept) {
        self.0.entry_by_ref(ticket).and_compute_with(|found| match found {
            Some(entry) => Op::Put(Record { tokens, started: entry.into_value().started }),
            None => Op::Nop,
        });
    }

    fn get(&self, ticket: &Ticket) -> Option<Kept> {
        self.0.get(ticket).map(|record| record.tokens)
    }

    fn remove(&self, ticket: &Ticket) {
        self.0.invalidate(ticket);
    }
}

impl Started for Record {
    fn started(&self) -> Instant {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;

    fn tokens(access: &str) -> Kept {
        let now = Utc::now();
        Kept { access_token: SecretString::from(access), expires_at: now, refresh_token: None, refresh_at: now }
    }

    #[test]
    fn tokens_that_arrive_after_a_sign_out_are_not_kept() {
        let hour = Duration::from_hours(1);
        let store = MemoryTokenStore::new(10, Lifetime { idle: hour, max: hour });
        let ticket = Ticket::new();
        store.insert(&ticket, tokens("one"));
        store.replace(&ticket, tokens("two"));
        assert_eq!(store.get(&ticket).unwrap().access_token.expose_secret(), "two");
        store.remove(&ticket);
        store.replace(&ticket, tokens("three"));
        assert!(store.get(&ticket).is_none());
    }
}
