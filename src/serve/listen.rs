//! Listening sockets. They are bound before anything else starts, so that a port in use leaves nothing half-started.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    os::unix::net::UnixListener,
    path::PathBuf,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen as start_listening, socket_with, sockopt,
};

use super::{
    socket::BACKLOG,
    unix_socket::{self, SocketFile, UnixSocketError},
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
    /// The host is an IPv6 address, and this machine has no IPv6.
    #[error("cannot listen on {host} port {port}: this machine has no IPv6")]
    NoIpv6 {
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
    /// The Unix socket cannot be used.
    #[error(transparent)]
    Unix(#[from] UnixSocketError),
}

impl ListenError {
    /// What to do about it. `setting` is the setting that chooses the port.
    pub fn hint(&self, setting: &str) -> Option<String> {
        match self {
            Self::InUse { .. } => Some(format!(
                "choose another port with --port PORT (or the setting {setting}), or stop the program that uses it"
            )),
            Self::NoIpv6 { .. } => Some("listen on 0.0.0.0, or on an IPv4 address of this machine".to_owned()),
            Self::Unix(error) => error.hint(),
            Self::Other { .. } => None,
        }
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; `None` if it has no path.
    Unix(Option<PathBuf>),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// For TCP.
    Tcp(TcpListener),
    /// For a Unix socket. A file that this process has created is removed when dropped.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(ListenAddress::Tcp),
            Self::Unix(socket, _) => {
                let address = socket.local_addr()?;
                Ok(ListenAddress::Unix(address.as_pathname().map(PathBuf::from)))
            }
        }
    }
}

/// All sockets of one server: one, unless systemd passes more.
#[derive(Debug)]
pub struct Listeners(pub(super) Vec<Listener>);

impl Listeners {
    /// Listens on a Unix socket if there is one, and otherwise on `host` and `port`.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn bind(host: &str, port: u16, unix: Option<UnixSocket<'_>>) -> Result<Self, ListenError> {
        match unix {
            None => Ok(listen(host, port)?.into()),
            Some(UnixSocket { path, mode }) => {
                let (socket, file) = unix_socket::listen(path, mode)?;
                Ok(Self(vec![Listener::Unix(socket, Some(file))]))
            }
        }
    }

    /// Sockets that already listen. A server needs one at least.
    pub fn new(sockets: Vec<Listener>) -> Self {
        Self(sockets)
    }

    /// The port of the first TCP socket; `None` if there are only Unix sockets.
    pub fn port(&self) -> Option<u16> {
        let addresses = self.0.iter().filter_map(|listener| listener.address().ok());
        addresses.into_iter().find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(address.port()),
            ListenAddress::Unix(_) => None,
        })
    }
}

impl From<TcpListener> for Listeners {
    fn from(socket: TcpListener) -> Self {
        Self(vec![Listener::Tcp(socket)])
    }
}

/// A Unix socket to create.
#[derive(Debug, Clone, Copy)]
pub struct UnixSocket<'s> {
    /// Its path.
    pub path: &'s std::path::Path,
    /// Its permissions, such as 0o660.
    pub mode: u32,
}

/// Listens on `host` (an IP address or a name) and `port`. Port 0 selects a free port. `::` accepts IPv4 too, whatever the
/// system's default (`net.ipv6.bindv6only`) is.
///
/// # Errors
/// When the port is in use or not permitted, or the host is not an address of this machine.
pub fn listen(host: &str, port: u16) -> Result<TcpListener, ListenError> {
    let other = |source| ListenError::Other {
        host: host.to_owned(),
        port,
        source,
    };
    let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let addresses: Vec<SocketAddr> = (name.unwrap_or(host), port).to_socket_addrs().map_err(other)?.collect();
    let bound = match addresses.as_slice() {
        [SocketAddr::V6(address)] if *address.ip() == Ipv6Addr::UNSPECIFIED => listen_on_all(port),
        addresses => TcpListener::bind(addresses),
    };
    let listener = bound.map_err(|error| {
        let is_ipv6 = |address: &SocketAddr| address.ip().is_ipv6();
        let no_ipv6 = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL].map(|e| Some(e.raw_os_error()));
        match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse {
                host: host.to_owned(),
                port,
            },
            _ if no_ipv6.contains(&error.raw_os_error())
                && addresses.iter().all(is_ipv6)
                && addresses.iter().any(|address| is_general(address.ip())) =>
            {
                ListenError::NoIpv6 {
                    host: host.to_owned(),
                    port,
                }
            }
            _ => other(error),
        }
    })?;
    // The standard library makes room for 128 connections only: a client beyond them waits for a second or more. If the
    // size cannot be changed, the server works all the same.
    if let Err(error) = start_listening(&listener, BACKLOG) {
        log::debug!("cannot set how many connections may wait: {error}");
    }
    // Connections inherit the size. If it cannot be set, the server works all the same.
    if let Err(error) = sockopt::set_socket_recv_buffer_size(&listener, RECEIVE_BUFFER_BYTES) {
        log::debug!("cannot set the size of the receive buffer: {error}");
    }
    Ok(listener)
}

/// Whether every machine with IPv6 has this address.
fn is_general(address: IpAddr) -> bool {
    address.is_unspecified() || address.is_loopback()
}

/// Listens on all addresses of this machine, IPv6 and IPv4.
fn listen_on_all(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    start_listening(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[test]
    fn all_addresses_of_ipv6_include_those_of_ipv4() {
        for host in ["::", "[::]", "0::0"] {
            let listener = listen(host, 0).expect(host);
            assert!(!sockopt::ipv6_v6only(&listener).expect("an option"), "{host}");
            let port = listener.local_addr().expect("bound").port();
            for address in ["127.0.0.1", "::1"] {
                TcpStream::connect((address, port)).expect(address);
            }
        }
    }

    #[test]
    fn hundreds_of_clients_may_wait_to_be_accepted() {
        for host in ["127.0.0.1", "localhost", "::"] {
            let listener = listen(host, 0).expect(host);
            let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().expect("bound").port()));
            let waiting: Vec<_> = (0..300)
                .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
                .collect();
            assert_eq!(waiting.len(), 300, "{host}");
        }
    }

    #[test]
    fn a_port_in_use_on_all_addresses_is_reported_as_such() {
        let first = listen("::", 0).expect("a free port");
        let port = first.local_addr().expect("bound").port();
        for host in ["::", "0.0.0.0", "127.0.0.1"] {
            let error = listen(host, port).expect_err(host);
            assert!(matches!(error, ListenError::InUse { .. }), "{host}: {error}");
        }
    }
}
