//! Sessions in memory: bounded, ending after a time without use and, whatever happens, after a longest time.
//!
//! The cookie holds only a session id, encrypted. Another place to keep sessions is another implementation of
//! `actix_session`'s `SessionStore`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use moka::{Expiry, ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use uuid::Uuid;

use super::session::{ACCOUNT, Account, ProviderSession, Ticket, random_id};
use crate::config::ClientSettings;

type State = HashMap<String, String>;

/// An ordinary session weighs 1; each further so many bytes weigh 1 more, so that `max_sessions` bounds memory too.
const BYTES_PER_WEIGHT: usize = 8 * 1024;

/// Most sessions here that are found by one session at the provider; the oldest is forgotten first.
const MAX_PER_PROVIDER_SESSION: usize = 16;

/// How long sessions live.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Without use.
    pub idle: Duration,
    /// In all.
    pub max: Duration,
}

impl Lifetime {
    /// Of the settings.
    pub fn of(settings: &ClientSettings) -> Self {
        Self { idle: settings.session_idle, max: settings.session_max }
    }

    /// How long something that began at `started` and is used at `now` may go on without further use.
    pub fn left(self, started: Instant, now: Instant) -> Duration {
        self.idle.min(self.max.saturating_sub(now.saturating_duration_since(started)))
    }
}

/// Sessions in this process. A clone is another handle to the same sessions.
///
/// Anonymous and signed-in sessions are bounded apart: a flood of visitors who start a sign-in pushes nobody out who
/// is signed in.
#[derive(Clone)]
pub struct MemorySessionStore {
    anonymous: Cache<String, Record>,
    signed_in: Cache<String, Record>,
    /// Ids of the signed-in sessions that belong to one session at the provider.
    by_provider_session: Cache<ProviderSession, Arc<Vec<String>>>,
}

#[derive(Clone)]
struct Record {
    state: Arc<State>,
    started: Instant,
}

impl MemorySessionStore {
    /// Room for `max_sessions` anonymous and as many signed-in ones; the least recently used go first.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        let by_provider_session = Cache::builder().max_capacity(max_sessions).time_to_live(lifetime.max).build();
        Self { anonymous: cache(max_sessions, lifetime), signed_in: cache(max_sessions, lifetime), by_provider_session }
    }

    /// Ends every session that belongs to a session at the provider, and gives the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Vec<Ticket> {
        let ids = self.by_provider_session.remove(session).unwrap_or_default();
        let ended = ids.iter().filter_map(|id| self.signed_in.remove(id));
        ended.filter_map(|record| Account::in_state(&record.state)).map(|account| account.ticket).collect()
    }

    /// Ends every session of a user, and gives the tickets of their sign-ins. Looks through all sessions: some tens of
    /// milliseconds when there are ten thousand.
    pub fn end_sessions_of(&self, tenant_id: Uuid, object_id: Uuid) -> Vec<Ticket> {
        let of_user = self.signed_in.iter().filter_map(|(id, record)| {
            let account = Account::in_state(&record.state)?;
            ((account.tenant_id, account.object_id) == (tenant_id, object_id)).then_some((id, account.ticket))
        });
        let (ids, tickets): (Vec<_>, Vec<_>) = of_user.unzip();
        for id in ids {
            self.signed_in.invalidate(id.as_str());
        }
        tickets
    }

    fn index(&self, session: ProviderSession, id: &str) {
        self.by_provider_session.entry(session).and_upsert_with(|found| {
            let before = found.map(moka::Entry::into_value).unwrap_or_default();
            let surplus = (before.len() + 1).saturating_sub(MAX_PER_PROVIDER_SESSION);
            Arc::new(before.iter().skip(surplus).cloned().chain([id.to_owned()]).collect())
        });
    }

    fn record(&self, id: &str) -> Option<Record> {
        self.signed_in.get(id).or_else(|| self.anonymous.get(id))
    }
}

impl SessionStore for MemorySessionStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        Ok(self.record(key.as_ref()).map(|record| (*record.state).clone()))
    }

    async fn save(&self, state: State, _: &actix_web::cookie::time::Duration) -> Result<SessionKey, SaveError> {
        let id = random_id();
        let key = SessionKey::try_from(id.clone()).map_err(|error| SaveError::Other(error.into()))?;
        let cache = if state.contains_key(ACCOUNT) { &self.signed_in } else { &self.anonymous };
        // A sign-in always comes here, never through `update`: it renews the session id.
        if let Some(session) = Account::in_state(&state).and_then(|account| account.provider_session()) {
            self.index(session, &id);
        }
        cache.insert(id, Record { state: Arc::new(state), started: Instant::now() });
        Ok(key)
    }

    /// A session that has ended meanwhile, say by a sign-out in another tab, stays ended.
    async fn update(
        &self,
        key: SessionKey,
        state: State,
        _: &actix_web::cookie::time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        let state = Arc::new(state);
        for cache in [&self.signed_in, &self.anonymous] {
            cache.entry_by_ref(key.as_ref()).and_compute_with(|found| match found {
                Some(entry) => Op::Put(Record { state: Arc::clone(&state), started: entry.into_value().started }),
                None => Op::Nop,
            });
        }
        Ok(key)
    }

    /// Loading has already counted as use.
    async fn update_ttl(&self, _: &SessionKey, _: &actix_web::cookie::time::Duration) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        self.signed_in.invalidate(key.as_ref());
        self.anonymous.invalidate(key.as_ref());
        Ok(())
    }
}

