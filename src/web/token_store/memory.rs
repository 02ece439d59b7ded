//! Tokens in this process. They are bounded, and expire like sessions.

use std::time::Instant;

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::store::{LockMode, RefreshLock, StoredTokens, TokenStore};
use crate::web::{
    session::{
        Ticket,
        lifetime::{Lifetime, SessionExpiry, Started},
    },
    storage::StoreError,
};

/// Tokens by ticket.
pub struct MemoryTokens(Cache<Ticket, Record>);

#[derive(Clone)]
struct Record {
    tokens: StoredTokens,
    started: Instant,
}

impl MemoryTokens {
    /// A store for the tokens of `max_sessions` sign-ins, which are deleted with their session. It has room for twice
    /// as many, so that tokens whose session was never saved, because the browser had disconnected, do not push out
    /// others.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        Self(
            Cache::builder()
                .max_capacity(max_sessions.saturating_mul(2))
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(SessionExpiry(lifetime))
                .build(),
        )
    }
}

impl TokenStore for MemoryTokens {
    fn insert(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError> {
        self.0.insert(
            ticket.clone(),
            Record {
                tokens,
                started: Instant::now(),
            },
        );
        Ok(())
    }

    fn replace(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError> {
        self.0.entry_by_ref(ticket).and_compute_with(|found| match found {
            Some(entry) => Op::Put(Record {
                tokens,
                started: entry.into_value().started,
            }),
            None => Op::Nop,
        });
        Ok(())
    }

    fn get(&self, ticket: &Ticket) -> Result<Option<StoredTokens>, StoreError> {
        Ok(self.0.get(ticket).map(|record| record.tokens))
    }

    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.0.invalidate(ticket);
        Ok(())
    }

    /// No other replica has these tokens.
    fn lock(&self, _: &Ticket, _: LockMode) -> Result<Option<RefreshLock>, StoreError> {
        Ok(Some(RefreshLock::local()))
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

    use chrono::Utc;
    use secrecy::{ExposeSecret, SecretString};

    use super::*;

    fn tokens(access: &str) -> StoredTokens {
        let now = Utc::now();
        StoredTokens {
            access_token: SecretString::from(access),
            expires_at: now,
            refresh_token: None,
            refresh_at: now,
        }
    }

    #[test]
    fn tokens_that_arrive_after_a_sign_out_are_not_stored() {
        let hour = Duration::from_hours(1);
        let store = MemoryTokens::new(10, Lifetime { idle: hour, max: hour });
        let ticket = Ticket::new();
        store.insert(&ticket, tokens("one")).unwrap();
        store.replace(&ticket, tokens("two")).unwrap();
        assert_eq!(store.get(&ticket).unwrap().unwrap().access_token.expose_secret(), "two");
        store.remove(&ticket).unwrap();
        store.replace(&ticket, tokens("three")).unwrap();
        assert!(store.get(&ticket).unwrap().is_none());
    }
}
