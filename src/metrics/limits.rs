//! Requests that a limit rejected: rate limits, and thread pools that are full.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::{Family, LabelValue},
    float,
    observed::{Observation, Observed},
};

static RATE_LIMITED: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_rate_limited",
        "Requests rejected with 429, by budget: address, probes, failures, reads, writes and searches at the API, sign_ins at \
         the site",
        ["budget"],
    )
});
static POOL_RUNNING: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_pool_running",
        "Threads of the site that wait for another server, by pool",
        ["pool"],
    )
});
static POOL_LIMIT: LazyLock<Observed<1>> =
    LazyLock::new(|| Observed::gauges("blogctl_pool_limit", "Most such threads of the pool", ["pool"]));
static POOL_REJECTED: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_pool_rejected",
        "Requests that found no free thread of the pool in time",
        ["pool"],
    )
});

static SHARED: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_shared_limits",
        "Questions to Redis about a limit that replicas share, by outcome: granted, refused, and unavailable when Redis does not \
         answer",
        ["outcome"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    RATE_LIMITED.begin(
        [
            "address", "probes", "failures", "reads", "writes", "searches", "sign_ins",
        ]
        .map(|name| [name]),
    );
    RATE_LIMITED.describe(catalog);
    SHARED.begin(["granted", "refused", "unavailable"].map(|outcome| [outcome]));
    SHARED.describe(catalog);
    POOL_RUNNING.describe(catalog);
    POOL_LIMIT.describe(catalog);
    POOL_REJECTED.describe(catalog);
}

/// Counts a request that a budget rejected.
pub fn rate_limited(budget: &'static str) {
    RATE_LIMITED.with([budget.into()]).increment();
}

/// What Redis says about a limit that replicas share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedOutcome {
    /// There was something left.
    Granted,
    /// The budget is used up.
    Refused,
    /// Redis does not answer: the limits of each replica apply alone.
    Unavailable,
}

/// Counts a question to Redis about a shared limit.
pub fn shared(outcome: SharedOutcome) {
    let outcome = match outcome {
        SharedOutcome::Granted => "granted",
        SharedOutcome::Refused => "refused",
        SharedOutcome::Unavailable => "unavailable",
    };
    SHARED.with([outcome.into()]).increment();
}

/// The metrics of one thread pool; they exist until this is dropped.
pub struct PoolMetrics {
    rejected: Counter,
    _observation: Observation,
}

impl PoolMetrics {
    /// `read` returns how many threads work. `pool` is a name of the program.
    pub fn new(pool: String, limit: usize, read: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        let pool = LabelValue::from(pool);
        Self {
            rejected: POOL_REJECTED.with([pool.clone()]),
            _observation: Observation::all([
                POOL_RUNNING.observe([pool.clone()], move || Some(float(read()))),
                POOL_LIMIT.observe([pool], move || Some(float(limit))),
            ]),
        }
    }

    /// Counts a request that found no free thread.
    pub fn rejected(&self) {
        self.rejected.increment();
    }
}
