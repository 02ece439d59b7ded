//! Metrics of this process for Prometheus: what happened so far (counters, histograms) and what is now (gauges).
//!
//! Any room may call this one, which uses none. Each area has a file with its families and small functions that record one
//! event, such as [`http::record`]. A room with a state to report, such as the number of open connections, registers a function
//! that reads it, and drops the returned [`Observation`] when the state is gone. `exposition` serves the result.
//!
//! Labels are bounded: route patterns, stable codes and names of the program. Never an id, a path, an address, a user, or
//! any text of a request.

pub mod audit;
pub mod build;
pub mod cache;
mod catalog;
pub mod certificates;
mod counter;
pub mod database;
mod family;
mod histogram;
pub mod http;
pub mod keys;
pub mod limits;
pub mod logs;
mod observed;
pub mod outbound;
pub mod process;
pub mod redis;
pub mod sessions;
mod shard;
pub mod sign_in;
pub mod spans;
pub mod tokens;

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use prometheus_client::encoding::{prometheus_text, text};

use catalog::Catalog;
pub use catalog::{FamilyInfo, Kind};
pub use family::LabelValue;
pub use observed::Observation;

/// Whether anything reads the metrics. If not, requests do not pay for recording them.
static IS_ENABLED: AtomicBool = AtomicBool::new(false);

/// All families. The order is that of the documentation.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    http::describe(&mut catalog);
    sign_in::describe(&mut catalog);
    sessions::describe(&mut catalog);
    tokens::describe(&mut catalog);
    keys::describe(&mut catalog);
    certificates::describe(&mut catalog);
    outbound::describe(&mut catalog);
    database::describe(&mut catalog);
    cache::describe(&mut catalog);
    redis::describe(&mut catalog);
    limits::describe(&mut catalog);
    logs::describe(&mut catalog);
    spans::describe(&mut catalog);
    audit::describe(&mut catalog);
    process::describe(&mut catalog);
    build::describe(&mut catalog);
    catalog
});

/// The format of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, which every scraper understands.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Records what happens with each request from now on.
pub fn enable() {
    IS_ENABLED.store(true, Ordering::Relaxed);
}

/// Whether what happens with each request is recorded. Rare events always are.
pub fn is_enabled() -> bool {
    IS_ENABLED.load(Ordering::Relaxed)
}

/// All metrics as they are now.
///
/// # Errors
/// Never, unless a label cannot be written: a defect of the program.
pub fn encode(format: Format) -> Result<String, fmt::Error> {
    let mut text = String::new();
    match format {
        Format::Text => prometheus_text::encode(&mut text, CATALOG.registry())?,
        Format::OpenMetrics => text::encode(&mut text, CATALOG.registry())?,
    }
    Ok(text)
}

/// Every family that this program can expose, also those without a value yet.
pub fn families() -> &'static [FamilyInfo] {
    CATALOG.families()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of things in this process are below 2^52"
)]
fn float(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
fn unix_time(seconds: i64) -> f64 {
    seconds as f64
}
