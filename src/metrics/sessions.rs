//! Sessions of the site.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    observed::{Observation, Observed},
};

static SESSIONS: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_sessions",
        "Sessions in the memory of this process, by kind: signed_in or anonymous; no series if sessions are in Redis",
        ["kind"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    SESSIONS.describe(catalog);
}

/// Reports the sessions in memory until the observation is dropped.
pub fn observe(
    signed_in: impl Fn() -> u64 + Send + Sync + 'static,
    anonymous: impl Fn() -> u64 + Send + Sync + 'static,
) -> Observation {
    let float = |count: u64| usize::try_from(count).ok().map(super::float);
    Observation::all([
        SESSIONS.observe(["signed_in".into()], move || float(signed_in())),
        SESSIONS.observe(["anonymous".into()], move || float(anonymous())),
    ])
}
