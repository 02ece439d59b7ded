//! A counter that many threads increment at the same time.

use std::{
    array, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

use super::shard::{self, SHARDS};

/// Only ever grows. A clone counts the same thing.
#[derive(Debug, Clone)]
pub struct Counter(Arc<[Shard; SHARDS]>);

/// Aligned to two cache lines, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(Arc::new(array::from_fn(|_| Shard::default())))
    }
}

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        if let Some(Shard(value)) = self.0.get(shard::own()) {
            value.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn value(&self) -> u64 {
        self.0.iter().map(|Shard(value)| value.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, u64, u64>(&self.value(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn no_increment_of_any_thread_is_lost() {
        let counter = Counter::default();
        thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| (0..10_000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.value(), 2 * SHARDS as u64 * 10_000);
    }
}
