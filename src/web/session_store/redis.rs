//! Sessions in Redis: sealed records under a digest of their id, and sets with the sessions of each user and of each
//! session at the provider. Calls block.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{revocations::RevocationList, state::State};
use crate::web::{
    session::{Account, ProviderSession, Ticket, UserKey, lifetime::Lifetime},
    storage::{
        RedisStore, StoreError,
        redis::{RecordKind, RecordName},
    },
    token_store::TokenStore,
};

const SESSION: RecordKind = RecordKind("session");
const OF_USER: RecordKind = RecordKind("sessions-of-user");
const OF_PROVIDER_SESSION: RecordKind = RecordKind("sessions-of-provider-session");

/// Entry of a session's state with the time when it began, to end it after its longest lifetime.
const STARTED: &str = "started_at";

/// Sessions in one Redis. A clone is another handle to the same sessions.
#[derive(Clone)]
pub struct RedisSessions {
    pub(super) redis: RedisStore,
    pub(super) lifetime: Lifetime,
    /// Most sessions of one user. Beyond that, the user's own least recently used session ends.
    pub(super) per_user: usize,
    pub(super) tokens: Arc<dyn TokenStore>,
    pub(super) revocations: RevocationList,
}

impl RedisSessions {
    /// Loads a session, which counts as use. The record alone does not suffice: an attacker may have restored one that
    /// had ended.
    pub fn load(&self, id: &str) -> Result<Option<State>, StoreError> {
        let name = RecordName::hash(id);
        let Some(json) = self.redis.get_and_extend(SESSION, &name, self.lifetime.idle)? else {
            return Ok(None);
        };
        let state = serde_json::from_slice::<State>(&json)
            .ok()
            .filter(|state| self.is_young(state));
        let has_ended = match state.as_ref().and_then(Account::in_state) {
            Some(account) => self
                .revocations
                .is_revoked(account.user(), account.signed_in_at, Some(&name))?,
            None => state.is_none(),
        };
        if has_ended {
            self.redis.remove(SESSION, &name)?;
        }
        Ok(state.filter(|_| !has_ended))
    }

    /// Saves a new session.
    pub fn save(&self, id: &str, mut state: State) -> Result<(), StoreError> {
        state.insert(STARTED.to_owned(), Utc::now().to_rfc3339());
        let name = RecordName::hash(id);
        self.redis.put(SESSION, &name, &json(&state), self.lifetime.idle)?;
        let Some(account) = Account::in_state(&state) else {
            return Ok(());
        };
        self.redis
            .add_members(OF_USER, &account.user().name(), &[name.as_str()], self.lifetime.max)?;
        if let Some(session) = account.provider_session() {
            self.redis.add_members(
                OF_PROVIDER_SESSION,
                &provider_session_name(&session),
                &[name.as_str()],
                self.lifetime.max,
            )?;
        }
        self.make_room(account.user(), &name)
    }

    /// Changes a session. Returns `false` when it no longer exists.
    pub fn update(&self, id: &str, state: &State) -> Result<bool, StoreError> {
        self.redis
            .replace(SESSION, &RecordName::hash(id), &json(state), self.lifetime.idle)
    }

    /// Deletes a session. Returns `false` when it did not exist.
    pub fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.end(&RecordName::hash(id)).map(|(existed, _)| existed)
    }

    /// Ends every session that belongs to a session at the provider, and returns the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Result<Vec<Ticket>, StoreError> {
        self.end_all(OF_PROVIDER_SESSION, &provider_session_name(session))
    }

    /// Ends every session of a user that is in the user's set, and returns the tickets of their sign-ins.
    pub fn end_sessions_of(&self, user: UserKey) -> Result<Vec<Ticket>, StoreError> {
        self.end_all(OF_USER, &user.name())
    }

    pub fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping()
    }

    fn end_all(&self, kind: RecordKind, set: &RecordName) -> Result<Vec<Ticket>, StoreError> {
        let mut tickets = Vec::new();
        for name in self.redis.members(kind, set)? {
            tickets.extend(self.end(&name)?.1);
            // One by one, so that the remaining ones are still in the set if Redis fails half-way.
            self.redis.remove_members(kind, set, &[name.as_str()])?;
        }
        Ok(tickets)
    }

    /// Ends the session whose record has this name, and deletes its tokens. Returns whether it existed, and the ticket
    /// of its sign-in.
    fn end(&self, name: &RecordName) -> Result<(bool, Option<Ticket>), StoreError> {
        let json = self.redis.get(SESSION, name)?;
        let state = json.and_then(|json| serde_json::from_slice::<State>(&json).ok());
        let account = state.as_ref().and_then(Account::in_state);
        if let Some(account) = &account {
            // Before the record is deleted, so that it cannot come back even if Redis fails in between.
            self.revocations.revoke_session(account.user(), name)?;
            // Only the record names the ticket: without it, the tokens cannot be found.
            self.tokens.remove(&account.ticket)?;
            self.redis
                .remove_members(OF_USER, &account.user().name(), &[name.as_str()])?;
        }
        let existed = self.redis.remove(SESSION, name)?;
        Ok((existed, account.map(|account| account.ticket)))
    }

    /// Ends the user's least recently used sessions when there are too many, but never `newest`.
    fn make_room(&self, user: UserKey, newest: &RecordName) -> Result<(), StoreError> {
        let set = user.name();
        let members = self.redis.members(OF_USER, &set)?;
        if members.len() <= self.per_user {
            return Ok(());
        }
        let mut alive = Vec::new();
        for name in members.into_iter().filter(|name| name != newest) {
            // Each use extends a session by the same time, so the session with the least time left was used least
            // recently.
            match self.redis.remaining_lifetime(SESSION, &name)? {
                Some(left) => alive.push((left, name)),
                None => self.redis.remove_members(OF_USER, &set, &[name.as_str()])?,
            }
        }
        alive.sort_by_key(|(left, _)| *left);
        let surplus = (alive.len() + 1).saturating_sub(self.per_user);
        for (_, name) in alive.iter().take(surplus) {
            self.end(name)?;
        }
        Ok(())
    }

    fn is_young(&self, state: &State) -> bool {
        let started = state
            .get(STARTED)
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        started.is_some_and(|started| {
            let age = (Utc::now() - started.to_utc()).to_std().unwrap_or_default();
            age < self.lifetime.max
        })
    }
}

fn provider_session_name(ProviderSession { issuer, sid }: &ProviderSession) -> RecordName {
    RecordName::hash(&format!("{issuer} {sid}"))
}

fn json(state: &State) -> Vec<u8> {
    // A map of strings always serializes.
    serde_json::to_vec(state).unwrap_or_default()
}
