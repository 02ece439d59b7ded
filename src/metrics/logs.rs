//! The log of this process.

use std::sync::LazyLock;

use super::{catalog::Catalog, counter::Counter, family::Family};

static DROPPED: LazyLock<Family<Counter, 0>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_log_lines_dropped",
        "Log lines lost because the reader of stderr did not keep up, or the disk was full",
        [],
    )
});
static PROBLEMS: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_log_problems",
        "Log lines of the levels warn and error",
        ["level"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    DROPPED.begin([[]]);
    DROPPED.describe(catalog);
    PROBLEMS.begin([["warn"], ["error"]]);
    PROBLEMS.describe(catalog);
}

/// Counts lines that are lost.
pub fn dropped(lines: u64) {
    DROPPED.with([]).add(lines);
}

/// Counts a line of this level, if it reports a problem.
pub fn logged(level: log::Level) {
    match level {
        log::Level::Error => PROBLEMS.with(["error".into()]).increment(),
        log::Level::Warn => PROBLEMS.with(["warn".into()]).increment(),
        log::Level::Info | log::Level::Debug | log::Level::Trace => {}
    }
}
