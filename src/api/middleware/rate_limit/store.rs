//! A bounded store of each key's state: governor's stores grow with every new key.

use std::{hash::Hash, sync::Arc};

use governor::{
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use moka::{policy::EvictionPolicy, sync::Cache};

/// Evicts the least recently used key first. Evicting the least frequently used one would not let new keys in, so they
/// would have no limit.
pub(super) struct BoundedStore<K> {
    states: Cache<K, Arc<InMemoryState>>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> BoundedStore<K> {
    pub(super) fn new(max_keys: u64) -> Self {
        Self {
            states: Cache::builder()
                .max_capacity(max_keys)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// The number of keys after pending evictions.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.states.run_pending_tasks();
        self.states.entry_count()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> StateStore for BoundedStore<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = match self.states.get(key) {
            Some(state) => state,
            None => self.states.get_with_by_ref(key, Arc::default),
        };
        state.measure_and_replace(&NotKeyed::NonKey, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_keys_take_bounded_memory_and_the_newest_is_kept() {
        let store = BoundedStore::new(1000);
        let count =
            |key: u32| store.measure_and_replace(&key, |state| Ok::<_, ()>((state.is_some(), Nanos::from(1_u64))));
        for key in 0..1_000_000 {
            assert_eq!(count(key), Ok(false), "{key} is new");
        }
        assert_eq!(count(999_999), Ok(true), "the newest is remembered");
        assert!(store.len() <= 1000, "{} kept", store.len());
    }
}
