//! The users' sessions: in this process, or in Redis, which several replicas share. Contains the middleware that loads
//! the session of a request, and ends sessions from elsewhere.
//!
//! The cookie holds only an encrypted session id. A session ends after a time without use, and in any case after its
//! longest lifetime.

mod failure;
mod memory;
mod redis;
mod revocations;
mod session_index;
mod state;

use std::sync::Arc;

use actix_session::{
    SessionMiddleware,
    config::BrowserSession,
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError},
};
use actix_web::cookie::{SameSite, time};

pub use self::{
    failure::{SessionFailure, current_failure, track_failures},
    revocations::RevocationList,
};
use self::{
    failure::{clear_failure, or_record_failure, record_failure},
    memory::MemorySessions,
    redis::RedisSessions,
    state::State,
};
use super::{
    cookies::CookieAttributes,
    session::{ACCOUNT, ProviderSession, Ticket, UserKey, lifetime::Lifetime},
    storage::{KeyRing, RedisStore, StoreError, random_id},
    token_store::TokenStore,
};
use crate::config::ClientSettings;

/// The session store. A clone is another handle to the same sessions.
#[derive(Clone)]
pub enum Sessions {
    /// In this process.
    InMemory(MemorySessions),
    /// In Redis.
    InRedis(RedisSessions),
}

impl Sessions {
    /// A store in `redis`, or in this process. A session that is evicted takes its tokens out of `tokens`.
    pub fn new(
        settings: &ClientSettings,
        redis: Option<&RedisStore>,
        tokens: &Arc<dyn TokenStore>,
        revocations: &RevocationList,
    ) -> Self {
        let (lifetime, per_user) = (Lifetime::from_settings(settings), settings.sessions_per_user);
        match redis {
            None => {
                let max = settings.max_sessions;
                Self::InMemory(MemorySessions::new(max, per_user, lifetime, Some(tokens), revocations))
            }
            Some(redis) => {
                let (redis, tokens, revocations) = (redis.clone(), Arc::clone(tokens), revocations.clone());
                Self::InRedis(RedisSessions {
                    redis,
                    lifetime,
                    per_user,
                    tokens,
                    revocations,
                })
            }
        }
    }

    /// Ends every session that belongs to a session at the provider, and returns the tickets of their sign-ins. Blocks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Result<Vec<Ticket>, StoreError> {
        match self {
            Self::InMemory(store) => Ok(store.end_provider_session(session)),
            Self::InRedis(store) => store.end_provider_session(session),
        }
    }

    /// Ends every session of a user, and returns the tickets of their sign-ins. Blocks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn end_sessions_of(&self, user: UserKey) -> Result<Vec<Ticket>, StoreError> {
        match self {
            Self::InMemory(store) => Ok(store.end_sessions_of(user)),
            Self::InRedis(store) => store.end_sessions_of(user),
        }
    }

    /// The middleware that loads and saves the session of a request. It belongs inside `filter_cookies`. The cookie
    /// holds the session id, encrypted with the newest key, and lives as long as the browser.
    pub fn middleware(&self, keys: &KeyRing, attributes: CookieAttributes) -> SessionMiddleware<Self> {
        SessionMiddleware::builder(self.clone(), keys.newest())
            .cookie_name(attributes.session_cookie_name().to_owned())
            .cookie_secure(attributes.is_secure)
            .cookie_http_only(true)
            .cookie_same_site(SameSite::Lax)
            .cookie_path("/".to_owned())
            .session_lifecycle(BrowserSession::default())
            .build()
    }

    /// Whether sessions are in this process.
    pub fn is_in_memory(&self) -> bool {
        matches!(self, Self::InMemory(_))
    }

    /// Checks that the store answers. Blocks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::InMemory(_) => Ok(()),
            Self::InRedis(store) => store.ping(),
        }
    }
}

impl SessionStore for Sessions {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        Ok(match self {
            Self::InMemory(store) => store.load(key.as_ref()),
            Self::InRedis(store) => {
                let (store, id) = (store.clone(), key.as_ref().to_owned());
                let loaded = store.redis.clone().run_blocking(move || store.load(&id)).await;
                or_record_failure(loaded.flatten(), SessionFailure::NotRead, None)
            }
        })
    }

    /// A sign-in always comes here, never through `update`: it renews the session id.
    async fn save(&self, state: State, _: &time::Duration) -> Result<SessionKey, SaveError> {
        let id = random_id();
        let key = SessionKey::try_from(id.clone()).map_err(|error| SaveError::Other(error.into()))?;
        if state.contains_key(ACCOUNT) {
            // The user has signed in: the end of the previous session no longer matters.
            clear_failure(SessionFailure::Ended);
        }
        match self {
            Self::InMemory(store) => store.save(&id, state),
            Self::InRedis(store) => {
                let store = store.clone();
                let saved = store.redis.clone().run_blocking(move || store.save(&id, state)).await;
                or_record_failure(saved.flatten(), SessionFailure::NotWritten, ());
            }
        }
        Ok(key)
    }

    /// A session that has ended meanwhile, for example by a sign-out in another tab, stays ended.
    async fn update(&self, key: SessionKey, state: State, _: &time::Duration) -> Result<SessionKey, UpdateError> {
        let is_there = match self {
            Self::InMemory(store) => store.update(key.as_ref(), state),
            Self::InRedis(store) => {
                let (store, id) = (store.clone(), key.as_ref().to_owned());
                let updated = store
                    .redis
                    .clone()
                    .run_blocking(move || store.update(&id, &state))
                    .await;
                or_record_failure(updated.flatten(), SessionFailure::NotWritten, true)
            }
        };
        if !is_there {
            record_failure(SessionFailure::Ended);
        }
        Ok(key)
    }

    /// Does nothing: loading has already extended the session.
    async fn update_ttl(&self, _: &SessionKey, _: &time::Duration) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        let was_there = match self {
            Self::InMemory(store) => store.delete(key.as_ref()),
            Self::InRedis(store) => {
                let (store, id) = (store.clone(), key.as_ref().to_owned());
                let deleted = store.redis.clone().run_blocking(move || store.delete(&id)).await;
                or_record_failure(deleted.flatten(), SessionFailure::NotWritten, true)
            }
        };
        if !was_there {
            record_failure(SessionFailure::Ended);
        }
        Ok(())
    }
}
