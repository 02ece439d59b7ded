//! Validation of access tokens at the API.

use std::sync::LazyLock;

use super::{catalog::Catalog, counter::Counter, family::Family, is_enabled};

static VALIDATIONS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_access_token_validations",
        "Access tokens by outcome: valid, or the problem code of the response; cached is true if the outcome was known from an \
         earlier request",
        ["outcome", "cached"],
    )
});
/// The outcome of almost every request.
static VALID_CACHED: LazyLock<Counter> = LazyLock::new(|| VALIDATIONS.with(["valid".into(), "true".into()]));

pub(super) fn describe(catalog: &mut Catalog) {
    VALIDATIONS.begin([["valid", "true"], ["valid", "false"]]);
    VALIDATIONS.describe(catalog);
}

/// Counts a token that was valid in an earlier request.
pub fn valid_cached() {
    if is_enabled() {
        VALID_CACHED.increment();
    }
}

/// Counts a token. `outcome` is `valid` or a problem code.
pub fn validated(outcome: &'static str, is_cached: bool) {
    let cached = if is_cached { "true" } else { "false" };
    VALIDATIONS.with([outcome.into(), cached.into()]).increment();
}
