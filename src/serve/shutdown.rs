//! Stop on SIGINT and SIGTERM so that nobody notices.
//!
//! SIGTERM comes from what replaces one replica by another. Whoever sends requests here needs a moment to notice: until then
//! the server says that it is not ready, ends each connection with its response, and goes on accepting. Then it closes what
//! is idle, accepts nothing more, and finishes what runs. SIGINT comes from somebody who waits at a terminal: no such moment.

use std::{future::Future, io, time::Duration};

use actix_web::rt::time::sleep;
use tokio::signal::unix::{SignalKind, signal};

use super::Stopper;

/// How often connections are looked at that may have become idle.
const LOOK: Duration = Duration::from_millis(50);
/// How long idle connections have to end before the servers stop accepting: a client may open another one instead.
const LOOKS_BEFORE_STOPPING: usize = 10;

/// Drives `run` to its end; SIGINT or SIGTERM stops these servers. A second signal ends the wait.
///
/// # Errors
/// When signals cannot be caught, and those of `run`.
pub async fn on_signal<F>(servers: Vec<Stopper>, drain: Duration, run: F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::pin!(run);
    let drain = tokio::select! {
        result = &mut run => return result,
        _ = interrupt.recv() => Duration::ZERO,
        _ = terminate.recv() => drain,
    };
    let stopping = stop(&servers, drain);
    tokio::select! {
        ((), result) = async { tokio::join!(stopping, run) } => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn stop(servers: &[Stopper], drain: Duration) {
    servers.iter().for_each(Stopper::begin_drain);
    if !drain.is_zero() {
        log::info!("stopping: for {} s not ready, but still serving", drain.as_secs());
        sleep(drain).await;
    }
    log::info!("stopping: waiting for requests that still run");
    for _ in 0..LOOKS_BEFORE_STOPPING {
        servers.iter().for_each(Stopper::end_idle);
        if servers.iter().all(|server| server.open_connections() == 0) {
            break;
        }
        sleep(LOOK).await;
    }
    let stopped = futures_util::future::join_all(servers.iter().map(|server| server.handle.stop(true)));
    let ending = async {
        loop {
            servers.iter().for_each(Stopper::end_idle);
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        _ = stopped => {}
        () = ending => {}
    }
}
