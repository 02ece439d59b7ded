//! Sessions in this process. They are bounded, and end after a time without use and in any case after their longest
//! lifetime.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use moka::{
    notification::RemovalCause,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

use super::{
    revocations::RevocationList,
    session_index::{IndexedSession, SessionIndex},
    state::State,
};
use crate::{
    metrics::{self, Observation},
    web::{
        session::{
            ACCOUNT, Account, ProviderSession, Ticket, UserKey,
            lifetime::{Lifetime, SessionExpiry, Started},
        },
        token_store::TokenStore,
    },
};

/// A session weighs 1, and 1 more for each further such number of bytes, so that `max_sessions` also bounds memory.
const BYTES_PER_WEIGHT: usize = 8 * 1024;

/// Sessions in this process. A clone is another handle to the same sessions.
///
/// Anonymous and signed-in sessions have separate limits: a flood of visitors does not push out signed-in users.
#[derive(Clone)]
pub struct MemorySessions {
    anonymous: Cache<String, Record>,
    signed_in: Cache<String, Record>,
    by_user: SessionIndex<UserKey>,
    by_provider_session: SessionIndex<ProviderSession>,
    /// Most sessions of one user. Beyond that, the user's own least recently used session ends, so that a user who
    /// signs in over and over does not push out others.
    per_user: usize,
    /// Counts uses, to order them.
    uses: Arc<AtomicU64>,
    revocations: RevocationList,
    _observation: Arc<Observation>,
}

#[derive(Clone)]
struct Record {
    state: Arc<State>,
    started: Instant,
    /// Value of [`MemorySessions::uses`] at the last use.
    last_used: Arc<AtomicU64>,
}

impl MemorySessions {
    /// A store for `max_sessions` anonymous and as many signed-in sessions. The least recently used ones go first, and
    /// their tokens with them.
    pub fn new(
        max_sessions: u64,
        per_user: usize,
        lifetime: Lifetime,
        tokens: Option<&Arc<dyn TokenStore>>,
        revocations: &RevocationList,
    ) -> Self {
        let anonymous = cache(max_sessions, lifetime, None);
        let signed_in = cache(max_sessions, lifetime, tokens);
        let observation = metrics::sessions::observe(counter(&signed_in), counter(&anonymous));
        Self {
            anonymous,
            signed_in,
            _observation: Arc::new(observation),
            by_user: SessionIndex::new(max_sessions, lifetime),
            by_provider_session: SessionIndex::new(max_sessions, lifetime),
            per_user,
            uses: Arc::default(),
            revocations: revocations.clone(),
        }
    }

