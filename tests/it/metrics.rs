//! Metrics for Prometheus.

mod api;
mod database;
mod documentation;
mod exposition;
mod process;
mod redis;
mod requests;
mod secrets;
mod site;
