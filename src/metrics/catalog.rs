//! The families of this program, and what documentation needs to know of each.

use prometheus_client::{
    metrics::MetricType,
    registry::{Metric, Registry},
};

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and begins at zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size: `_bucket`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The name that the exposition formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl From<MetricType> for Kind {
    fn from(kind: MetricType) -> Self {
        match kind {
            MetricType::Counter => Self::Counter,
            MetricType::Histogram => Self::Histogram,
            MetricType::Gauge | MetricType::Info | MetricType::Unknown => Self::Gauge,
        }
    }
}

/// A family as it is exposed.
#[derive(Debug, Clone)]
pub struct FamilyInfo {
    /// The name, with `_total` for a counter. The series of a histogram have a suffix: see [`Kind::Histogram`].
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// What it measures, without a full stop.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: Vec<&'static str>,
}

impl FamilyInfo {
    pub(super) fn new(name: &str, kind: Kind, help: &'static str, labels: &[&'static str]) -> Self {
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        Self {
            name: format!("{name}{suffix}"),
            kind,
            help,
            labels: labels.to_vec(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Catalog {
    registry: Registry,
    families: Vec<FamilyInfo>,
}

impl Catalog {
    /// Adds a family. `name` is without the suffix of a counter.
    pub(super) fn add(&mut self, info: FamilyInfo, name: &str, metric: impl Metric) {
        self.registry.register(name, info.help, metric);
        self.families.push(info);
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn families(&self) -> &[FamilyInfo] {
        &self.families
    }
}
