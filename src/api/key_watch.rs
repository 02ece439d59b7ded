//! Fetches Entra's signing keys in the background: at the start, so that neither the server nor the first caller waits
//! for the identity provider, and again whenever there are none, so that readiness recovers without a request.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use crate::{background, entra::AccessTokenValidator};

/// The delay before the first retry; doubled after each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest delay between two attempts.
const MAX_RETRY: Duration = Duration::from_secs(30);
/// How often to check that there are still keys. The check reads memory only; keys last a day.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The watch; dropping it ends it.
pub struct KeyWatch {
    _stop: Sender<()>,
}

impl KeyWatch {
    /// Starts the watch on a separate thread. The runtime, if it ran there, would wait for an unfinished fetch when it
    /// ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(validator: Arc<AccessTokenValidator>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        background::spawn_restarting("key-watch", move || {
            let mut retry = FIRST_RETRY;
            loop {
                let wait = match validator.prepare() {
                    Ok(()) => {
                        retry = FIRST_RETRY;
                        CHECK_INTERVAL
                    }
                    Err(error) => {
                        // The validator has logged the cause.
                        log::info!("{error}; retrying in {} s", retry.as_secs());
                        let wait = retry;
                        retry = (retry * 2).min(MAX_RETRY);
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
