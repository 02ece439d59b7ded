//! Metrics for Prometheus.

mod exposition;
mod requests;
