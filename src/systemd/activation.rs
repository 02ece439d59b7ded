//! Socket activation (`sd_listen_fds(3)`): systemd opens the sockets, and starts the service with them.
//!
//! The sockets outlive the service, so that no connection is refused while it restarts, and ports below 1024 need no
//! privilege.

use std::{
    env, io,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
    process,
};

use listenfd::ListenFd;
use rustix::net::sockopt;

const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_PID: &str = "LISTEN_PID";
/// Most sockets that a service accepts.
const MAX_SOCKETS: usize = 16;

/// A listening socket that systemd has opened.
#[derive(Debug)]
pub enum InheritedSocket {
    /// For TCP.
    Tcp(TcpListener),
    /// A Unix socket. Its file belongs to systemd.
    Unix(UnixListener),
}

/// Why the sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variable is not a number of sockets.
    #[error("LISTEN_FDS is not a number of sockets from 1 to {MAX_SOCKETS}")]
    InvalidCount,
    /// The variable is not a process ID.
    #[error("LISTEN_PID is not a process ID")]
    InvalidPid,
    /// A descriptor is something else than a stream socket.
    #[error("socket {number} from systemd cannot be used: {source}")]
    Unusable {
        /// From 1.
        number: usize,
        /// What it is.
        source: io::Error,
    },
    /// A stream socket that does not listen: with `Accept=yes`, systemd passes connections.
    #[error("socket {0} from systemd does not listen")]
    NotListening(usize),
}

impl ActivationError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InvalidCount | Self::InvalidPid => {
                "systemd sets LISTEN_FDS and LISTEN_PID; if it has not started this process, unset both"
            }
            Self::Unusable { .. } => {
                "the .socket unit may have ListenStream= lines only, with a TCP port or the path of a Unix socket"
            }
            Self::NotListening(_) => "set Accept=no in the .socket unit",
        }
    }
}

/// The sockets that systemd has opened for this process; none if it was not started by a `.socket` unit. Only the first call
/// returns them. Call it before the process starts threads, because it removes the variables from the environment.
///
/// # Errors
/// If the variables are invalid, or a descriptor is not a listening stream socket.
pub fn inherited_sockets() -> Result<Vec<InheritedSocket>, ActivationError> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    let (Some(count), Some(pid)) = (variable(LISTEN_FDS), variable(LISTEN_PID)) else {
        // Without LISTEN_PID, the sockets may be those of a parent process.
        return Ok(Vec::new());
    };
    let number = |value: std::ffi::OsString| value.to_str().and_then(|text| text.parse::<u32>().ok());
    if number(pid).ok_or(ActivationError::InvalidPid)? != process::id() {
        return Ok(Vec::new());
    }
    let count = number(count).and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| (1..=MAX_SOCKETS).contains(count))
        .ok_or(ActivationError::InvalidCount)?;
    let mut sockets = ListenFd::from_env();
    (0..count).map(|index| take(&mut sockets, index)).collect()
}

fn take(sockets: &mut ListenFd, index: usize) -> Result<InheritedSocket, ActivationError> {
    let number = index + 1;
    let socket = match sockets.take_unix_listener(index) {
        Ok(Some(socket)) => InheritedSocket::Unix(socket),
        // `Ok(None)` means that there are fewer descriptors than announced; the second attempt reports it.
        _ => match sockets.take_tcp_listener(index) {
            Ok(Some(socket)) => InheritedSocket::Tcp(socket),
            Ok(None) => return Err(ActivationError::InvalidCount),
            Err(source) => return Err(ActivationError::Unusable { number, source }),
        },
    };
    let is_listening = match &socket {
        InheritedSocket::Tcp(socket) => sockopt::socket_acceptconn(socket.as_fd()),
        InheritedSocket::Unix(socket) => sockopt::socket_acceptconn(socket.as_fd()),
    };
    if is_listening.unwrap_or(false) {
        Ok(socket)
    } else {
        Err(ActivationError::NotListening(number))
    }
}
