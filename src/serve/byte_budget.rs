//! How many bytes may be on their way at once: in total, and for one client, by address.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::Source;

/// Up to here a message counts only in total, and has a quarter of the total in reserve: small messages are most of all, and
/// large ones must not keep them out.
const SMALL: usize = 16 * 1024;

/// The bytes of one kind that are on their way.
#[derive(Debug)]
pub struct Budget {
    total: AtomicUsize,
    most: usize,
    most_per_source: usize,
    /// Only of those with more than [`SMALL`] on its way.
    sources: Mutex<HashMap<Source, Arc<AtomicUsize>>>,
}

impl Budget {
    /// With these limits, in bytes.
    pub fn new(most: usize, most_per_source: usize) -> Self {
        Self {
            total: AtomicUsize::new(0),
            most,
            most_per_source,
            sources: Mutex::default(),
        }
    }

    /// For a message from or to this client. Nothing counts yet.
    pub fn charge(self: &Arc<Self>, source: Source) -> Charge {
        Charge {
            budget: Arc::clone(self),
            source,
            own: None,
            bytes: 0,
        }
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<Source, Arc<AtomicUsize>>> {
        // Nothing that holds the lock can leave it half changed.
        self.sources.lock()
    }

    /// Removes a client for whom no message counts any more: the map holds the last reference.
    fn forget_unused(&self, source: Source) {
        let mut sources = self.sources();
        if sources.get(&source).is_some_and(|own| Arc::strong_count(own) == 1) {
            sources.remove(&source);
        }
    }
}

/// The bytes of one message. They count until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    source: Source,
    own: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl Charge {
    /// Counts more bytes, and says whether there is room for them; when there is none, they do not count.
    pub fn add(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let most = if sum <= SMALL {
            self.budget.most.saturating_add(self.budget.most / 4)
        } else {
            self.budget.most
        };
        if !take(&self.budget.total, bytes, most) {
            return false;
        }
        if sum > SMALL && !self.add_to_source(bytes) {
            self.budget.total.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes = sum;
        true
    }

    fn add_to_source(&mut self, bytes: usize) -> bool {
        if let Some(own) = &self.own {
            return take(own, bytes, self.budget.most_per_source);
        }
        let own = Arc::clone(self.budget.sources().entry(self.source).or_default());
        let has_room = take(&own, self.bytes.saturating_add(bytes), self.budget.most_per_source);
        if has_room {
            self.own = Some(own);
        } else {
            drop(own);
            self.budget.forget_unused(self.source);
        }
        has_room
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.total.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(own) = self.own.take() {
            own.fetch_sub(self.bytes, Ordering::Relaxed);
            drop(own);
            self.budget.forget_unused(self.source);
        }
    }
}

fn take(from: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let before = from.fetch_add(bytes, Ordering::Relaxed);
    let has_room = before.saturating_add(bytes) <= most;
    if !has_room {
        from.fetch_sub(bytes, Ordering::Relaxed);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn one_client_cannot_use_up_what_all_share() {
        let budget = Arc::new(Budget::new(1000 * KIB, 100 * KIB));
        let (greedy, other) = (Source::V4(1), Source::V4(2));
        let mut first = budget.charge(greedy);
        assert!(first.add(60 * KIB));
        let mut second = budget.charge(greedy);
        assert!(!second.add(60 * KIB), "the same client");
        assert!(second.add(10 * KIB), "small");
        assert!(budget.charge(other).add(60 * KIB), "another client");
        drop(first);
        assert!(second.add(60 * KIB), "the first has ended");
        drop(second);
        assert_eq!(budget.total.load(Ordering::Relaxed), 0);
        assert!(
            budget.sources().is_empty(),
            "nothing is kept of who has nothing on its way"
        );
    }

    #[test]
    fn small_messages_pass_when_large_ones_have_used_up_the_total() {
        let budget = Arc::new(Budget::new(100 * KIB, 100 * KIB));
        let mut large = budget.charge(Source::V4(1));
        assert!(large.add(100 * KIB));
        assert!(!budget.charge(Source::V4(2)).add(20 * KIB));
        let mut small = budget.charge(Source::V4(2));
        assert!(small.add(10 * KIB));
        assert!(!small.add(10 * KIB), "no longer small");
        let mut others: Vec<_> = (3..10).map(|n| budget.charge(Source::V4(n))).collect();
        assert_eq!(
            others
                .iter_mut()
                .filter_map(|other| other.add(10 * KIB).then_some(()))
                .count(),
            1,
            "a quarter more"
        );
    }
}
