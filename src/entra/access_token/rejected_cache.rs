//! Tokens that were refused a moment ago, by SHA-256, so that whoever sends the same forgery again and again does not make
//! us verify RS256 each time. Apart from the remembered good ones: no flood of forgeries can push those out.
//!
//! Only what cannot become right by itself counts, only for keys of the same generation, and only for a minute.

use std::time::Duration;

use moka::sync::Cache;

use super::{Refusal, TokenError};
use crate::entra::access_token::bearer_token::Digest;

/// An entry takes some 200 bytes.
const MAX_TOKENS: u64 = 10_000;
const LIFETIME: Duration = Duration::from_mins(1);

pub(super) struct RefusedTokens {
    cache: Cache<Digest, Refused>,
}

#[derive(Clone)]
struct Refused {
    error: TokenError,
    generation: u64,
}

impl RefusedTokens {
    pub(super) fn new() -> Self {
        Self {
            cache: Cache::builder().max_capacity(MAX_TOKENS).time_to_live(LIFETIME).build(),
        }
    }

    /// Why it was refused, with keys of `generation`.
    pub(super) fn get(&self, token: &Digest, generation: u64) -> Option<TokenError> {
        let refused = self.cache.get(token)?;
        (refused.generation == generation).then_some(refused.error)
    }

    /// Notes what the signature or the claims were refused for.
    pub(super) fn insert(&self, token: Digest, error: &TokenError, generation: u64) {
        // Time makes a token valid that is not valid yet, and keys may be had again.
        let passes = matches!(
            error,
            TokenError::Refused(Refusal::NotYetValid | Refusal::IssuedInFuture)
        );
        if !passes && *error != TokenError::KeysUnavailable {
            self.cache.insert(
                token,
                Refused {
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
    fn a_refusal_counts_for_that_token_and_those_keys_only() {
        let refused = RefusedTokens::new();
        let error = TokenError::Refused(Refusal::BadSignature);
        refused.insert(THIS, &error, 1);
        assert_eq!(refused.get(&THIS, 1), Some(error));
        assert_eq!((refused.get(&THIS, 2), refused.get(&OTHER, 1)), (None, None));
    }

    #[test]
    fn what_may_become_right_by_itself_is_not_held_against_a_token() {
        let refused = RefusedTokens::new();
        for error in [
            TokenError::Refused(Refusal::NotYetValid),
            TokenError::Refused(Refusal::IssuedInFuture),
            TokenError::KeysUnavailable,
        ] {
            refused.insert(THIS, &error, 1);
            assert_eq!(refused.get(&THIS, 1), None, "{error}");
        }
    }

    #[test]
    fn a_flood_of_forgeries_takes_no_more_than_its_room() {
        let refused = RefusedTokens::new();
        for number in 0..3 * MAX_TOKENS {
            refused.insert(
                sha256(&number.to_be_bytes()),
                &TokenError::Refused(Refusal::BadSignature),
                1,
            );
        }
        refused.cache.run_pending_tasks();
        assert!(
            refused.cache.entry_count() <= MAX_TOKENS,
            "{}",
            refused.cache.entry_count()
        );
    }
}
