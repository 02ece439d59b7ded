//! Requests that this process has taken from shared budgets in advance.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::shared_quota::{QuotaKey, SharedQuota};

/// A lease is this part of the burst.
const PARTS: u32 = 10;
/// A lease lives at least this long.
const MIN_LIFETIME: Duration = Duration::from_secs(10);
/// For this long at most, a refusal is repeated without asking Redis.
const MAX_REFUSAL: Duration = Duration::from_secs(1);

/// Leases of one limit. A lease is a tenth of the burst: so much more than the limit, for each replica, can be admitted at once,
/// because a lease that was taken earlier may be used together with a full budget. It ends when the whole budget could be full
/// again, so that a caller who spreads few requests over ten replicas does not pay more than the rate for leases.
pub struct Leases<K> {
    quota: SharedQuota,
    size: u32,
    lifetime: Duration,
    entries: Cache<K, Arc<Entry>>,
}

#[derive(Default)]
struct Entry {
    lease: Mutex<Lease>,
    /// Held while a lease is fetched: the others with the same key wait for it.
    fetching: AsyncMutex<()>,
}

#[derive(Default)]
struct Lease {
    permits: u32,
    /// Left in Redis after the last fetch.
    remaining: u32,
    until: Option<Instant>,
    refused_until: Option<Instant>,
}

/// Whether a request is within a shared limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is; so many more are left.
    Admitted(u32),
    /// It is not; it will be after this time.
    Refused(Duration),
    /// Redis is away: the limits of this process decide alone.
    Unshared,
}

impl<K: QuotaKey + Hash + Eq + Clone + Send + Sync + 'static> Leases<K> {
    /// Stores leases for `max_keys` keys, and forgets the least recently used one first.
    pub fn new(quota: SharedQuota, max_keys: u64) -> Self {
        Self {
            size: (quota.burst() / PARTS).max(1),
            lifetime: quota.window().max(MIN_LIFETIME),
            quota,
            entries: Cache::builder()
                .max_capacity(max_keys)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Admits one request of a key, from a lease if there is one.
    pub async fn admit(&self, key: &K) -> Admission {
        let entry = match self.entries.get(key) {
            Some(entry) => entry,
            None => self.entries.get_with_by_ref(key, Arc::default),
        };
        if let Some(admission) = entry.lease.lock().admit(Instant::now()) {
            return admission;
        }
        let _fetching = entry.fetching.lock().await;
        if let Some(admission) = entry.lease.lock().admit(Instant::now()) {
            return admission;
        }
        let Ok(taken) = self.quota.take(key, self.size).await else {
            return Admission::Unshared;
        };
        let (mut lease, now) = (entry.lease.lock(), Instant::now());
        if taken.granted == 0 {
            lease.refused_until = Some(now + taken.wait.min(MAX_REFUSAL));
            return Admission::Refused(taken.wait);
        }
        *lease = Lease {
            permits: taken.granted,
            remaining: taken.remaining,
            until: Some(now + self.lifetime),
            refused_until: None,
        };
        lease.admit(now).unwrap_or(Admission::Unshared)
    }
}

impl Lease {
    /// `None` when only Redis can decide.
    fn admit(&mut self, now: Instant) -> Option<Admission> {
        if let Some(wait) = self
            .refused_until
            .map(|until| until.saturating_duration_since(now))
            .filter(|wait| !wait.is_zero())
        {
            return Some(Admission::Refused(wait));
        }
        if self.permits == 0 || self.until.is_none_or(|until| now >= until) {
            return None;
        }
        self.permits -= 1;
        Some(Admission::Admitted(self.remaining.saturating_add(self.permits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_admits_as_many_as_were_granted_until_it_ends() {
        let now = Instant::now();
        let lease = || Lease {
            permits: 2,
            remaining: 5,
            until: Some(now + Duration::from_secs(10)),
            refused_until: None,
        };
        let mut used = lease();
        assert_eq!(used.admit(now), Some(Admission::Admitted(6)));
        assert_eq!(used.admit(now), Some(Admission::Admitted(5)));
        assert_eq!(used.admit(now), None, "used up");
        assert_eq!(lease().admit(now + Duration::from_secs(10)), None, "over");
        assert_eq!(Lease::default().admit(now), None, "never granted");
    }

    #[test]
    fn a_refusal_is_repeated_for_a_while_without_asking() {
        let now = Instant::now();
        let mut lease = Lease {
            refused_until: Some(now + Duration::from_millis(300)),
            ..Lease::default()
        };
        assert_eq!(lease.admit(now), Some(Admission::Refused(Duration::from_millis(300))));
        assert_eq!(lease.admit(now + Duration::from_millis(300)), None);
    }
}
