//! Spans for the collector.

use std::sync::LazyLock;

use super::{catalog::Catalog, counter::Counter, family::Family};

static DROPPED: LazyLock<Family<Counter, 0>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_spans_dropped",
        "Spans lost because the collector was away, slow or rejected them, or because the queue was full",
        [],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    DROPPED.begin([[]]);
    DROPPED.describe(catalog);
}

/// Counts spans that are lost.
pub fn dropped(spans: u64) {
    DROPPED.with([]).add(spans);
}
