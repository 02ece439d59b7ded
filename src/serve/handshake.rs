//! TLS handshakes: bounded in time, and ended when the server needs the room for another connection.

use std::{future::poll_fn, io, net::IpAddr, task::Poll, time::Duration};

use actix_web::rt::time::timeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::{
    registry::{CloseMode, ConnectionGuard, ConnectionState},
    tls::{ClientCertificates, Tls},
};
use crate::metrics;

/// Accepts a TLS connection. `None` when the client does not speak TLS, takes longer than `at_most`, or the server needs the
/// room for another connection.
pub async fn accept<S>(
    tls: &Tls,
    stream: S,
    peer: Option<IpAddr>,
    guard: &mut ConnectionGuard,
    at_most: Duration,
) -> Option<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = tls.acceptor().accept(stream);
    let accepted = tokio::select! {
        accepted = timeout(at_most, handshake) => accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        () = closed(&guard.state) => return None,
    };
    let stream = accepted.inspect_err(|error| report_failure(peer, guard, error)).ok()?;
    let chain = stream.get_ref().1.peer_certificates();
    let has_certificate = chain.is_some_and(|chain| !chain.is_empty());
    guard.may_only_probe = tls.client_certificates() == ClientCertificates::Required && !has_certificate;
    Some(stream)
}

/// Ends when the registry asks the connection to close.
async fn closed(state: &ConnectionState) {
    poll_fn(|context| {
        state.wake_on_close(context.waker());
        if state.close_mode() == CloseMode::None {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

/// What a client does wrong is not an error of the server.
fn report_failure(peer: Option<IpAddr>, guard: &ConnectionGuard, error: &io::Error) {
    metrics::certificates::tls_handshake_failed(guard.registry.role);
    let client = peer.map(|peer| peer.to_string()).unwrap_or_default();
    log::info!(target: "blogctl::access", client = client.as_str(); "TLS handshake failed: {error}");
}
