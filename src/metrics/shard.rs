//! Which part of a metric this thread writes. Threads that write the same bytes wait for each other's processor cache, so each
//! metric has several parts, and a reader adds them.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts of a metric. With more threads, some share a part.
pub const SHARDS: usize = 8;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// The part of this thread.
pub fn own() -> usize {
    OWN.with(|own| *own)
}
