//! The users' sessions: in this process, or in Redis, which several replicas share. The middleware that finds a request's own,
//! and how they are ended from elsewhere.
//!
//! The cookie holds only a session id, encrypted. A session ends after a time without use and, whatever happens, after a
//! longest time.

mod failure;
mod lifetime;
mod memory;
mod redis;
pub mod revocations;

use std::{collections::HashMap, sync::Arc};

use actix_session::{
    SessionMiddleware,
    config::BrowserSession,
    storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError},
};
use actix_web::cookie::{SameSite, time};

pub use self::{
    failure::{Trouble, noting_trouble, trouble},
    lifetime::{EndOfLife, Lifetime, Started},
};
use self::{
    failure::{forget, note, or_trouble},
    memory::MemorySessions,
    redis::RedisSessions,
};
use super::{
    cookies::Flags,
    session::{ACCOUNT, ProviderSession, Ticket, UserKey, random_id},
    session_store::revocations::SignOuts,
    storage::key_ring::KeyRing,
    storage::redis::{RedisStore, StoreError},
    token_store::TokenStore,
};
use crate::config::ClientSettings;

type State = HashMap<String, String>;

/// Sessions, wherever they are. A clone is another handle to the same ones.
#[derive(Clone)]
pub enum Sessions {
    /// In this process.
    InMemory(MemorySessions),
    /// In Redis.
    InRedis(RedisSessions),
}

impl Sessions {
    /// In `redis`, or else in this process. The tokens of a session that ends for want of room are taken out of `tokens`.
    pub fn new(
        settings: &ClientSettings,
        redis: Option<&RedisStore>,
        tokens: &Arc<dyn TokenStore>,
        sign_outs: &SignOuts,
    ) -> Self {
        let (lifetime, per_user) = (Lifetime::of(settings), settings.sessions_per_user);
        match redis {
            None => {
                let max = settings.max_sessions;
                Self::InMemory(MemorySessions::new(max, per_user, lifetime, Some(tokens), sign_outs))
            }
            Some(redis) => {
                let (redis, tokens, sign_outs) = (redis.clone(), Arc::clone(tokens), sign_outs.clone());
                Self::InRedis(RedisSessions {
                    redis,
                    lifetime,
                    per_user,
                    tokens,
                    sign_outs,
                })
            }
        }
    }

    /// Ends every session that belongs to a session at the provider, and gives the tickets of their sign-ins. Blocks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Result<Vec<Ticket>, StoreError> {
        match self {
            Self::InMemory(store) => Ok(store.end_provider_session(session)),
            Self::InRedis(store) => store.end_provider_session(session),
        }
    }

    /// Ends every session of a user, and gives the tickets of their sign-ins. Blocks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn end_sessions_of(&self, user: UserKey) -> Result<Vec<Ticket>, StoreError> {
        match self {
            Self::InMemory(store) => Ok(store.end_sessions_of(user)),
            Self::InRedis(store) => store.end_sessions_of(user),
        }
    }

    /// The middleware, inside of [`sort_out`](super::cookies::sort_out). The cookie holds the session id, encrypted by the
    /// newest key, and ends with the browser.
    pub fn middleware(&self, keys: &KeyRing, flags: Flags) -> SessionMiddleware<Self> {
        SessionMiddleware::builder(self.clone(), keys.newest())
            .cookie_name(flags.session_name().to_owned())
            .cookie_secure(flags.is_secure)
            .cookie_http_only(true)
            .cookie_same_site(SameSite::Lax)
            .cookie_path("/".to_owned())
            .session_lifecycle(BrowserSession::default())
            .build()
    }

    /// Whether the place where they are answers. Blocks.
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
                let loaded = store.redis.clone().off_thread(move || store.load(&id)).await;
                or_trouble(loaded.flatten(), Trouble::NotRead, None)
            }
        })
    }

    /// A sign-in always comes here, never through `update`: it renews the session id.
    async fn save(&self, state: State, _: &time::Duration) -> Result<SessionKey, SaveError> {
        let id = random_id();
        let key = SessionKey::try_from(id.clone()).map_err(|error| SaveError::Other(error.into()))?;
        if state.contains_key(ACCOUNT) {
            // Somebody has signed in, whatever has become of the session before.
            forget(Trouble::Ended);
        }
        match self {
            Self::InMemory(store) => store.save(&id, state),
            Self::InRedis(store) => {
                let store = store.clone();
                let saved = store.redis.clone().off_thread(move || store.save(&id, state)).await;
                or_trouble(saved.flatten(), Trouble::NotWritten, ());
            }
        }
        Ok(key)
    }

    /// A session that has ended meanwhile, say by a sign-out in another tab, stays ended.
    async fn update(&self, key: SessionKey, state: State, _: &time::Duration) -> Result<SessionKey, UpdateError> {
        let is_there = match self {
            Self::InMemory(store) => store.update(key.as_ref(), state),
            Self::InRedis(store) => {
                let (store, id) = (store.clone(), key.as_ref().to_owned());
                let updated = store.redis.clone().off_thread(move || store.update(&id, &state)).await;
                or_trouble(updated.flatten(), Trouble::NotWritten, true)
            }
        };
        if !is_there {
            note(Trouble::Ended);
        }
        Ok(key)
    }

    /// Loading has already counted as use.
    async fn update_ttl(&self, _: &SessionKey, _: &time::Duration) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        let was_there = match self {
            Self::InMemory(store) => store.delete(key.as_ref()),
            Self::InRedis(store) => {
                let (store, id) = (store.clone(), key.as_ref().to_owned());
                let deleted = store.redis.clone().off_thread(move || store.delete(&id)).await;
                or_trouble(deleted.flatten(), Trouble::NotWritten, true)
            }
        };
        if !was_there {
            note(Trouble::Ended);
        }
        Ok(())
    }
}
