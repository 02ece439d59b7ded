//! The signing keys of Entra ID: without recent ones, new tokens cannot be verified.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::{Family, Gauge},
};

static FETCHED_AT: LazyLock<Family<Gauge, 1>> = LazyLock::new(|| {
    Family::gauges(
        "blogctl_signing_keys_fetched_timestamp_seconds",
        "When the signing keys in use were fetched from Entra ID, as Unix time",
        ["role"],
    )
});
static KEYS: LazyLock<Family<Gauge, 1>> =
    LazyLock::new(|| Family::gauges("blogctl_signing_keys", "Signing keys in use", ["role"]));
static FETCHES: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_signing_key_fetches",
        "Attempts to fetch the signing keys: success, or failure so that the previous ones stay in use",
        ["role", "outcome"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    FETCHED_AT.describe(catalog);
    KEYS.describe(catalog);
    FETCHES.describe(catalog);
}

/// Records the keys that are in use from now on, and when they were fetched, as Unix time.
pub fn in_use(role: &'static str, keys: usize, fetched_at: i64) {
    KEYS.with([role.into()]).set(super::float(keys));
    FETCHED_AT.with([role.into()]).set(super::unix_time(fetched_at));
}

/// Counts an attempt to fetch them.
pub fn fetched(role: &'static str, is_success: bool) {
    let outcome = |is_success| if is_success { "success" } else { "failure" };
    let _ = FETCHES.with([role.into(), outcome(!is_success).into()]);
    FETCHES.with([role.into(), outcome(is_success).into()]).increment();
}
