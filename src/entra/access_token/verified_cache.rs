//! Tokens that were verified before, by SHA-256, so that RS256 is paid once per token and not per request. Holds no
//! token, at most [`MAX_TOKENS`] entries, and none beyond the token's expiry.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};

use crate::entra::{Principal, access_token::bearer_token::Digest};

/// An entry takes some 500 bytes.
const MAX_TOKENS: u64 = 20_000;

pub(super) struct RememberedTokens {
    cache: Cache<Digest, Remembered>,
}

#[derive(Clone)]
struct Remembered {
    principal: Arc<Principal>,
    generation: u64,
    usable_until: i64,
    lifetime: Duration,
}

impl RememberedTokens {
    pub(super) fn new() -> Self {
        Self {
            cache: Cache::builder()
                .max_capacity(MAX_TOKENS)
                .expire_after(UntilTokenExpires)
                .build(),
        }
    }

    /// What was verified with keys of `generation` and is usable at `now`, in seconds since 1970.
    pub(super) fn get(&self, token: &Digest, generation: u64, now: i64) -> Option<Arc<Principal>> {
        let remembered = self.cache.get(token)?;
        let counts = remembered.generation == generation && now < remembered.usable_until;
        counts.then_some(remembered.principal)
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
        let remembered = Remembered {
            principal: Arc::clone(principal),
            generation,
            usable_until,
            lifetime,
        };
        self.cache.insert(token, remembered);
    }
}

/// Frees the memory; whether a token still counts is decided by [`RememberedTokens::get`].
struct UntilTokenExpires;

impl Expiry<Digest, Remembered> for UntilTokenExpires {
    fn expire_after_create(&self, _: &Digest, value: &Remembered, _: Instant) -> Option<Duration> {
        Some(value.lifetime.min(LONGEST))
    }
    fn expire_after_update(&self, _: &Digest, value: &Remembered, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(value.lifetime.min(LONGEST))
    }
}

/// Longer than any token lives (28 hours under continuous access evaluation), short enough for the cache's arithmetic.
const LONGEST: Duration = Duration::from_hours(48);
