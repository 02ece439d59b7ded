//! Verified tokens, by SHA-256, so that RS256 is verified once per token and not per request. Holds no token, at most
//! [`MAX_TOKENS`] entries, and none beyond the token's expiry.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};

use crate::entra::{Principal, access_token::bearer_token::Digest};

/// An entry takes some 500 bytes.
const MAX_TOKENS: u64 = 20_000;

pub(super) struct VerifiedTokenCache {
    cache: Cache<Digest, Entry>,
}

#[derive(Clone)]
struct Entry {
    principal: Arc<Principal>,
    generation: u64,
    usable_until: i64,
    lifetime: Duration,
}

impl VerifiedTokenCache {
    pub(super) fn new() -> Self {
        Self {
            cache: Cache::builder()
                .max_capacity(MAX_TOKENS)
                .expire_after(UntilTokenExpires)
                .build(),
        }
    }

    /// The caller, if the token was verified with keys of `generation` and is usable at `now`, in seconds since 1970.
    pub(super) fn get(&self, token: &Digest, generation: u64, now: i64) -> Option<Arc<Principal>> {
        let entry = self.cache.get(token)?;
        let is_usable = entry.generation == generation && now < entry.usable_until;
        is_usable.then_some(entry.principal)
    }

    pub(super) fn insert(
        &self,
        token: Digest,
        principal: &Arc<Principal>,
        generation: u64,
        usable_until: i64,
        now: i64,
    ) {
        let seconds = usable_until.saturating_sub(now);
        let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let entry = Entry {
            principal: Arc::clone(principal),
            generation,
            usable_until,
            lifetime,
        };
        self.cache.insert(token, entry);
    }
}

/// Frees the memory. [`VerifiedTokenCache::get`] decides whether a token is still usable.
struct UntilTokenExpires;

impl Expiry<Digest, Entry> for UntilTokenExpires {
    fn expire_after_create(&self, _: &Digest, value: &Entry, _: Instant) -> Option<Duration> {
        Some(value.lifetime.min(MAX_LIFETIME))
    }
    fn expire_after_update(&self, _: &Digest, value: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(value.lifetime.min(MAX_LIFETIME))
    }
}

/// Longer than any token's lifetime (28 hours with continuous access evaluation), short enough for the cache's arithmetic.
const MAX_LIFETIME: Duration = Duration::from_hours(48);
