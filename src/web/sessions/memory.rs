//! Sessions in this process: bounded, ending after a time without use and, whatever happens, after a longest time.

use std::{sync::Arc, time::Instant};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use uuid::Uuid;

use super::{EndOfLife, Lifetime, Started, State};
use crate::web::session::{ACCOUNT, Account, ProviderSession, Ticket};

/// An ordinary session weighs 1; each further so many bytes weigh 1 more, so that `max_sessions` bounds memory too.
const BYTES_PER_WEIGHT: usize = 8 * 1024;

/// Most sessions here that are found by one session at the provider; the oldest is forgotten first.
const MAX_PER_PROVIDER_SESSION: usize = 16;

/// Sessions in this process. A clone is another handle to the same sessions.
///
/// Anonymous and signed-in sessions are bounded apart: a flood of visitors who start a sign-in pushes nobody out who
/// is signed in.
#[derive(Clone)]
pub struct MemorySessions {
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

impl MemorySessions {
    /// Room for `max_sessions` anonymous and as many signed-in ones; the least recently used go first.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        let by_provider_session = Cache::builder().max_capacity(max_sessions).time_to_live(lifetime.max).build();
        Self { anonymous: cache(max_sessions, lifetime), signed_in: cache(max_sessions, lifetime), by_provider_session }
    }

    pub fn load(&self, id: &str) -> Option<State> {
        self.record(id).map(|record| (*record.state).clone())
    }

    pub fn save(&self, id: String, state: State) {
        let cache = if state.contains_key(ACCOUNT) { &self.signed_in } else { &self.anonymous };
        if let Some(session) = Account::in_state(&state).and_then(|account| account.provider_session()) {
            self.index(session, &id);
        }
        cache.insert(id, Record { state: Arc::new(state), started: Instant::now() });
    }

    pub fn update(&self, id: &str, state: State) {
        let state = Arc::new(state);
        for cache in [&self.signed_in, &self.anonymous] {
            cache.entry_by_ref(id).and_compute_with(|found| match found {
                Some(entry) => Op::Put(Record { state: Arc::clone(&state), started: entry.into_value().started }),
                None => Op::Nop,
            });
        }
    }

    pub fn delete(&self, id: &str) {
        self.signed_in.invalidate(id);
        self.anonymous.invalidate(id);
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

impl Started for Record {
    fn started(&self) -> Instant {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn store(max_sessions: u64, max: Duration) -> MemorySessions {
        MemorySessions::new(max_sessions, Lifetime { idle: HOUR, max })
    }

    fn state(key: &str, value: &str) -> State {
        HashMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_session_that_has_ended_is_not_brought_back_by_a_late_write() {
        let store = store(10, HOUR);
        store.save("id".to_owned(), state(ACCOUNT, "1"));
        store.delete("id");
        store.update("id", state(ACCOUNT, "2"));
        assert!(store.load("id").is_none());
    }

    #[test]
    fn a_write_replaces_the_state_under_the_same_id() {
        let store = store(10, HOUR);
        store.save("id".to_owned(), state("a", "1"));
        store.update("id", state("a", "2"));
        assert_eq!(store.load("id"), Some(state("a", "2")));
    }

    #[test]
    fn an_id_that_the_store_did_not_make_names_no_session() {
        let store = store(10, HOUR);
        store.update("planted", state("a", "1"));
        assert!(store.load("planted").is_none());
    }

    #[test]
    fn a_flood_of_anonymous_sessions_pushes_nobody_out_who_is_signed_in() {
        let store = store(5, HOUR);
        store.save("id".to_owned(), state(ACCOUNT, "1"));
        for n in 0..100 {
            store.save(n.to_string(), state("draft", "1"));
        }
        store.anonymous.run_pending_tasks();
        assert!(store.anonymous.entry_count() <= 5);
        assert!(store.load("id").is_some());
    }

    #[test]
    fn a_session_without_lifetime_left_is_gone() {
        let store = store(5, Duration::ZERO);
        store.save("id".to_owned(), state(ACCOUNT, "1"));
        assert!(store.load("id").is_none());
    }

    #[test]
    fn a_session_that_holds_much_counts_as_several() {
        assert_eq!(weight(&state("a", "1")), 1);
        assert_eq!(weight(&state("a", &"x".repeat(BYTES_PER_WEIGHT * 3))), 4);
    }
}
