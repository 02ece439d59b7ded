//! An accepted socket, with TLS or without.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

/// Connections that wait to be accepted. The system allows fewer if `net.core.somaxconn` is lower.
pub(super) const BACKLOG: i32 = 4096;

/// The socket of one connection.
pub enum Socket {
    /// HTTP
    Plain(TcpStream),
    /// HTTPS
    Tls(Box<TlsStream<TcpStream>>),
    /// HTTP over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Makes the system drop unsent bytes when the socket is closed.
    pub fn discard_unsent(&self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            // The system keeps what is left for the other process, which is on this machine.
            Self::Unix(_) => return,
        };
        // If this fails, the system tries for a while to send what is left.
        let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Sets the options of an accepted socket: writes are sent at once, and the system too closes the connection of a client
/// that acknowledges nothing for `send_timeout`.
///
/// # Errors
/// When the socket is already closed.
pub fn set_options(stream: &TcpStream, send_timeout: Duration) -> io::Result<()> {
    // Otherwise the second packet of a response waits until the client acknowledges the first, up to 40 ms.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, u32::try_from(send_timeout.as_millis()).unwrap_or(u32::MAX))?;
    #[cfg(not(target_os = "linux"))]
    let _ = send_timeout;
    Ok(())
}

/// Limits what the system buffers per connection when a client does not read. Linux would go up to 4 MiB. Connections
/// inherit the size from a listening TCP socket, but not from a Unix socket.
pub fn bound_send_buffers(socket: impl AsFd) {
    const SEND_BUFFER_BYTES: usize = 128 * 1024;
    if let Err(error) = sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES) {
        log::warn!("cannot limit the size of send buffers: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn writes_are_sent_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        assert!(!stream.nodelay().expect("an option"), "the system's default");
        set_options(&stream, Duration::from_secs(30)).expect("a socket");
        assert!(stream.nodelay().expect("an option"));
        drop(client);
    }
}
