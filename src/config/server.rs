//! `[server]`: what every server of blogctl does the same.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{loader::Loader, value::choices};

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

choices!(Environment => "development or production");

/// `[server]`.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// `server.environment`, older name `ENVIRONMENT`: `development` or `production`.
    pub environment: Environment,
    /// `server.workers`: threads that serve requests, per server; 0 means one per processor core.
    pub workers: usize,
    /// `server.trusted_proxies`: networks (CIDR) or addresses of proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// `server.max_connections`: most connections at once, per server; beyond it the longest idle makes room.
    pub max_connections: usize,
    /// `server.max_connections_per_address`: most of them from one address; trusted proxies may have any number.
    pub max_connections_per_address: usize,
    /// `server.request_mib`: most MiB of request bodies being received at once, per server.
    pub request_mib: usize,
    /// `server.request_mib_per_address`: most of them from one client.
    pub request_mib_per_address: usize,
    /// `server.response_mib`: most MiB of large responses being sent at once, per server.
    pub response_mib: usize,
    /// `server.response_mib_per_address`: most of them to one client.
    pub response_mib_per_address: usize,
    /// `server.head_seconds`: how long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// `server.body_seconds`: how long its body may take.
    pub body_timeout: Duration,
    /// `server.send_seconds`: how long a client may take nothing of a response.
    pub send_timeout: Duration,
    /// `server.drain_seconds`: how long a server that is told to stop (SIGTERM) still accepts connections.
    pub drain: Duration,
    /// `server.shutdown_seconds`: how long a stopping server waits for requests that still run.
    pub shutdown_timeout: Duration,
}

/// Longest wait: for a request, and at the end; what stops a container usually kills it after 30 seconds.
const MAX_SECONDS: u64 = 300;
/// More than one machine's ports.
const MAX_CONNECTIONS: usize = 1_000_000;
/// More memory than this program is meant for.
const MAX_MIB: usize = 65_536;
/// More threads than any machine has use for.
const MAX_WORKERS: usize = 1024;

impl ServerSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            environment: loader.get("server.environment", default.environment),
            workers: loader.get_if(
                "server.workers",
                default.workers,
                "a whole number from 0 to 1024",
                |workers| *workers <= MAX_WORKERS,
            ),
            trusted_proxies: loader.get("server.trusted_proxies", default.trusted_proxies),
            max_connections: loader.get_if(
                "server.max_connections",
                default.max_connections,
                "a whole number from 1 to 1000000",
                |connections| (1..=MAX_CONNECTIONS).contains(connections),
            ),
            max_connections_per_address: loader.get_if(
                "server.max_connections_per_address",
                default.max_connections_per_address,
                "a whole number from 1 to 1000000",
                |connections| (1..=MAX_CONNECTIONS).contains(connections),
            ),
            request_mib: mib("server.request_mib", default.request_mib, loader),
            request_mib_per_address: mib(
                "server.request_mib_per_address",
                default.request_mib_per_address,
                loader,
            ),
            response_mib: mib("server.response_mib", default.response_mib, loader),
            response_mib_per_address: mib(
                "server.response_mib_per_address",
                default.response_mib_per_address,
                loader,
            ),
            head_timeout: Duration::from_secs(loader.get_if(
                "server.head_seconds",
                default.head_timeout.as_secs(),
                "a whole number of seconds from 1 to 300",
                |seconds| (1..=MAX_SECONDS).contains(seconds),
            )),
            body_timeout: Duration::from_secs(loader.get_if(
                "server.body_seconds",
                default.body_timeout.as_secs(),
                "a whole number of seconds from 1 to 300",
                |seconds| (1..=MAX_SECONDS).contains(seconds),
            )),
            send_timeout: Duration::from_secs(loader.get_if(
                "server.send_seconds",
                default.send_timeout.as_secs(),
                "a whole number of seconds from 1 to 300",
                |seconds| (1..=MAX_SECONDS).contains(seconds),
            )),
            drain: Duration::from_secs(loader.get_if(
                "server.drain_seconds",
                default.drain.as_secs(),
                "a whole number of seconds from 0 to 300",
                |seconds| *seconds <= MAX_SECONDS,
            )),
            shutdown_timeout: Duration::from_secs(loader.get_if(
                "server.shutdown_seconds",
                default.shutdown_timeout.as_secs(),
                "a whole number of seconds from 0 to 300",
                |seconds| *seconds <= MAX_SECONDS,
            )),
        }
    }
}

fn mib(name: &'static str, default: usize, loader: &mut Loader) -> usize {
    loader.get_if(name, default, "a whole number of MiB from 1 to 65536", |mib| {
        (1..=MAX_MIB).contains(mib)
    })
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            environment: Environment::Production,
            workers: 0,
            trusted_proxies: Vec::new(),
            max_connections: 10_000,
            max_connections_per_address: 5_000,
            request_mib: 64,
            request_mib_per_address: 8,
            response_mib: 96,
            response_mib_per_address: 24,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}
