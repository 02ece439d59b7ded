//! Sees to it that there are signing keys: beside the start of the server, so that neither it nor the first caller waits
//! for the identity provider, and again whenever there are none, so that readiness recovers without a caller.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use crate::{background, entra::AccessTokenValidator};

/// Wait before the first attempt after a failure; doubled after each further one.
const RETRY: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often to look whether there still are keys. That asks memory only; keys last a day.
const LOOK: Duration = Duration::from_mins(1);

/// Dropped, it ends the watch.
pub struct KeyWatch {
    _stop: Sender<()>,
}

impl KeyWatch {
    /// Watches on a thread of its own. Not on the runtime: that would wait, when it ends, for a fetch that still runs.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(validator: Arc<AccessTokenValidator>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        background::spawn_restarting("key-watch", move || {
            let mut retry = RETRY;
            loop {
                let wait = match validator.prepare() {
                    Ok(()) => {
                        retry = RETRY;
                        LOOK
                    }
                    Err(error) => {
                        // Why has been logged by those who tried.
                        log::info!("{error}; the next attempt is in {} s", retry.as_secs());
                        let wait = retry;
                        retry = (retry * 2).min(LONGEST_RETRY);
                        wait
                    }
                };
                let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) else {
                    return;
                };
            }
        })?;
        Ok(Self { _stop: stop })
    }
}
