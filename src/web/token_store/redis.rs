//! Tokens in Redis, sealed. They expire like sessions after a time without use.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::store::{LockMode, RefreshLock, StoredTokens, TokenStore, lock_timeout};
use crate::web::{
    session::Ticket,
    storage::{RedisStore, StoreError, redis::RecordKind},
};

const TOKENS: RecordKind = RecordKind("tokens");
const REFRESHING: RecordKind = RecordKind("refreshing");
/// What a refresh takes in addition to its requests at most, when a slow vault signs.
const VAULT_SLACK: Duration = Duration::from_mins(1);

/// Tokens in one Redis.
pub struct RedisTokens {
    redis: RedisStore,
    idle: Duration,
    lock_timeout: Duration,
    /// Longest time that a refresh takes.
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
    /// Tokens expire when they are not used for `idle`. A request to Entra ID takes at most `request_timeout`.
    pub fn new(redis: RedisStore, idle: Duration, request_timeout: Duration) -> Self {
        Self {
            redis,
            idle,
            lock_timeout: lock_timeout(request_timeout),
            longest_refresh: request_timeout * 4 + VAULT_SLACK,
        }
    }
}

impl TokenStore for RedisTokens {
    fn insert(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError> {
        self.redis.put(TOKENS, &ticket.name(), &json(&tokens), self.idle)
    }

    fn replace(&self, ticket: &Ticket, tokens: StoredTokens) -> Result<(), StoreError> {
        self.redis
            .replace(TOKENS, &ticket.name(), &json(&tokens), self.idle)
            .map(drop)
    }

    fn get(&self, ticket: &Ticket) -> Result<Option<StoredTokens>, StoreError> {
        let json = self.redis.get_and_extend(TOKENS, &ticket.name(), self.idle)?;
        Ok(json
            .and_then(|json| serde_json::from_slice::<Record<SecretString>>(&json).ok())
            .map(|record| StoredTokens {
                access_token: record.access_token,
                expires_at: record.expires_at,
                refresh_token: record.refresh_token,
                refresh_at: record.refresh_at,
            }))
    }

    fn remove(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.redis.remove(TOKENS, &ticket.name()).map(drop)
    }

    fn lock(&self, ticket: &Ticket, mode: LockMode) -> Result<Option<RefreshLock>, StoreError> {
        let timeout = match mode {
            LockMode::Try => Duration::ZERO,
            LockMode::Block => self.lock_timeout,
        };
        let lock = self
            .redis
            .lock(REFRESHING, &ticket.name(), self.longest_refresh, timeout)?;
        Ok(lock.map(RefreshLock::shared))
    }
}

fn json(tokens: &StoredTokens) -> Zeroizing<Vec<u8>> {
    let record = Record {
        access_token: tokens.access_token.expose_secret(),
        expires_at: tokens.expires_at,
        refresh_token: tokens.refresh_token.as_ref().map(SecretString::expose_secret),
        refresh_at: tokens.refresh_at,
    };
    // Strings and times always serialize.
    Zeroizing::new(serde_json::to_vec(&record).unwrap_or_default())
}
