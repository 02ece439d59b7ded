//! The audit trail.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    float,
    observed::{Observation, Observed},
};

static WAITING: LazyLock<Observed<0>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_audit_events_waiting",
        "Events that are not in the audit trail yet",
        [],
    )
});
static LOST: LazyLock<Observed<0>> = LazyLock::new(|| {
    Observed::counters(
        "blogctl_audit_events_lost",
        "Events that the audit trail lost because its queue was full",
        [],
    )
});
static FAILING: LazyLock<Observed<0>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_audit_failing",
        "1 while the audit trail cannot be written, 0 otherwise",
        [],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    WAITING.describe(catalog);
    LOST.describe(catalog);
    FAILING.describe(catalog);
}

/// The state of a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailState {
    /// Events in the queue.
    pub waiting: usize,
    /// Events lost since the start.
    pub lost: usize,
    /// Whether the last write failed.
    pub is_failing: bool,
}

/// Reports a trail until the observation is dropped.
pub fn observe(read: impl Fn() -> TrailState + Clone + Send + Sync + 'static) -> Observation {
    let value = |part: fn(TrailState) -> usize| {
        let read = read.clone();
        move || Some(float(part(read())))
    };
    Observation::all([
        WAITING.observe([], value(|state| state.waiting)),
        LOST.observe([], value(|state| state.lost)),
        FAILING.observe([], value(|state| usize::from(state.is_failing))),
    ])
}
