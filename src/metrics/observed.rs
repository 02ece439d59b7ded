//! Values that are read when they are asked for, so that keeping them up to date costs nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    catalog::{Catalog, FamilyInfo, Kind},
    family::{LabelValue, Labels},
};

/// A family of values that functions return. Values with the same labels are added.
#[derive(Clone)]
pub struct Observed<const N: usize> {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: [&'static str; N],
    sources: Arc<Mutex<Vec<Weak<Read<N>>>>>,
}

/// Returns values with their labels.
type Read<const N: usize> = dyn Fn() -> Vec<([LabelValue; N], f64)> + Send + Sync;

/// Keeps values in the metrics until dropped.
#[must_use = "the value disappears when this is dropped"]
pub struct Observation {
    functions: Vec<Arc<dyn Send + Sync>>,
}

impl Observation {
    /// Several of them as one.
    pub fn all(observations: impl IntoIterator<Item = Self>) -> Self {
        Self {
            functions: observations.into_iter().flat_map(|one| one.functions).collect(),
        }
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observation")
    }
}

impl<const N: usize> fmt::Debug for Observed<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl<const N: usize> Observed<N> {
    /// Gauges.
    pub fn gauges(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self::new(name, Kind::Gauge, help, labels)
    }

    /// Counters that something else counts; `_total` is added to the name.
    pub fn counters(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self::new(name, Kind::Counter, help, labels)
    }

    fn new(name: &'static str, kind: Kind, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            name,
            help,
            kind,
            labels,
            sources: Arc::default(),
        }
    }

    /// Adds the value that `read` returns, unless it returns `None`.
    pub fn observe(
        &self,
        values: [LabelValue; N],
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Observation {
        self.observe_all(move || read().into_iter().map(|value| (values.clone(), value)).collect())
    }

    /// Adds the values that `read` returns.
    pub fn observe_all(&self, read: impl Fn() -> Vec<([LabelValue; N], f64)> + Send + Sync + 'static) -> Observation {
        let read = Arc::new(read);
        let source: Arc<Read<N>> = read.clone();
        let mut sources = self.sources.lock();
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(&source));
        Observation { functions: vec![read] }
    }

    /// Adds the family to the catalog.
    pub fn describe(&self, catalog: &mut Catalog) {
        let info = FamilyInfo::new(self.name, self.kind, self.help, &self.labels);
        catalog.add(info, self.name, self.clone());
    }

    fn values(&self) -> BTreeMap<[LabelValue; N], f64> {
        // Without the lock while a function runs: it may take others.
        let live: Vec<_> = self.sources.lock().iter().filter_map(Weak::upgrade).collect();
        let mut sums = BTreeMap::new();
        for (values, value) in live.iter().flat_map(|read| read()) {
            *sums.entry(values).or_default() += value;
        }
        sums
    }
}

impl<const N: usize> EncodeMetric for Observed<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (values, value) in self.values() {
            let mut names = self.labels.into_iter();
            let labels: Labels<N> = values.map(|value| (names.next().unwrap_or_default(), value));
            let mut encoder = encoder.encode_family(&labels)?;
            match self.kind {
                Kind::Counter => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None)?,
                Kind::Gauge | Kind::Histogram => encoder.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::Histogram => MetricType::Gauge,
        }
    }

    fn is_empty(&self) -> bool {
        self.sources.lock().iter().all(|source| source.strong_count() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_same_labels_are_added_until_their_observation_ends() {
        let gauges = Observed::gauges("g", "help", ["label"]);
        let one = gauges.observe(["a".into()], || Some(1.0));
        let two = gauges.observe(["a".into()], || Some(2.0));
        let other = gauges.observe(["b".into()], || None);
        assert_eq!(gauges.values(), BTreeMap::from([(["a".into()], 3.0)]));
        drop(one);
        assert_eq!(gauges.values(), BTreeMap::from([(["a".into()], 2.0)]));
        assert!(!gauges.is_empty());
        drop((two, other));
        assert!(gauges.is_empty());
    }
}
