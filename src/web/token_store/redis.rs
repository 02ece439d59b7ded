//! Tokens in Redis, sealed, ending after a time without use as sessions do.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Kept, TokenStore, Turn, Wait, patience};
use crate::web::{
    session::Ticket,
    storage::redis::{Kind, RedisStore, StoreError},
};

const TOKENS: Kind = Kind("tokens");
const TURN: Kind = Kind("refreshing");
/// What a refresh takes beside its requests at most, where a vault signs and is slow.
const SLACK_OF_AZURE: Duration = Duration::from_mins(1);

/// In one Redis.
pub struct RedisTokens {
    redis: RedisStore,
    idle: Duration,
    /// How long one waits for another's refresh.
    patience: Duration,
    /// Longest time for a refresh.
    longest_refresh: Duration,
}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    access_token: T,
    expires_at: DateTime<Utc>,
    refresh_token: Option<T>,
    refresh_at: DateTime<Utc>,
}

impl RedisTokens {
    /// Tokens that nobody uses for `idle` end. A request to Entra takes `timeout` at most.
    pub fn new(redis: RedisStore, idle: Duration, timeout: Duration) -> Self {
        Self {
            redis,
            idle,
            patience: patience(timeout),
            longest_refresh: timeout * 4 + SLACK_OF_AZURE,
        }
    }
}

impl TokenStore for RedisTokens {
    fn insert(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.redis.put(TOKENS, &ticket.name(), &json(&tokens), self.idle)
    }

    fn replace(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.redis
            .replace(TOKENS, &ticket.name(), &json(&tokens), self.idle)
            .map(drop)
    }

    fn get(&self, ticket: &Ticket) -> Result<Option<Kept>, StoreError> {
        let json = self.redis.get(TOKENS, &ticket.name(), self.idle)?;
        Ok(json
            .and_then(|json| serde_json::from_slice::<Record<SecretString>>(&json).ok())
            .map(|record| Kept {
                access_token: record.access_token,
                expires_at: record.expires_at,
                refresh_token: record.refresh_token,
                refresh_at: record.refresh_at,
            }))
    }

    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.redis.remove(TOKENS, &ticket.name()).map(drop)
    }

    fn turn(&self, ticket: &Ticket, wait: Wait) -> Result<Option<Turn>, StoreError> {
        let patience = if wait == Wait::NotAtAll {
            Duration::ZERO
        } else {
            self.patience
        };
        let lock = self.redis.lock(TURN, &ticket.name(), self.longest_refresh, patience)?;
        Ok(lock.map(|lock| Turn { _lock: Some(lock) }))
    }
}

fn json(tokens: &Kept) -> Zeroizing<Vec<u8>> {
    let record = Record {
        access_token: tokens.access_token.expose_secret(),
        expires_at: tokens.expires_at,
        refresh_token: tokens.refresh_token.as_ref().map(SecretString::expose_secret),
        refresh_at: tokens.refresh_at,
    };
    // Texts and times are always JSON.
    Zeroizing::new(serde_json::to_vec(&record).unwrap_or_default())
}
