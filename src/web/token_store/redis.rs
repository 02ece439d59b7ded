//! Tokens in Redis, sealed, ending after a time without use as sessions do.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Kept, TokenStore};
use crate::web::{
    redis_store::{Kind, RedisStore, StoreError, Turn},
    session::Ticket,
};

const TOKENS: Kind = Kind("tokens");
const TURN: Kind = Kind("refreshing");
/// When a replica ends while it refreshes, the others wait for so long.
const TURN_LIFE: Duration = Duration::from_secs(30);
/// How long to wait for another replica that refreshes the same tokens.
const PATIENCE: Duration = Duration::from_secs(10);

/// In one Redis.
pub struct RedisTokens {
    redis: RedisStore,
    idle: Duration,
}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    access_token: T,
    expires_at: DateTime<Utc>,
    refresh_token: Option<T>,
    refresh_at: DateTime<Utc>,
}

impl RedisTokens {
    /// Tokens that nobody uses for `idle` end.
    pub fn new(redis: RedisStore, idle: Duration) -> Self {
        Self { redis, idle }
    }
}

impl TokenStore for RedisTokens {
    fn insert(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.redis.put(TOKENS, &ticket.name(), &json(&tokens), self.idle)
    }

    fn replace(&self, ticket: &Ticket, tokens: Kept) -> Result<(), StoreError> {
        self.redis.replace(TOKENS, &ticket.name(), &json(&tokens), self.idle)
    }

    fn get(&self, ticket: &Ticket) -> Result<Option<Kept>, StoreError> {
        let json = self.redis.get(TOKENS, &ticket.name(), self.idle)?;
        Ok(json.and_then(|json| serde_json::from_slice::<Record<SecretString>>(&json).ok()).map(|record| Kept {
            access_token: record.access_token,
            expires_at: record.expires_at,
            refresh_token: record.refresh_token,
            refresh_at: record.refresh_at,
        }))
    }

    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.redis.remove(TOKENS, &ticket.name())
    }

    fn turn(&self, ticket: &Ticket) -> Result<Option<Turn>, StoreError> {
        self.redis.turn(TURN, &ticket.name(), TURN_LIFE, PATIENCE).map(Some)
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
