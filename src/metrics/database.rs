//! The database: who waits for it, what it refuses, and how it commits. A lane is a kind of work with its own share of the
//! database: `short_reads`, `long_reads`, `writes`, `searches` or `probe`; `shared` is the part of PostgreSQL's pool that no
//! lane has for itself.

use std::{sync::LazyLock, time::Duration};

use super::{
    catalog::Catalog,
    counter::Counter,
    family::Family,
    float,
    histogram::Histogram,
    observed::{Observation, Observed},
};

static RUNNING: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_db_running",
        "Pieces of work that use the database now",
        ["lane"],
    )
});
static RUNNING_LIMIT: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_db_running_limit",
        "Most pieces of work that use the database at once",
        ["lane"],
    )
});
static WAITING: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_db_waiting",
        "Pieces of work that wait for their turn",
        ["lane"],
    )
});
static WAITING_LIMIT: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_db_waiting_limit",
        "Most pieces of work that may wait; no series where only the deadline limits them",
        ["lane"],
    )
});
static WAITS: LazyLock<Family<Histogram, 1>> = LazyLock::new(|| {
    Family::durations(
        "blogctl_db_wait_seconds",
        "Time that work waited for its turn, refused work included; for writes on SQLite, until their transaction began",
        ["lane"],
    )
});
static REFUSED: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_db_refused",
        "Work that got no turn, by reason: full (too much waits already) or deadline",
        ["lane", "reason"],
    )
});
static CONNECTIONS: LazyLock<Observed<2>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_db_connections",
        "Threads with a connection to PostgreSQL, by pool (requests, searches or probe) and state (used or idle)",
        ["pool", "state"],
    )
});
static FAILURES: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_db_failures",
        "Failures of the database that a request or a readiness probe has met, by reason",
        ["reason"],
    )
});
static BATCH_SIZES: LazyLock<Family<Histogram, 0>> = LazyLock::new(|| {
    Family::counts(
        "blogctl_db_write_batch_size",
        "Writes that SQLite committed as one transaction",
        [],
    )
});
static BATCH_DURATIONS: LazyLock<Family<Histogram, 0>> = LazyLock::new(|| {
    Family::durations(
        "blogctl_db_write_batch_duration_seconds",
        "Time from the begin of such a transaction to the end of its commit, whether or not it succeeded",
        [],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    RUNNING.describe(catalog);
    RUNNING_LIMIT.describe(catalog);
    WAITING.describe(catalog);
    WAITING_LIMIT.describe(catalog);
    WAITS.describe(catalog);
    REFUSED.describe(catalog);
    CONNECTIONS.describe(catalog);
    FAILURES.begin([["unavailable"], ["deadline"]]);
    FAILURES.describe(catalog);
    BATCH_SIZES.describe(catalog);
    BATCH_DURATIONS.describe(catalog);
}

/// The use of a lane.
#[derive(Debug, Clone, Copy, Default)]
pub struct LaneUse {
    /// Running work, and the most that may run.
    pub running: Option<(usize, usize)>,
    /// Waiting work.
    pub waiting: Option<usize>,
    /// The most that may wait.
    pub waiting_limit: Option<usize>,
}

/// The metrics of one lane; they exist until this is dropped.
#[derive(Debug)]
pub struct LaneMetrics {
    waits: Histogram,
    full: Counter,
    deadline: Counter,
    _observation: Observation,
}

impl LaneMetrics {
    /// `read` returns the use of the lane, or `None` when it is gone.
    pub fn new(lane: &'static str, read: impl Fn() -> Option<LaneUse> + Clone + Send + Sync + 'static) -> Self {
        let refused = |reason: &'static str| REFUSED.with([lane.into(), reason.into()]);
        Self {
            waits: WAITS.with([lane.into()]),
            full: refused("full"),
            deadline: refused("deadline"),
            _observation: observe_lane(lane, read),
        }
    }

    /// Records how long work waited for its turn.
    pub fn waited(&self, duration: Duration) {
        self.waits.record(duration);
    }

    /// Counts work that found the queue full.
    pub fn refused_when_full(&self) {
        self.full.increment();
    }

    /// Counts work whose deadline passed while it waited.
    pub fn refused_at_deadline(&self) {
        self.deadline.increment();
    }
}

/// Reports the use of a lane until the observation is dropped.
pub fn observe_lane(
    lane: &'static str,
    read: impl Fn() -> Option<LaneUse> + Clone + Send + Sync + 'static,
) -> Observation {
    let of = |family: &Observed<1>, part: fn(LaneUse) -> Option<usize>| {
        let read = read.clone();
        family.observe([lane.into()], move || Some(float(part(read()?)?)))
    };
    Observation::all([
        of(&RUNNING, |lane| lane.running.map(|(now, _)| now)),
        of(&RUNNING_LIMIT, |lane| lane.running.map(|(_, most)| most)),
        of(&WAITING, |lane| lane.waiting),
        of(&WAITING_LIMIT, |lane| lane.waiting_limit),
    ])
}

/// Reports the connections of a pool until the observation is dropped. `read` returns the used and the idle ones.
pub fn observe_connections(
    pool: &'static str,
    read: impl Fn() -> Option<(usize, usize)> + Clone + Send + Sync + 'static,
) -> Observation {
    let of = |state: &'static str, part: fn((usize, usize)) -> usize| {
        let read = read.clone();
        CONNECTIONS.observe([pool.into(), state.into()], move || Some(float(part(read()?))))
    };
    Observation::all([of("used", |(used, _)| used), of("idle", |(_, idle)| idle)])
}

/// Counts a failure.
pub fn failed(reason: &'static str) {
    FAILURES.with([reason.into()]).increment();
}

/// Records a transaction with several writes.
pub fn batch_committed(writes: usize, duration: Duration) {
    BATCH_SIZES.with([]).record_value(writes.try_into().unwrap_or(u64::MAX));
    BATCH_DURATIONS.with([]).record(duration);
}
