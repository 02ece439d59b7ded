//! Which server to ask, and how to reach it.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    time::Instant,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

use super::{
    ProbeError,
    stream::{DeadlineStream, Socket, time_left},
    tls,
};

/// A server of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// HTTP.
    Http(String, u16),
    /// HTTPS, with whatever certificate the server presents.
    Https(String, u16),
    /// HTTP over a Unix socket.
    Unix(PathBuf),
}

/// A connection, with TLS or without.
pub(super) trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

impl Target {
    /// The server that listens on `host` and `port`.
    pub fn tcp(host: &str, port: u16, is_https: bool) -> Self {
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        if is_https {
            Self::Https(host.to_owned(), port)
        } else {
            Self::Http(host.to_owned(), port)
        }
    }

    pub(super) fn connect(&self, deadline: Option<Instant>) -> Result<Box<dyn Stream>, ProbeError> {
        let failed = |source: io::Error| ProbeError::Connect {
            target: self.to_string(),
            source,
        };
        match self {
            Self::Http(host, port) => {
                let socket = connect_tcp(&addresses(host, *port)?, deadline).map_err(failed)?;
                Ok(Box::new(DeadlineStream::new(Socket::Tcp(socket), deadline)))
            }
            Self::Https(host, port) => {
                let socket = connect_tcp(&addresses(host, *port)?, deadline).map_err(failed)?;
                let stream = DeadlineStream::new(Socket::Tcp(socket), deadline);
                Ok(Box::new(tls::client(stream).map_err(failed)?))
            }
            Self::Unix(path) => {
                let socket = connect_unix(path).map_err(failed)?;
                Ok(Box::new(DeadlineStream::new(Socket::Unix(socket), deadline)))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Http(host, port) => ("http", host, port),
            Self::Https(host, port) => ("https", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// The addresses of a host. A server that listens on all addresses is asked on loopback.
fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    let resolved = (host, port).to_socket_addrs().map_err(|source| ProbeError::Host {
        host: host.to_owned(),
        source,
    })?;
    let loopback = |address: SocketAddr| match address.ip() {
        // The system's IPv6 may be off, and a server on :: accepts IPv4 as well.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        ],
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
        _ => vec![address],
    };
    Ok(resolved.flat_map(loopback).collect())
}

fn connect_tcp(addresses: &[SocketAddr], deadline: Option<Instant>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let connected = match time_left(deadline)? {
            Some(left) => TcpStream::connect_timeout(address, left),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Does not wait for a server whose queue is full, unlike the standard library, which could wait forever.
fn connect_unix(path: &PathBuf) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Err(io::Error::other("the queue of its socket is full")),
        Err(error) => return Err(error.into()),
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let asked = |host: &str| -> Vec<String> {
            let addresses = addresses(host, 80).expect("addresses");
            addresses.iter().map(ToString::to_string).collect()
        };
        assert_eq!(asked("0.0.0.0"), ["127.0.0.1:80"]);
        assert_eq!(asked("::"), ["[::1]:80", "127.0.0.1:80"]);
        assert_eq!(asked("192.0.2.7"), ["192.0.2.7:80"]);
        assert_eq!(asked("2001:db8::1"), ["[2001:db8::1]:80"]);
        assert_eq!(Target::tcp("[::]", 80, true).to_string(), "https://[::]:80");
    }
}