    /// Loads a session, which counts as use. A session whose sign-in was revoked does not count, even if it was saved
    /// after that.
    pub fn load(&self, id: &str) -> Option<State> {
        let record = self.signed_in.get(id).or_else(|| self.anonymous.get(id))?;
        // Cannot fail: like these sessions, the list is in memory.
        let is_revoked = Account::in_state(&record.state).is_some_and(|account| {
            self.revocations
                .is_revoked(account.user(), account.signed_in_at, None)
                .unwrap_or_default()
        });
        if is_revoked {
            self.delete(id);
            return None;
        }
        record.last_used.store(self.next_use(), Ordering::Relaxed);
        Some((*record.state).clone())
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Saves a new session.
    pub fn save(&self, id: &str, state: State) {
        let account = Account::in_state(&state);
        let cache = if state.contains_key(ACCOUNT) {
            &self.signed_in
        } else {
            &self.anonymous
        };
        let last_used = Arc::new(AtomicU64::new(self.next_use()));
        let indexed = IndexedSession {
            id: id.to_owned(),
            last_used: Arc::clone(&last_used),
        };
        cache.insert(
            id.to_owned(),
            Record {
                state: Arc::new(state),
                started: Instant::now(),
                last_used,
            },
        );
        let Some(account) = account else { return };
        let is_alive = |id: &str| self.signed_in.contains_key(id);
        let end = |id: &str| self.signed_in.invalidate(id);
        self.by_user
            .add(account.user(), indexed.clone(), self.per_user, is_alive, end);
        if let Some(session) = account.provider_session() {
            self.by_provider_session
                .add(session, indexed, usize::MAX, is_alive, end);
        }
    }

    /// Changes a session. Returns `false` when it no longer exists.
    pub fn update(&self, id: &str, state: State) -> bool {
        let state = Arc::new(state);
        [&self.signed_in, &self.anonymous].into_iter().any(|cache| {
            let outcome = cache.entry_by_ref(id).and_compute_with(|found| match found {
                Some(entry) => Op::Put(Record {
                    state: Arc::clone(&state),
                    ..entry.into_value()
                }),
                None => Op::Nop,
            });
            matches!(outcome, CompResult::ReplacedWith(_))
        })
    }

    /// Deletes a session. Returns `false` when it did not exist.
    pub fn delete(&self, id: &str) -> bool {
        self.signed_in.remove(id).is_some() | self.anonymous.remove(id).is_some()
    }

    /// Ends every session that belongs to a session at the provider, and returns the tickets of their sign-ins.
    pub fn end_provider_session(&self, session: &ProviderSession) -> Vec<Ticket> {
        self.end(&self.by_provider_session.remove(session))
    }

    /// Ends every session of a user, and returns the tickets of their sign-ins.
    pub fn end_sessions_of(&self, user: UserKey) -> Vec<Ticket> {
        self.end(&self.by_user.remove(&user))
    }

    fn end(&self, sessions: &[IndexedSession]) -> Vec<Ticket> {
        let ended = sessions.iter().filter_map(|session| self.signed_in.remove(&session.id));
        ended
            .filter_map(|record| Account::in_state(&record.state))
            .map(|account| account.ticket)
            .collect()
    }
}

fn cache(max_sessions: u64, lifetime: Lifetime, tokens: Option<&Arc<dyn TokenStore>>) -> Cache<String, Record> {
    let tokens = tokens.map(Arc::clone);
    let remove_tokens = move |_: Arc<String>, record: Record, cause: RemovalCause| {
        if cause != RemovalCause::Replaced
            && let (Some(tokens), Some(account)) = (&tokens, Account::in_state(&record.state))
        {
            // Cannot fail: like these sessions, the tokens are in memory.
            let _ = tokens.remove(&account.ticket);
        }
    };
    Cache::builder()
        .eviction_listener(remove_tokens)
        .max_capacity(max_sessions)
        .weigher(|_, record: &Record| weight(&record.state))
        .eviction_policy(EvictionPolicy::lru())
        .expire_after(SessionExpiry(lifetime))
        .build()
}

/// Returns how many sessions there are now, without those that have expired.
fn counter(cache: &Cache<String, Record>) -> impl Fn() -> u64 + Send + Sync + 'static {
    let cache = cache.clone();
    move || {
        cache.run_pending_tasks();
        cache.entry_count()
    }
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

    use moka::Expiry as _;
    use uuid::Uuid;

    use super::*;
    use crate::{
        entra::IdTokenClaims,
        web::token_store::{MemoryTokens, store::StoredTokens},
    };

    const HOUR: Duration = Duration::from_hours(1);
    const PER_USER: usize = 32;

    fn store(max_sessions: u64, max: Duration) -> MemorySessions {
        MemorySessions::new(
            max_sessions,
            PER_USER,
            Lifetime { idle: HOUR, max },
            None,
            &RevocationList::new(HOUR, None),
        )
    }

    fn state(key: &str, value: &str) -> State {
        HashMap::from([(key.to_owned(), value.to_owned())])
    }

    /// The state of a session in which `user` has signed in, with `sid` as the session at the provider.
    fn signed_in(user: u128, sid: &str) -> State {
        let account = Account::new(IdTokenClaims {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(user),
            session_id: Some(sid.to_owned()),
            issuer: "issuer".to_owned(),
            subject: String::new(),
            name: None,
            email: None,
            preferred_username: None,
            roles: Vec::new(),
            login_hint: None,
        });
        state(ACCOUNT, &serde_json::to_string(&account).unwrap())
    }

