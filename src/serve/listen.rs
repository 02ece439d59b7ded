//! Listening sockets, bound before anything else is started so that a port in use leaves nothing half-started.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

/// What the system keeps of a connection before the server reads it, in bytes. The server's own buffer, of 128 KiB at most, fills by
/// what is there at once, also of a body that it refuses by its head; the system's usual 128 KiB to 6 MiB would fill it each time.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("port {port} on {host} is in use")]
    InUse {
        /// Address asked for.
        host: String,
        /// Port asked for.
        port: u16,
    },
    /// Any other reason.
    #[error("cannot listen on {host} port {port}: {source}")]
    Other {
        /// Address asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
}

/// Listens on `host` (an IP address or a name) and `port`; 0 picks a free one.
///
/// # Errors
/// When the port is in use, may not be used, or the host is not one of this machine's.
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
    // Connections inherit it. Without it the server works all the same.
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&listener, RECEIVE_BUFFER_BYTES) {
        log::debug!("the size of the receive buffer cannot be set: {error}");
    }
    Ok(listener)
}
