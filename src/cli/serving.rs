//! Runs a server on this thread until it receives a signal: shared by the `serve-…` commands.

use std::{future::Future, io, time::Duration};

use actix_web::rt::System;

use crate::{
    config::MetricsSettings,
    exposition::Socket,
    serve::{ShutdownHandle, descriptors, shutdown},
};

/// A server that listens but does not run yet.
pub struct Bound<R> {
    /// The address for browsers and clients.
    pub url: String,
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
            url,
            shutdown_handle,
            drain,
            run,
        } = bind()?;
        let run = async {
            // After signal handlers are installed: a reader of this line may send a signal at once.
            log::info!("listening on {url}");
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

/// `http://host:port`, with brackets around an IPv6 address.
pub fn http_url(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    }
}
