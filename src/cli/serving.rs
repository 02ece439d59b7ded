//! Runs a server on this thread until it receives a signal: shared by the `serve-…` commands.

use std::{future::Future, io, time::Duration};

use actix_web::rt::System;

use crate::{
    config::MetricsSettings,
    exposition::Socket,
    serve::{ListenAddress, ShutdownHandle, descriptors, shutdown},
};

/// A server that listens but does not run yet.
pub struct Bound<R> {
    /// The addresses for browsers and clients.
    pub urls: Vec<String>,
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
        shutdown::on_signal(vec![shutdown_handle], drain, run).await?;
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

/// Where a server listens: with the configured `host`, which may be a name, or `unix:PATH`.
pub fn urls(addresses: &[ListenAddress], scheme: &str, host: &str) -> Vec<String> {
    let shown = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => url(scheme, host, address.port()),
        ListenAddress::Unix(_) => address.to_string(),
    };
    addresses.iter().map(shown).collect()
}
