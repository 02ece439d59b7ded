//! `[metrics]`: metrics for Prometheus.

use super::{
    rules::text,
    section::section,
    validate::{A_HOST, host},
};

section! {
    /// Metrics for Prometheus, on a separate port: [docs/monitoring.md](monitoring.md).
    #[derive(Debug, Clone)]
    pub struct MetricsSettings = "metrics" {
        /// Whether `serve-api`, `serve-client` and `dev` serve metrics at `/metrics` of this port.
        pub enabled: bool = false;

        /// Address to listen on. Metrics need no password: choose an address that only the scraper can reach.
        pub host: String = "127.0.0.1".to_owned(), text(A_HOST, host);

        /// Port to listen on; 0 picks a free one, which the log names. Processes on the same machine need different ports.
        pub port: u16 = 9464;
    }
}
