//! Redis, where several replicas of the site share sessions.

use std::{sync::LazyLock, time::Duration};

use super::{
    catalog::Catalog,
    family::Family,
    float,
    histogram::Histogram,
    observed::{Observation, Observed},
};

static DURATIONS: LazyLock<Family<Histogram, 1>> = LazyLock::new(|| {
    Family::durations(
        "blogctl_redis_request_duration_seconds",
        "Time of commands to Redis with the wait for a connection, by outcome: success, error (Redis answered with one), \
         unreachable (no connection or no answer), or skipped (Redis was down a moment ago)",
        ["outcome"],
    )
});
static CONNECTIONS: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_redis_connections",
        "Connections to Redis by state: used or idle",
        ["state"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    DURATIONS.describe(catalog);
    CONNECTIONS.describe(catalog);
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Redis did it.
    Success,
    /// Redis answered with an error.
    Error,
    /// There was no connection, or no answer in time.
    Unreachable,
    /// Redis was down a moment ago, so it was not asked.
    Skipped,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Success, Self::Error, Self::Unreachable, Self::Skipped];

    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Unreachable => "unreachable",
            Self::Skipped => "skipped",
        }
    }
}

/// Records a command.
pub fn requested(outcome: Outcome, duration: Duration) {
    DURATIONS.with([outcome.as_str().into()]).record(duration);
}

/// Reports the connections until the observation is dropped. `read` returns the used and the idle ones.
pub fn observe_connections(read: impl Fn() -> (usize, usize) + Clone + Send + Sync + 'static) -> Observation {
    DURATIONS.begin(Outcome::ALL.map(|outcome| [outcome.as_str()]));
    let of = |state: &'static str, part: fn((usize, usize)) -> usize| {
        let read = read.clone();
        CONNECTIONS.observe([state.into()], move || Some(float(part(read()))))
    };
    Observation::all([of("used", |(used, _)| used), of("idle", |(_, idle)| idle)])
}
