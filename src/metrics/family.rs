//! A family: metrics with the same name and different label values.

use std::{borrow::Cow, fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{TypedMetric, family, gauge},
};

use super::{
    catalog::{Catalog, FamilyInfo, Kind},
    counter::Counter,
    histogram::{Bounds, Histogram},
};

/// A value that goes up and down.
pub type Gauge = gauge::Gauge<f64, AtomicU64>;

/// The value of a label: text of the program, never of a request.
pub type LabelValue = Cow<'static, str>;

/// Names of labels with their values.
pub type Labels<const N: usize> = [(&'static str, LabelValue); N];

/// See the module. `M` is [`Counter`], [`Gauge`] or [`Histogram`], `N` the number of labels.
pub struct Family<M, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    series: family::Family<Labels<N>, M, fn() -> M>,
}

impl<const N: usize> Family<Counter, N> {
    /// Counters; `_total` is added to the name.
    pub fn counters(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self::new(name, help, labels, Counter::default)
    }
}

impl<const N: usize> Family<Gauge, N> {
    /// Gauges.
    pub fn gauges(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self::new(name, help, labels, Gauge::default)
    }
}

impl<const N: usize> Family<Histogram, N> {
    /// Histograms of durations.
    pub fn durations(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        const BOUNDS: &Bounds = &super::histogram::SECONDS;
        Self::new(name, help, labels, || Histogram::new(BOUNDS))
    }

    /// Histograms of numbers of things.
    pub fn counts(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        const BOUNDS: &Bounds = &super::histogram::COUNTS;
        Self::new(name, help, labels, || Histogram::new(BOUNDS))
    }
}

impl<M, const N: usize> Family<M, N>
where
    M: Clone + EncodeMetric + TypedMetric + Send + Sync + fmt::Debug + 'static,
{
    fn new(name: &'static str, help: &'static str, labels: [&'static str; N], create: fn() -> M) -> Self {
        Self {
            name,
            help,
            labels,
            series: family::Family::new_with_constructor(create),
        }
    }

    /// The metric with these label values, which begins at zero. Keep it where every request needs it.
    pub fn with(&self, values: [LabelValue; N]) -> M {
        self.series.get_or_create_owned(&self.labels(values))
    }

    /// Begins metrics at zero, so that the first event is an increase. Prometheus cannot see an increase from nothing.
    pub fn begin(&self, values: impl IntoIterator<Item = [&'static str; N]>) {
        for values in values {
            let _ = self.with(values.map(Cow::Borrowed));
        }
    }

    /// Adds the family to the catalog.
    pub fn describe(&self, catalog: &mut Catalog) {
        let kind = Kind::from(M::TYPE);
        let info = FamilyInfo::new(self.name, kind, self.help, &self.labels);
        catalog.add(info, self.name, self.series.clone());
    }

    fn labels(&self, values: [LabelValue; N]) -> Labels<N> {
        let mut names = self.labels.into_iter();
        values.map(|value| (names.next().unwrap_or_default(), value))
    }
}
