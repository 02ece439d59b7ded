//! A histogram that many threads write at the same time. The one of prometheus-client has a lock, which every request would
//! take.

use std::{
    array, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

use super::shard::{self, SHARDS};

/// Most bounds. With the sum and the last bucket, a part fills two cache lines.
const MAX_BOUNDS: usize = 14;

/// Upper bounds of the buckets, in ascending order.
#[derive(Debug)]
pub struct Bounds {
    limits: [u64; MAX_BOUNDS],
    /// How many of the unit in which values are recorded make one of the unit that is exposed.
    scale: f64,
}

/// From 1 ms, faster than any request that waits for something, to 30 s, the longest time limit.
pub const SECONDS: Bounds = Bounds {
    limits: [
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        30_000_000_000,
    ],
    scale: 1e9,
};

/// Powers of two.
pub const COUNTS: Bounds = Bounds {
    limits: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192],
    scale: 1.0,
};

/// How often which value occurred. A clone records into the same histogram.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static Bounds,
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; MAX_BOUNDS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(bounds: &'static Bounds) -> Self {
        Self(Arc::new(Inner {
            bounds,
            shards: array::from_fn(|_| Shard::default()),
        }))
    }

    /// Records a duration, in a histogram with bounds in [`SECONDS`].
    pub fn record(&self, duration: Duration) {
        self.record_value(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records a value.
    pub fn record_value(&self, value: u64) {
        let bucket = self.0.bounds.limits.partition_point(|limit| *limit < value);
        let Some(shard) = self.0.shards.get(shard::own()) else {
            return;
        };
        if let Some(count) = shard.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        shard.sum.fetch_add(value, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Inner { bounds, shards } = &*self.0;
        let of_all = |read: &dyn Fn(&Shard) -> Option<u64>| shards.iter().filter_map(read).sum::<u64>();
        let limits = bounds.limits.iter().map(|limit| float(*limit) / bounds.scale);
        let buckets: Vec<(f64, u64)> = limits
            .chain([f64::INFINITY])
            .enumerate()
            .map(|(at, limit)| {
                let count = |shard: &Shard| Some(shard.counts.get(at)?.load(Ordering::Relaxed));
                (limit, of_all(&count))
            })
            .collect();
        // Of the same counts as the buckets, which other threads may have changed since.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = float(of_all(&|shard| Some(shard.sum.load(Ordering::Relaxed)))) / bounds.scale;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of nanoseconds is exact up to 104 days; beyond that, Prometheus rounds as well"
)]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::prometheus_text, registry::Registry};

    use super::*;

    fn encoded(histogram: &Histogram) -> String {
        let mut registry = Registry::default();
        registry.register("h", "help", histogram.clone());
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("text");
        text
    }

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_is_not_smaller() {
        let histogram = Histogram::new(&COUNTS);
        for value in [0, 1, 2, 3, 8192, 8193] {
            histogram.record_value(value);
        }
        let text = encoded(&histogram);
        for line in [
            "h_bucket{le=\"1\"} 2",
            "h_bucket{le=\"2\"} 3",
            "h_bucket{le=\"4\"} 4",
            "h_bucket{le=\"4096\"} 4",
            "h_bucket{le=\"8192\"} 5",
            "h_bucket{le=\"+Inf\"} 6",
            "h_sum 16391.0",
            "h_count 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn durations_are_exposed_in_seconds() {
        let histogram = Histogram::new(&SECONDS);
        histogram.record(Duration::from_micros(2500));
        let text = encoded(&histogram);
        for line in [
            "h_bucket{le=\"0.001\"} 0",
            "h_bucket{le=\"0.0025\"} 1",
            "h_bucket{le=\"30\"} 1",
            "h_sum 0.0025",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