fn cache(max_sessions: u64, lifetime: Lifetime) -> Cache<String, Record> {
    Cache::builder()
        .max_capacity(max_sessions)
        .weigher(|_, record: &Record| weight(&record.state))
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(EndOfLife(lifetime))
        .build()
}

fn weight(state: &State) -> u32 {
    let bytes: usize = state.iter().map(|(key, value)| key.len() + value.len()).sum();
    u32::try_from(bytes / BYTES_PER_WEIGHT).unwrap_or(u32::MAX - 1) + 1
}

/// A record that lives from when it began.
pub trait Started {
    /// When it began.
    fn started(&self) -> Instant;
}

impl Started for Record {
    fn started(&self) -> Instant {
        self.started
    }
}

/// Ends records as sessions end; using one prolongs it.
pub struct EndOfLife(pub Lifetime);

impl<K, R: Started> Expiry<K, R> for EndOfLife {
    fn expire_after_create(&self, _: &K, record: &R, now: Instant) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }

    fn expire_after_read(&self, _: &K, record: &R, now: Instant, _: Option<Duration>, _: Instant) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }

    fn expire_after_update(&self, _: &K, record: &R, now: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(self.0.left(record.started(), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: actix_web::cookie::time::Duration = actix_web::cookie::time::Duration::HOUR;

    fn store(max_sessions: u64, idle: Duration, max: Duration) -> MemorySessionStore {
        MemorySessionStore::new(max_sessions, Lifetime { idle, max })
    }

    fn hour() -> Duration {
        Duration::from_hours(1)
    }

    fn state(key: &str, value: &str) -> State {
        HashMap::from([(key.to_owned(), value.to_owned())])
    }

    #[actix_web::test]
    async fn a_session_that_has_ended_is_not_brought_back_by_a_late_write() {
        let store = store(10, hour(), hour());
        let key = store.save(state(ACCOUNT, "1"), &TTL).await.unwrap();
        store.delete(&key).await.unwrap();
        let key = store.update(key, state(ACCOUNT, "2"), &TTL).await.unwrap();
        assert!(store.load(&key).await.unwrap().is_none());
    }

    #[actix_web::test]
    async fn a_write_replaces_the_state_under_the_same_id() {
        let store = store(10, hour(), hour());
        let key = store.save(state("a", "1"), &TTL).await.unwrap();
        let id = key.as_ref().to_owned();
        let key = store.update(key, state("a", "2"), &TTL).await.unwrap();
        assert_eq!(key.as_ref(), id);
        assert_eq!(store.load(&key).await.unwrap(), Some(state("a", "2")));
    }

    #[actix_web::test]
    async fn an_id_that_the_store_did_not_make_names_no_session() {
        let store = store(10, hour(), hour());
        let key = SessionKey::try_from("planted".to_owned()).unwrap();
        let key = store.update(key, state("a", "1"), &TTL).await.unwrap();
        assert!(store.load(&key).await.unwrap().is_none());
    }

    #[actix_web::test]
    async fn a_flood_of_anonymous_sessions_pushes_nobody_out_who_is_signed_in() {
        let store = store(5, hour(), hour());
        let key = store.save(state(ACCOUNT, "1"), &TTL).await.unwrap();
        for _ in 0..100 {
            store.save(state("pending", "1"), &TTL).await.unwrap();
        }
        store.anonymous.run_pending_tasks();
        assert!(store.anonymous.entry_count() <= 5);
        assert!(store.load(&key).await.unwrap().is_some());
    }

    #[actix_web::test]
    async fn a_session_without_lifetime_left_is_gone() {
        let store = store(5, hour(), Duration::ZERO);
        let key = store.save(state(ACCOUNT, "1"), &TTL).await.unwrap();
        assert!(store.load(&key).await.unwrap().is_none());
    }

    #[test]
    fn use_prolongs_a_session_but_not_beyond_its_longest_time() {
        let lifetime = Lifetime { idle: Duration::from_mins(1), max: Duration::from_secs(100) };
        let start = Instant::now();
        let left = |after| lifetime.left(start, start + Duration::from_secs(after)).as_secs();
        assert_eq!([left(0), left(30), left(50), left(99), left(100), left(500)], [60, 60, 50, 1, 0, 0]);
    }

    #[test]
    fn a_session_that_holds_much_counts_as_several() {
        assert_eq!(weight(&state("a", "1")), 1);
        assert_eq!(weight(&state("a", &"x".repeat(BYTES_PER_WEIGHT * 3))), 4);
    }
}
