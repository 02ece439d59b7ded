//! Graceful shutdown on SIGINT and SIGTERM: no request fails because of it.
//!
//! An orchestrator sends SIGTERM when it replaces one replica with another. Load balancers need a moment to notice. During
//! that time the server reports that it is not ready, closes each connection with its response, and still accepts new ones.
//! Then it closes idle connections, accepts nothing more, and finishes the requests under way. SIGINT comes from a person at
//! a terminal, so the server skips the first phase.

use std::{future::Future, io, time::Duration};

use actix_web::rt::time::sleep;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::ShutdownHandle;

/// Time between two attempts to close idle connections.
const INTERVAL: Duration = Duration::from_millis(50);
/// Attempts before the server stops accepting. Clients whose connection is closed may open another one meanwhile.
const ATTEMPTS_BEFORE_STOPPING: usize = 10;

/// Drives `run` to its end. SIGINT or SIGTERM stops these servers, after `on_stop`; a second signal ends them at once.
///
/// # Errors
/// When signals cannot be caught, and those of `run`.
pub async fn on_signal<F>(
    servers: Vec<ShutdownHandle>,
    drain: Duration,
    on_stop: impl FnOnce(),
    run: F,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // With a handler, this signal does not end the process: a write beyond the limit of file sizes fails instead.
    let _file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    tokio::pin!(run);
    let drain = tokio::select! {
        result = &mut run => return result,
        _ = interrupt.recv() => Duration::ZERO,
        _ = terminate.recv() => drain,
    };
    on_stop();
    let stopping = stop(&servers, drain);
    tokio::select! {
        ((), result) = async { tokio::join!(stopping, run) } => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn stop(servers: &[ShutdownHandle], drain: Duration) {
    servers.iter().for_each(ShutdownHandle::begin_drain);
    if !drain.is_zero() {
        log::info!("stopping: not ready, but still serving for {} s", drain.as_secs());
        sleep(drain).await;
    }
    log::info!("stopping: waiting for the requests under way");
    for _ in 0..ATTEMPTS_BEFORE_STOPPING {
        servers.iter().for_each(ShutdownHandle::close_idle);
        if servers.iter().all(|server| server.open_connections() == 0) {
            break;
        }
        sleep(INTERVAL).await;
    }
    let stopped = futures_util::future::join_all(servers.iter().map(ShutdownHandle::stop));
    let close_idle = async {
        loop {
            servers.iter().for_each(ShutdownHandle::close_idle);
            sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        _ = stopped => {}
        () = close_idle => {}
    }
}
