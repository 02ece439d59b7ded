//! `[server]`: what every server of blogctl does the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether this is somebody's laptop or the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Plain HTTP on loopback is fine.
    Development,
    /// The default: cookies are `Secure` and weak settings are refused.
    #[default]
    Production,
}

/// `[server]`.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// `server.environment`, older name `ENVIRONMENT`: `development` or `production`.
    pub environment: Environment,
    /// `server.workers`: threads that serve requests, per server; 0 means one per processor core.
    pub workers: usize,
    /// `server.shutdown_seconds`: how long a stopping server waits for requests that still run.
    pub shutdown_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { environment: Environment::Production, workers: 0, shutdown_timeout: Duration::from_secs(10) }
    }
}
