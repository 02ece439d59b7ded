//! Listening sockets. They are bound before anything else starts, so that a port in use leaves nothing half-started.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

/// Size of the system's receive buffer per connection. The server fills its own buffer, of at most 128 KiB, with
/// everything that has arrived, even if it rejects the request by its head. The system's default of 128 KiB to 6 MiB
/// would fill that buffer each time.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error("port {port} on {host} is in use")]
    InUse {
        /// The configured host.
        host: String,
        /// The configured port.
        port: u16,
    },
    /// Any other error.
    #[error("cannot listen on {host} port {port}: {source}")]
    Other {
        /// The configured host.
        host: String,
        /// The configured port.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
}

impl ListenError {
    /// What to do, if the port is in use. `setting` is the setting that chooses it.
    pub fn hint(&self, setting: &str) -> Option<String> {
        match self {
            Self::InUse { .. } => Some(format!(
                "choose another port with --port PORT (or the setting {setting}), or stop the program that uses it"
            )),
            Self::Other { .. } => None,
        }
    }
}

/// Listens on `host` (an IP address or a name) and `port`. Port 0 selects a free port.
///
/// # Errors
/// When the port is in use or not permitted, or the host is not an address of this machine.
pub fn listen(host: &str, port: u16) -> Result<TcpListener, ListenError> {
    let other = |source| ListenError::Other {
        host: host.to_owned(),
        port,
        source,
    };
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(other)?.collect();
    let listener = TcpListener::bind(addresses.as_slice()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse {
            host: host.to_owned(),
            port,
        },
        _ => other(error),
    })?;
    // Connections inherit the size. If it cannot be set, the server works all the same.
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&listener, RECEIVE_BUFFER_BYTES) {
        log::debug!("cannot set the size of the receive buffer: {error}");
    }
    Ok(listener)
}
