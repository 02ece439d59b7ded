//! Sessions in Redis: sealed records under a digest of their id, and lists of those that one user, or one session at the
//! provider, has. Calls block.

use chrono::{DateTime, Utc};

use super::{Lifetime, State};
use crate::web::{
    redis_store::{Kind, Name, RedisStore, StoreError},
    session::{Account, ProviderSession, Ticket, UserKey},
};

const SESSION: Kind = Kind("session");
const OF_USER: Kind = Kind("sessions-of-user");
const OF_PROVIDER_SESSION: Kind = Kind("sessions-of-provider-session");

/// Entry of a session's state that says when it began, for its longest time.
const STARTED: &str = "started_at";

/// A clone is another handle to the same sessions.
#[derive(Clone)]
pub struct RedisSessions {
    redis: RedisStore,
    lifetime: Lifetime,
}

impl RedisSessions {
    pub fn new(redis: RedisStore, lifetime: Lifetime) -> Self {
        Self { redis, lifetime }
    }

    /// Reading counts as use.
    pub fn load(&self, id: &str) -> Result<Option<State>, StoreError> {
        let name = Name::of(id);
        let Some(json) = self.redis.get(SESSION, &name, self.lifetime.idle)? else { return Ok(None) };
        let state = serde_json::from_slice::<State>(&json).ok().filter(|state| self.is_young(state));
        if state.is_none() {
            self.redis.remove(SESSION, &name)?;
        }
        Ok(state)
    }

    /// A new session.
    pub fn save(&self, id: &str, mut state: State) -> Result<(), StoreError> {
        state.insert(STARTED.to_owned(), Utc::now().to_rfc3339());
        let name = Name::of(id);
        self.redis.put(SESSION, &name, &json(&state), self.lifetime.idle)?;
        let Some(account) = Account::in_state(&state) else { return Ok(()) };
        self.redis.enlist(OF_USER, &of_user(account.user()), &name, self.lifetime.max)?;
        match account.provider_session() {
            Some(session) => self.redis.enlist(OF_PROVIDER_SESSION, &of_provider(&session), &name, self.lifetime.max),
            None => Ok(()),
        }
    }

    /// Only of a session that is still there; `false` of another.
    pub fn update(&self, id: &str, state: &State) -> Result<bool, StoreError> {
        self.redis.replace(SESSION, &Name::of(id), &json(state), self.lifetime.idle)
    }

    /// `false` of a session that was not there.
    pub fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.redis.remove(SESSION, &Name::of(id))
    }

    /// Ends every session that belongs to a session at the provider, and gives the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Result<Vec<Ticket>, StoreError> {
        self.end(OF_PROVIDER_SESSION, &of_provider(session))
    }

    /// Ends every session of a user, and gives the tickets of their sign-ins.
    pub fn end_sessions_of(&self, user: UserKey) -> Result<Vec<Ticket>, StoreError> {
        self.end(OF_USER, &of_user(user))
    }

    pub fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping()
    }

    fn end(&self, kind: Kind, list: &Name) -> Result<Vec<Ticket>, StoreError> {
        let mut tickets = Vec::new();
        for name in self.redis.members(kind, list)? {
            let json = self.redis.take(SESSION, &name)?;
            let state = json.and_then(|json| serde_json::from_slice::<State>(&json).ok());
            tickets.extend(state.and_then(|state| Account::in_state(&state)).map(|account| account.ticket));
            // One by one, so that those that are left are found when Redis fails half-way.
            self.redis.strike(kind, list, &name)?;
        }
        Ok(tickets)
    }

    fn is_young(&self, state: &State) -> bool {
        let started = state.get(STARTED).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        started.is_some_and(|started| {
            let age = (Utc::now() - started.to_utc()).to_std().unwrap_or_default();
            age < self.lifetime.max
        })
    }
}

fn of_user(UserKey { tenant_id, object_id }: UserKey) -> Name {
    Name::of(&format!("{tenant_id} {object_id}"))
}

fn of_provider(ProviderSession { issuer, sid }: &ProviderSession) -> Name {
    Name::of(&format!("{issuer} {sid}"))
}

fn json(state: &State) -> Vec<u8> {
    // A map of texts is always JSON.
    serde_json::to_vec(state).unwrap_or_default()
}
