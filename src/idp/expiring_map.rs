//! A map of limited capacity whose entries expire by the emulator's clock.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

/// Not `Debug`, because the keys are codes, tokens and cookies.
pub struct ExpiringMap<V> {
    capacity: usize,
    entries: Mutex<HashMap<String, Entry<V>>>,
}

struct Entry<V> {
    value: V,
    expires_at: i64,
}

impl<V: Clone> ExpiringMap<V> {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// Stores `value` until `expires_at` (seconds since 1970) and replaces an existing value.
    pub fn insert(&self, name: String, value: V, expires_at: i64, now: i64) {
        let mut entries = self.lock();
        self.make_room(&mut entries, now);
        entries.insert(name, Entry { value, expires_at });
    }

    /// Stores `value`, unless there is an unexpired one. Returns whether it was stored.
    pub fn insert_new(&self, name: String, value: V, expires_at: i64, now: i64) -> bool {
        let mut entries = self.lock();
        if entries.get(&name).is_some_and(|entry| entry.expires_at > now) {
            return false;
        }
        self.make_room(&mut entries, now);
        entries.insert(name, Entry { value, expires_at });
        true
    }

    /// The value, if it has not expired.
    pub fn get(&self, name: &str, now: i64) -> Option<V> {
        self.update(name, now, |value| value.clone())
    }

    /// Whether there is an entry, expired or not. Expired entries stay until their room is needed.
    pub fn is_known(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// Changes an unexpired value under the lock, and returns the result of `change`.
    pub fn update<R>(&self, name: &str, now: i64, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut entries = self.lock();
        let entry = entries.get_mut(name).filter(|entry| entry.expires_at > now)?;
        Some(change(&mut entry.value))
    }

    pub fn for_each(&self, mut change: impl FnMut(&mut V)) {
        self.lock().values_mut().for_each(|entry| change(&mut entry.value));
    }

    pub fn remove(&self, name: &str) -> Option<V> {
        self.lock().remove(name).map(|entry| entry.value)
    }

    pub fn retain(&self, keep: impl Fn(&V) -> bool) {
        self.lock().retain(|_, entry| keep(&entry.value));
    }

    fn make_room(&self, entries: &mut HashMap<String, Entry<V>>, now: i64) {
        if entries.len() < self.capacity {
            return;
        }
        entries.retain(|_, entry| entry.expires_at > now);
        while entries.len() >= self.capacity {
            let next = entries
                .iter()
                .min_by_key(|(_, entry)| entry.expires_at)
                .map(|(name, _)| name.clone());
            let Some(next) = next else { return };
            entries.remove(&next);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<V>>> {
        self.entries.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_gone_at_its_time() {
        let map = ExpiringMap::new(2);
        map.insert("a".to_owned(), 1, 100, 0);
        assert_eq!(map.get("a", 99), Some(1));
        assert_eq!(map.get("a", 100), None);
    }

    #[test]
    fn a_full_map_loses_what_expires_first() {
        let map = ExpiringMap::new(2);
        for (name, expires_at) in [("a", 300), ("b", 200), ("c", 400)] {
            map.insert(name.to_owned(), name, expires_at, 0);
        }
        assert_eq!(
            [map.get("a", 0), map.get("b", 0), map.get("c", 0)],
            [Some("a"), None, Some("c")]
        );
    }

    #[test]
    fn a_name_is_new_once_until_it_expires() {
        let map = ExpiringMap::new(2);
        assert!(map.insert_new("jti".to_owned(), (), 100, 0));
        assert!(!map.insert_new("jti".to_owned(), (), 100, 99));
        assert!(map.insert_new("jti".to_owned(), (), 300, 100));
    }
}
