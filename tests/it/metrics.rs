//! Metrics for Prometheus.

#![expect(clippy::float_cmp, reason = "counts are whole numbers, which floats hold exactly")]

mod api;
mod database;
mod documentation;
mod exposition;
mod process;
mod redis;
mod requests;
mod secrets;
mod site;
