//! Graceful stop on SIGINT and SIGTERM: accept nothing new, finish what runs.

use std::{future::Future, io};

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{SignalKind, signal};

/// Drives `run` to its end; SIGINT or SIGTERM stops the servers of `handles` gracefully. A second signal ends the wait.
///
/// # Errors
/// When signals cannot be caught, and those of `run`.
pub async fn on_signal<F>(handles: Vec<ServerHandle>, run: F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::pin!(run);
    tokio::select! {
        result = &mut run => return result,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    log::info!("stopping: waiting for requests that still run");
    let stops = futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true)));
    tokio::select! {
        (_, result) = async { tokio::join!(stops, run) } => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
