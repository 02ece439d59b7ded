//! Asks a server of this machine for its health: for `blogctl health`, and for the watchdog of systemd.
//!
//! It connects to the server itself and to no other place: it uses no proxy, follows no redirect, and sends nothing secret. Time
//! and bytes are bounded, because the server may hang, or another program may listen on its port.

mod response;
mod stream;
mod target;
mod tls;

use std::{
    io,
    time::{Duration, Instant},
};

pub use self::{
    response::{InvalidResponse, Response},
    target::Target,
};

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The host has no address.
    #[error("{host} has no address: {source}")]
    Host {
        /// The host to connect to.
        host: String,
        /// The system's error.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to {target}: {source}")]
    Connect {
        /// Where to.
        target: String,
        /// The system's error.
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("{target} did not answer within {} s", seconds(*.timeout))]
    Timeout {
        /// Which server.
        target: String,
        /// How long the probe waited.
        timeout: Duration,
    },
    /// The connection ended.
    #[error("the connection to {target} failed: {source}")]
    Connection {
        /// Which server.
        target: String,
        /// What happened.
        source: io::Error,
    },
    /// What came is not an HTTP response.
    #[error("{target} did not answer in HTTP: {source}")]
    Invalid {
        /// Which server.
        target: String,
        /// What is wrong.
        source: InvalidResponse,
    },
}

fn seconds(timeout: Duration) -> f64 {
    timeout.as_secs_f64()
}

/// `GET path`, within `timeout` in total.
///
/// # Errors
/// If there is no complete response in time. A response with any status is not an error.
pub fn get(target: &Target, path: &str, timeout: Duration) -> Result<Response, ProbeError> {
    let deadline = Instant::now().checked_add(timeout);
    let mut stream = target.connect(deadline)?;
    let exchanged = response::exchange(&mut stream, path);
    exchanged.map_err(|error| match error {
        response::ExchangeError::Io(source) if is_timeout(&source) => ProbeError::Timeout {
            target: target.to_string(),
            timeout,
        },
        response::ExchangeError::Io(source) => ProbeError::Connection {
            target: target.to_string(),
            source,
        },
        response::ExchangeError::Invalid(source) => ProbeError::Invalid {
            target: target.to_string(),
            source,
        },
    })
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