    /// Signs `user` in under the session id `id`, with tokens.
    fn sign_in(store: &MemorySessions, tokens: &Arc<dyn TokenStore>, id: &str, user: u128) -> Ticket {
        let state = signed_in(user, "x");
        let ticket = Account::in_state(&state).unwrap().ticket;
        let now = chrono::Utc::now();
        let stored = StoredTokens {
            access_token: "token".into(),
            expires_at: now,
            refresh_token: None,
            refresh_at: now,
        };
        tokens.insert(&ticket, stored).unwrap();
        store.save(id, state);
        ticket
    }

    fn provider_session(sid: &str) -> ProviderSession {
        ProviderSession {
            issuer: "issuer".to_owned(),
            sid: sid.to_owned(),
        }
    }

    #[test]
    fn all_sessions_of_a_user_or_of_a_provider_session_end_and_no_others() {
        let store = store(100, HOUR);
        for (id, user, sid) in [("a", 1, "x"), ("b", 1, "x"), ("c", 1, "y"), ("d", 2, "z")] {
            store.save(id, signed_in(user, sid));
        }
        let alive = || ["a", "b", "c", "d"].map(|id| store.load(id).is_some());
        assert_eq!(store.end_provider_session(&provider_session("x")).len(), 2);
        assert_eq!(alive(), [false, false, true, true]);
        assert_eq!(store.end_provider_session(&provider_session("x")).len(), 0);
        let user = UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(1),
        };
        assert_eq!(store.end_sessions_of(user).len(), 1);
        assert_eq!(alive(), [false, false, false, true]);
    }

    #[test]
    fn a_session_that_is_saved_after_signing_out_everywhere_does_not_count() {
        let store = store(100, HOUR);
        let before = signed_in(1, "x");
        let user = UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(1),
        };
        store.revocations.revoke_user(user).unwrap();
        store.save("late", before);
        store.save("other", signed_in(2, "y"));
        assert!(store.load("late").is_none() && !store.signed_in.contains_key("late"));
        assert!(store.load("other").is_some());
    }

    #[test]
    fn a_user_who_signs_in_over_and_over_stays_in_the_index_and_pushes_no_other_out() {
        let store = store(100, HOUR);
        store.save("other", signed_in(2, "y"));
        store.save("first", signed_in(1, "x"));
        for n in 0..20 {
            store.save(&n.to_string(), signed_in(1, "x"));
            assert!(store.delete(&n.to_string()));
        }
        assert!(store.load("first").is_some(), "sessions that have ended do not count");
        for n in 0..200 {
            store.save(&format!("again {n}"), signed_in(1, "x"));
        }
        store.signed_in.run_pending_tasks();
        assert!(store.load("other").is_some());
        assert!(
            store.load("first").is_none() && store.load("again 199").is_some(),
            "the least recently used end"
        );
        assert_eq!(store.end_provider_session(&provider_session("x")).len(), PER_USER);
    }

    #[test]
    fn beyond_the_limit_of_a_user_the_least_recently_used_session_ends_and_its_tokens_with_it() {
        let lifetime = Lifetime { idle: HOUR, max: HOUR };
        let tokens: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new(100, lifetime));
        let store = MemorySessions::new(100, 3, lifetime, Some(&tokens), &RevocationList::new(HOUR, None));
        let tickets = ["a", "b", "c"].map(|id| sign_in(&store, &tokens, id, 1));
        let of_other = sign_in(&store, &tokens, "other", 2);
        assert!(store.load("a").is_some());
        let newest = sign_in(&store, &tokens, "d", 1);
        store.signed_in.run_pending_tasks();
        let has_tokens = |ticket: &Ticket| tokens.get(ticket).unwrap().is_some();
        assert_eq!(
            ["a", "b", "c", "d", "other"].map(|id| store.signed_in.contains_key(id)),
            [true, false, true, true, true]
        );
        assert_eq!(tickets.each_ref().map(has_tokens), [true, false, true]);
        assert!(has_tokens(&newest) && has_tokens(&of_other));
        assert!(store.update("a", signed_in(1, "x")), "a change does not end a session");
        store.signed_in.run_pending_tasks();
        assert!(has_tokens(&tickets[0]));
    }

    #[test]
    fn evicted_sessions_take_their_tokens_along() {
        let lifetime = Lifetime { idle: HOUR, max: HOUR };
        let tokens: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new(100, lifetime));
        let store = MemorySessions::new(5, 3, lifetime, Some(&tokens), &RevocationList::new(HOUR, None));
        let tickets: Vec<_> = (0..20)
            .map(|user| sign_in(&store, &tokens, &user.to_string(), user))
            .collect();
        store.signed_in.run_pending_tasks();
        let alive: Vec<_> = (0..20)
            .map(|user| store.signed_in.contains_key(&user.to_string()))
            .collect();
        let have_tokens: Vec<_> = tickets
            .iter()
            .map(|ticket| tokens.get(ticket).unwrap().is_some())
            .collect();
        assert_eq!(alive.iter().filter(|is_alive| **is_alive).count(), 5);
        assert_eq!(alive, have_tokens);
    }

    #[test]
    fn use_extends_a_session_and_a_change_does_not_restart_it() {
        let lifetime = Lifetime {
            idle: Duration::from_mins(1),
            max: Duration::from_secs(100),
        };
        let (start, end) = (Instant::now(), SessionExpiry(lifetime));
        let record = Record {
            state: Arc::default(),
            started: start,
            last_used: Arc::default(),
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        let seconds = |left: Option<Duration>| left.map(|left| left.as_secs());
        assert_eq!(seconds(end.expire_after_create(&0, &record, at(0))), Some(60));
        assert_eq!(
            seconds(end.expire_after_read(&0, &record, at(30), None, at(0))),
            Some(60),
            "used"
        );
        assert_eq!(
            seconds(end.expire_after_read(&0, &record, at(70), None, at(0))),
            Some(30),
            "its longest lifetime"
        );
        assert_eq!(
            seconds(end.expire_after_update(&0, &record, at(90), None)),
            Some(10),
            "changed"
        );

        let store = store(10, HOUR);
        store.save("id", state("a", "1"));
        let began = store.anonymous.get("id").map(|record| record.started);
        assert!(store.update("id", state("a", "2")));
        assert_eq!(store.anonymous.get("id").map(|record| record.started), began);
    }

    #[test]
    fn a_session_that_has_ended_is_not_brought_back_by_a_late_write() {
        let store = store(10, HOUR);
        store.save("id", state(ACCOUNT, "1"));
        assert!(store.delete("id") && !store.delete("id"));
        assert!(!store.update("id", state(ACCOUNT, "2")));
        assert!(store.load("id").is_none());
    }

    #[test]
    fn a_write_replaces_the_state_under_the_same_id() {
        let store = store(10, HOUR);
        store.save("id", state("a", "1"));
        store.update("id", state("a", "2"));
        assert_eq!(store.load("id"), Some(state("a", "2")));
    }

    #[test]
    fn an_id_that_the_store_did_not_create_names_no_session() {
        let store = store(10, HOUR);
        store.update("planted", state("a", "1"));
        assert!(store.load("planted").is_none());
    }

    #[test]
    fn a_flood_of_anonymous_sessions_pushes_no_signed_in_session_out() {
        let store = store(5, HOUR);
        store.save("id", state(ACCOUNT, "1"));
        for n in 0..100 {
            store.save(&n.to_string(), state("draft", "1"));
        }
        store.anonymous.run_pending_tasks();
        assert!(store.anonymous.entry_count() <= 5);
        assert!(store.load("id").is_some());
    }

    #[test]
    fn a_session_without_lifetime_left_is_gone() {
        let store = store(5, Duration::ZERO);
        store.save("id", state(ACCOUNT, "1"));
        assert!(store.load("id").is_none());
    }

    #[test]
    fn a_large_session_counts_as_several() {
        assert_eq!(weight(&state("a", "1")), 1);
        assert_eq!(weight(&state("a", &"x".repeat(BYTES_PER_WEIGHT * 3))), 4);
    }
}
