//! `[server]`: what every server of blogctl does the same.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::loader::Loader;

/// Whether this is somebody's laptop or the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// The site may call the API over plain HTTP wherever it is, such as at a container's name.
    Development,
    /// The default: plain HTTP on loopback only.
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
    /// `server.trusted_proxies`: networks (CIDR) or addresses of proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// `server.shutdown_seconds`: how long a stopping server waits for requests that still run.
    pub shutdown_timeout: Duration,
}

/// Longest wait at the end; what stops a container usually kills it after 30 seconds.
const MAX_SHUTDOWN_SECONDS: u64 = 300;
/// More threads than any machine has use for.
const MAX_WORKERS: usize = 1024;

impl ServerSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            environment: loader.get("server.environment", default.environment),
            workers: loader.get_if("server.workers", default.workers, "a whole number from 0 to 1024", |workers| {
                *workers <= MAX_WORKERS
            }),
            trusted_proxies: loader.get("server.trusted_proxies", default.trusted_proxies),
            shutdown_timeout: Duration::from_secs(loader.get_if(
                "server.shutdown_seconds",
                default.shutdown_timeout.as_secs(),
                "a whole number of seconds from 0 to 300",
                |seconds| *seconds <= MAX_SHUTDOWN_SECONDS,
            )),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            environment: Environment::Production,
            workers: 0,
            trusted_proxies: Vec::new(),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}
