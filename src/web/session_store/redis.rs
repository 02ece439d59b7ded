//! Sessions in Redis: sealed records under a digest of their id, and lists of those that one user, or one session at the
//! provider, has. Calls block.

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

/// Entry of a session's state that says when it began, for its longest time.
const STARTED: &str = "started_at";

/// A clone is another handle to the same sessions.
#[derive(Clone)]
pub struct RedisSessions {
    pub(super) redis: RedisStore,
    pub(super) lifetime: Lifetime,
    /// Most sessions of one user; beyond that the least recently used of the user's own ends.
    pub(super) per_user: usize,
    pub(super) tokens: Arc<dyn TokenStore>,
    pub(super) revocations: RevocationList,
}

impl RedisSessions {
    /// Reading counts as use. A record alone is not enough: somebody may have put back one that has ended.
    pub fn load(&self, id: &str) -> Result<Option<State>, StoreError> {
        let name = RecordName::of(id);
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

    /// A new session.
    pub fn save(&self, id: &str, mut state: State) -> Result<(), StoreError> {
        state.insert(STARTED.to_owned(), Utc::now().to_rfc3339());
        let name = RecordName::of(id);
        self.redis.put(SESSION, &name, &json(&state), self.lifetime.idle)?;
        let Some(account) = Account::in_state(&state) else {
            return Ok(());
        };
        self.redis
            .enlist(OF_USER, &account.user().name(), &name, self.lifetime.max)?;
        if let Some(session) = account.provider_session() {
            self.redis
                .enlist(OF_PROVIDER_SESSION, &of_provider(&session), &name, self.lifetime.max)?;
        }
        self.make_room(account.user(), &name)
    }

    /// Only of a session that is still there; `false` of another.
    pub fn update(&self, id: &str, state: &State) -> Result<bool, StoreError> {
        self.redis
            .replace(SESSION, &RecordName::of(id), &json(state), self.lifetime.idle)
    }

    /// `false` of a session that was not there.
    pub fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.end(&RecordName::of(id)).map(|(was_there, _)| was_there)
    }

    /// Ends every session that belongs to a session at the provider, and gives the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Result<Vec<Ticket>, StoreError> {
        self.end_all(OF_PROVIDER_SESSION, &of_provider(session))
    }

    /// Ends every session of a user that the list holds, and gives the tickets of their sign-ins.
    pub fn end_sessions_of(&self, user: UserKey) -> Result<Vec<Ticket>, StoreError> {
        self.end_all(OF_USER, &user.name())
    }

    pub fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping()
    }

    fn end_all(&self, kind: RecordKind, list: &RecordName) -> Result<Vec<Ticket>, StoreError> {
        let mut tickets = Vec::new();
        for name in self.redis.members(kind, list)? {
            tickets.extend(self.end(&name)?.1);
            // One by one, so that those that are left are found when Redis fails half-way.
            self.redis.strike(kind, list, &name)?;
        }
        Ok(tickets)
    }

    /// Ends the session whose record has this name, and takes its tokens away: whether it was there, and the ticket of its sign-in.
    fn end(&self, name: &RecordName) -> Result<(bool, Option<Ticket>), StoreError> {
        let json = self.redis.get(SESSION, name)?;
        let state = json.and_then(|json| serde_json::from_slice::<State>(&json).ok());
        let account = state.as_ref().and_then(Account::in_state);
        if let Some(account) = &account {
            // Before the record is gone, so that it cannot come back even if Redis fails in between.
            self.revocations.revoke_session(account.user(), name)?;
            // Nobody finds them once the record is gone, which alone names the ticket.
            self.tokens.remove(&account.ticket)?;
            self.redis.strike(OF_USER, &account.user().name(), name)?;
        }
        let was_there = self.redis.remove(SESSION, name)?;
        Ok((was_there, account.map(|account| account.ticket)))
    }

    /// Ends the user's least recently used sessions when there are too many, but never `newest`.
    fn make_room(&self, user: UserKey, newest: &RecordName) -> Result<(), StoreError> {
        let list = user.name();
        let members = self.redis.members(OF_USER, &list)?;
        if members.len() <= self.per_user {
            return Ok(());
        }
        let mut alive = Vec::new();
        for name in members.into_iter().filter(|name| name != newest) {
            // Each use prolongs a session by the same time, so the one with the least left was used first.
            match self.redis.life_left(SESSION, &name)? {
                Some(left) => alive.push((left, name)),
                None => self.redis.strike(OF_USER, &list, &name)?,
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

fn of_provider(ProviderSession { issuer, sid }: &ProviderSession) -> RecordName {
    RecordName::of(&format!("{issuer} {sid}"))
}

fn json(state: &State) -> Vec<u8> {
    // A map of texts is always JSON.
    serde_json::to_vec(state).unwrap_or_default()
}
