//! Caches of responses: how often they save the work.

use std::sync::LazyLock;

use super::{catalog::Catalog, counter::Counter, family::Family, is_enabled};

static LOOKUPS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_cache_lookups",
        "Lookups in the caches of the API, by result: hit or miss. The caches are posts, lists, searches, and compressed bodies",
        ["cache", "result"],
    )
});
static COUNTERS: LazyLock<[Counters; 4]> = LazyLock::new(|| {
    [Cache::Posts, Cache::Lists, Cache::Searches, Cache::CompressedBodies].map(|cache| {
        let counter = |result: &'static str| LOOKUPS.with([cache.as_str().into(), result.into()]);
        Counters {
            cache,
            hits: counter("hit"),
            misses: counter("miss"),
        }
    })
});

struct Counters {
    cache: Cache,
    hits: Counter,
    misses: Counter,
}

/// A cache of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Single posts.
    Posts,
    /// The newest posts.
    Lists,
    /// Results of searches.
    Searches,
    /// Bodies after compression.
    CompressedBodies,
}

impl Cache {
    fn as_str(self) -> &'static str {
        match self {
            Self::Posts => "posts",
            Self::Lists => "lists",
            Self::Searches => "searches",
            Self::CompressedBodies => "compressed_bodies",
        }
    }
}

pub(super) fn describe(catalog: &mut Catalog) {
    LazyLock::force(&COUNTERS);
    LOOKUPS.describe(catalog);
}

/// Counts a lookup.
pub fn looked_up(cache: Cache, is_hit: bool) {
    if !is_enabled() {
        return;
    }
    if let Some(counters) = COUNTERS.iter().find(|counters| counters.cache == cache) {
        let counter = if is_hit { &counters.hits } else { &counters.misses };
        counter.increment();
    }
}
