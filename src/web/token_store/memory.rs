//! Tokens in this process, bounded and expiring as sessions are.

use std::time::Instant;

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::{Kept, TokenStore, Turn, Wait};
use crate::web::{
    session::Ticket,
    session_store::{EndOfLife, Lifetime, Started},
    storage::redis::StoreError,
};

/// Takes microseconds.
pub struct MemoryTokens(Cache<Ticket, Record>);

#[derive(Clone)]
struct Record {
    tokens: Kept,
    started: Instant,
}

impl MemoryTokens {
    /// Room for the tokens of `max_sessions` sign-ins. They go with their session; twice as many fit, so that tokens whose session
    /// was never kept, since the browser had gone, push out no others.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        Self(
            Cache::builder()
                .max_capacity(max_sessions.saturating_mul(2))
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(EndOfLife(lifetime))
                .build(),
        )
    }
}

impl TokenStore for MemoryTokens {
    fn insert(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.0.insert(
            ticket.clone(),
            Record {
                tokens,
                started: Instant::now(),
            },
        );
        Ok(())
    }

    fn replace(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.0.entry_by_ref(ticket).and_compute_with(|found| match found {
            Some(entry) => Op::Put(Record {
                tokens,
                started: entry.into_value().started,
            }),
            None => Op::Nop,
        });
        Ok(())
    }

    fn get(&self, ticket: &Ticket) -> Result<Option<Kept>, StoreError> {
        Ok(self.0.get(ticket).map(|record| record.tokens))
    }

    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.0.invalidate(ticket);
        Ok(())
    }

    /// Nobody else has them.
    fn turn(&self, _: &Ticket, _: Wait) -> Result<Option<Turn>, StoreError> {
        Ok(Some(Turn { _lock: None }))
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

    fn tokens(access: &str) -> Kept {
        let now = Utc::now();
        Kept {
            access_token: SecretString::from(access),
            expires_at: now,
            refresh_token: None,
            refresh_at: now,
        }
    }

    #[test]
    fn tokens_that_arrive_after_a_sign_out_are_not_kept() {
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
