//! Runs a server on this thread until it receives a signal: shared by the `serve-…` commands.

use std::{future::Future, io, time::Duration};

use actix_web::rt::System;

use super::error_report::WithHint as _;
use crate::{
    config::MetricsSettings,
    exposition::Socket,
    probe::Target,
    serve::{ListenAddress, Listener, Listeners, ShutdownHandle, descriptors, shutdown},
    systemd::{ActivationError, InheritedSocket, Supervisor},
};

/// A server that listens but does not run yet.
pub struct Bound<R> {
    /// The addresses for browsers and clients.
    pub urls: Vec<String>,
    /// How systemd's watchdog reaches the server; `None` for a server that no service manager runs.
    pub probe: Option<Target>,
    /// Stops the server gracefully.
    pub shutdown_handle: ShutdownHandle,
    /// How long it continues to serve after SIGTERM.
    pub drain: Duration,
    /// The future that runs the server.
    pub run: R,
}

/// Binds a server with `bind`, logs its address, and serves until SIGINT or SIGTERM. Metrics are served from before the
/// server starts until it has stopped.
///
/// # Errors
/// The errors of `bind` and of the servers.
pub fn serve<R>(
    metrics: Option<&MetricsSettings>,
    bind: impl FnOnce() -> anyhow::Result<Bound<R>>,
) -> anyhow::Result<()>
where
    R: Future<Output = io::Result<()>>,
{
    descriptors::raise_limit();
    System::new().block_on(async {
        let exposition = match metrics.map(Socket::listen).transpose()?.flatten() {
            Some(socket) => Some(socket.serve()?),
            None => None,
        };
        if let Some(exposition) = &exposition {
            log::info!("metrics on {}", exposition.url());
        }
        let Bound {
            urls,
            probe,
            shutdown_handle,
            drain,
            run,
        } = bind()?;
        let run = async {
            // After signal handlers are installed: a reader of this line may send a signal at once.
            for url in urls {
                log::info!("listening on {url}");
            }
            run.await
        };
        let supervisor = probe.and_then(Supervisor::start);
        let on_stop = || {
            if let Some(supervisor) = &supervisor {
                supervisor.stopping();
            }
        };
        shutdown::on_signal(vec![shutdown_handle], drain, on_stop, run).await?;
        if let Some(exposition) = exposition {
            exposition.stop().await;
        }
        log::info!("stopped");
        Ok(())
    })
}

/// `scheme://host:port`, with brackets around an IPv6 address.
pub fn url(scheme: &str, host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("{scheme}://[{host}]:{port}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

/// The sockets that systemd passed, for the server of `role`; `None` if there are none.
///
/// # Errors
/// If they cannot be used.
pub fn inherited(
    sockets: Result<Vec<InheritedSocket>, ActivationError>,
    role: &str,
) -> anyhow::Result<Option<Listeners>> {
    let sockets = match sockets {
        Ok(sockets) if sockets.is_empty() => return Ok(None),
        Ok(sockets) => sockets,
        Err(error) => {
            let hint = error.hint();
            return Err(error).hint(hint);
        }
    };
    log::info!(
        "systemd passed {} to listen on, so {role}.host, {role}.port and {role}.socket_path are not used",
        match sockets.len() {
            1 => "a socket".to_owned(),
            count => format!("{count} sockets"),
        }
    );
    let listener = |socket| match socket {
        InheritedSocket::Tcp(socket) => Listener::Tcp(socket),
        InheritedSocket::Unix(socket) => Listener::Unix(socket, None),
    };
    Ok(Some(Listeners::new(sockets.into_iter().map(listener).collect())))
}

/// How a program on this machine reaches the server.
pub fn probe_target(addresses: &[ListenAddress], is_https: bool) -> Option<Target> {
    let target = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => Some(Target::tcp(&address.ip().to_string(), address.port(), is_https)),
        ListenAddress::Unix(path) => path.clone().map(Target::Unix),
    };
    addresses.iter().find_map(target)
}

/// Where a server listens: with the configured `host`, which may be a name, or with the socket's own address, or
/// `unix:PATH`.
pub fn urls(addresses: &[ListenAddress], scheme: &str, host: Option<&str>) -> Vec<String> {
    let shown = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => match host {
            Some(host) => url(scheme, host, address.port()),
            None => url(scheme, &address.ip().to_string(), address.port()),
        },
        ListenAddress::Unix(_) => address.to_string(),
    };
    addresses.iter().map(shown).collect()
}
