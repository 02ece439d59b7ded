//! Finds the signed-in sessions of a user, or of a session at the provider.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::web::session::lifetime::Lifetime;

/// The sessions that belong to each key. Some may have ended.
#[derive(Clone)]
pub struct SessionIndex<K: Hash + Eq + Send + Sync + 'static>(Cache<K, Arc<Vec<IndexedSession>>>);

/// A session in the index.
#[derive(Clone)]
pub struct IndexedSession {
    /// Session id.
    pub id: String,
    /// Shared with the session's record, because reading the record itself would count as use.
    pub last_used: Arc<AtomicU64>,
}

impl<K: Hash + Eq + Send + Sync + 'static> SessionIndex<K> {
    /// An index for `max_sessions` sessions.
    pub fn new(max_sessions: u64, lifetime: Lifetime) -> Self {
        // Least recently used, not moka's default by frequency: a key is looked up only once.
        let cache = Cache::builder()
            .max_capacity(max_sessions)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(lifetime.max)
            .build();
        Self(cache)
    }

    /// Adds a session, and ends the least recently used ones of the same key beyond `most`.
    pub fn add(&self, key: K, new: IndexedSession, most: usize, is_alive: impl Fn(&str) -> bool, end: impl Fn(&str)) {
        self.0.entry(key).and_upsert_with(|found| {
            let before = found.map(moka::Entry::into_value).unwrap_or_default();
            let mut alive: Vec<_> = before.iter().filter(|session| is_alive(&session.id)).cloned().collect();
            alive.sort_by_key(|session| session.last_used.load(Ordering::Relaxed));
            let surplus = (alive.len() + 1).saturating_sub(most).min(alive.len());
            for session in alive.drain(..surplus) {
                end(&session.id);
            }
            alive.push(new);
            Arc::new(alive)
        });
    }

    /// Removes a key, and returns its sessions.
    pub fn remove(&self, key: &K) -> Arc<Vec<IndexedSession>> {
        self.0.remove(key).unwrap_or_default()
    }
}
