//! Tokens rejected within the last minute, by SHA-256, so that a client that repeats a forged token does not cost an RS256
//! verification each time. Separate from the verified tokens, so that a flood of forgeries cannot evict those.
//!
//! An entry counts only with keys of the same generation. Temporary errors are not cached.

use std::time::Duration;

use moka::sync::Cache;

use super::{Rejection, TokenError};
use crate::entra::access_token::bearer_token::Digest;

/// An entry takes some 200 bytes.
const MAX_TOKENS: u64 = 10_000;
const LIFETIME: Duration = Duration::from_mins(1);

pub(super) struct RejectedTokenCache {
    cache: Cache<Digest, Entry>,
}

#[derive(Clone)]
struct Entry {
    error: TokenError,
    generation: u64,
}

impl RejectedTokenCache {
    pub(super) fn new() -> Self {
        Self {
            cache: Cache::builder().max_capacity(MAX_TOKENS).time_to_live(LIFETIME).build(),
        }
    }

    /// Why the token was rejected with keys of `generation`.
    pub(super) fn get(&self, token: &Digest, generation: u64) -> Option<TokenError> {
        let entry = self.cache.get(token)?;
        (entry.generation == generation).then_some(entry.error)
    }

    /// Caches an error of the signature or the claims.
    pub(super) fn insert(&self, token: Digest, error: &TokenError, generation: u64) {
        // A token that is not valid yet becomes valid, and keys can become available.
        let is_temporary = matches!(
            error,
            TokenError::Rejected(Rejection::NotYetValid | Rejection::IssuedInFuture)
        );
        if !is_temporary && *error != TokenError::KeysUnavailable {
            self.cache.insert(
                token,
                Entry {
                    error: error.clone(),
                    generation,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use openssl::sha::sha256;

    use super::*;

    const THIS: Digest = [1; 32];
    const OTHER: Digest = [2; 32];

    #[test]
    fn an_entry_counts_for_that_token_and_those_keys_only() {
        let rejected = RejectedTokenCache::new();
        let error = TokenError::Rejected(Rejection::BadSignature);
        rejected.insert(THIS, &error, 1);
        assert_eq!(rejected.get(&THIS, 1), Some(error));
        assert_eq!((rejected.get(&THIS, 2), rejected.get(&OTHER, 1)), (None, None));
    }

    #[test]
    fn an_error_that_can_go_away_by_itself_is_not_cached() {
        let rejected = RejectedTokenCache::new();
        for error in [
            TokenError::Rejected(Rejection::NotYetValid),
            TokenError::Rejected(Rejection::IssuedInFuture),
            TokenError::KeysUnavailable,
        ] {
            rejected.insert(THIS, &error, 1);
            assert_eq!(rejected.get(&THIS, 1), None, "{error}");
        }
    }

    #[test]
    fn a_flood_of_forgeries_stays_within_the_capacity() {
        let rejected = RejectedTokenCache::new();
        for number in 0..3 * MAX_TOKENS {
            rejected.insert(
                sha256(&number.to_be_bytes()),
                &TokenError::Rejected(Rejection::BadSignature),
                1,
            );
        }
        rejected.cache.run_pending_tasks();
        assert!(
            rejected.cache.entry_count() <= MAX_TOKENS,
            "{}",
            rejected.cache.entry_count()
        );
    }
}
