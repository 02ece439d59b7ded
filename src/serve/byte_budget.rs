//! How many bytes may be in transit at once: in total, and per client address.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::Source;

/// A message of up to this many bytes counts against the total only, which has a reserve of one quarter for such messages.
/// Most messages are small, and large ones must not crowd them out.
const SMALL_BYTES: usize = 16 * 1024;

/// The bytes in transit in one direction.
#[derive(Debug)]
pub struct ByteBudget {
    used: AtomicUsize,
    limit: usize,
    limit_per_source: usize,
    /// Bytes per client, for the messages that have grown beyond [`SMALL_BYTES`].
    sources: Mutex<HashMap<Source, Arc<AtomicUsize>>>,
}

impl ByteBudget {
    /// Both limits are in bytes.
    pub fn new(limit: usize, limit_per_source: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
            limit_per_source,
            sources: Mutex::default(),
        }
    }

    /// An empty reservation for a message from or to this client. Without a source it counts against the total only.
    pub fn reservation(self: &Arc<Self>, source: Option<Source>) -> ByteReservation {
        ByteReservation {
            budget: Arc::clone(self),
            source,
            of_source: None,
            bytes: 0,
        }
    }

    /// Removes a client that no reservation counts against any more: then the map holds the only reference.
    fn forget_unused(&self, source: Source) {
        let mut sources = self.sources.lock();
        if sources.get(&source).is_some_and(|used| Arc::strong_count(used) == 1) {
            sources.remove(&source);
        }
    }
}

/// The bytes of one message. They count until this is dropped.
#[derive(Debug)]
pub struct ByteReservation {
    budget: Arc<ByteBudget>,
    source: Option<Source>,
    of_source: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl ByteReservation {
    /// Reserves more bytes and returns true, or returns false and reserves none when they do not fit.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let limit = if sum <= SMALL_BYTES {
            self.budget.limit.saturating_add(self.budget.limit / 4)
        } else {
            self.budget.limit
        };
        if !reserve(&self.budget.used, bytes, limit) {
            return false;
        }
        if sum > SMALL_BYTES && !self.grow_for_source(bytes) {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes = sum;
        true
    }

    fn grow_for_source(&mut self, bytes: usize) -> bool {
        if let Some(used) = &self.of_source {
            return reserve(used, bytes, self.budget.limit_per_source);
        }
        let Some(source) = self.source else { return true };
        let used = Arc::clone(self.budget.sources.lock().entry(source).or_default());
        let has_room = reserve(&used, self.bytes.saturating_add(bytes), self.budget.limit_per_source);
        if has_room {
            self.of_source = Some(used);
        } else {
            drop(used);
            self.budget.forget_unused(source);
        }
        has_room
    }
}

impl Drop for ByteReservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(used) = self.of_source.take() {
            used.fetch_sub(self.bytes, Ordering::Relaxed);
            drop(used);
            if let Some(source) = self.source {
                self.budget.forget_unused(source);
            }
        }
    }
}

fn reserve(used: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let before = used.fetch_add(bytes, Ordering::Relaxed);
    let has_room = before.saturating_add(bytes) <= limit;
    if !has_room {
        used.fetch_sub(bytes, Ordering::Relaxed);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn one_client_cannot_use_up_the_total() {
        let budget = Arc::new(ByteBudget::new(1000 * KIB, 100 * KIB));
        let (greedy, other) = (Some(Source::V4(1)), Some(Source::V4(2)));
        let mut first = budget.reservation(greedy);
        assert!(first.grow(60 * KIB));
        let mut second = budget.reservation(greedy);
        assert!(!second.grow(60 * KIB), "the same client");
        assert!(second.grow(10 * KIB), "small");
        assert!(budget.reservation(other).grow(60 * KIB), "another client");
        drop(first);
        assert!(second.grow(60 * KIB), "the first has ended");
        drop(second);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        assert!(
            budget.sources.lock().is_empty(),
            "no entry remains for a client with nothing in transit"
        );
    }

    #[test]
    fn without_a_source_only_the_total_limits() {
        let budget = Arc::new(ByteBudget::new(100 * KIB, 50 * KIB));
        let mut reservation = budget.reservation(None);
        assert!(reservation.grow(90 * KIB));
        assert!(!budget.reservation(None).grow(20 * KIB), "beyond the total");
        drop(reservation);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        assert!(budget.sources.lock().is_empty());
    }

    #[test]
    fn small_messages_pass_when_large_ones_have_used_up_the_total() {
        let budget = Arc::new(ByteBudget::new(100 * KIB, 100 * KIB));
        let mut large = budget.reservation(Some(Source::V4(1)));
        assert!(large.grow(100 * KIB));
        assert!(!budget.reservation(Some(Source::V4(2))).grow(20 * KIB));
        let mut small = budget.reservation(Some(Source::V4(2)));
        assert!(small.grow(10 * KIB));
        assert!(!small.grow(10 * KIB), "no longer small");
        let mut others: Vec<_> = (3..10).map(|n| budget.reservation(Some(Source::V4(n)))).collect();
        assert_eq!(
            others
                .iter_mut()
                .filter_map(|other| other.grow(10 * KIB).then_some(()))
                .count(),
            1,
            "a quarter more"
        );
    }
}
