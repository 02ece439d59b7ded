//! Fetches the signing keys beside the start of the server, so that neither start nor the first caller waits for the
//! identity provider, and readiness recovers by itself when it was away.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use crate::entra::AccessTokenValidator;

/// First and longest wait between two attempts.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Dropped, it ends the attempts.
pub struct WarmUp {
    _stop: Sender<()>,
}

impl WarmUp {
    /// Tries on a thread of its own until there are keys. Not on the runtime: that would wait for an attempt that still
    /// runs before it ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(validator: Arc<AccessTokenValidator>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        thread::Builder::new().name("signing-keys".to_owned()).spawn(move || {
            let (mut wait, longest) = WAIT;
            while let Err(error) = validator.prepare() {
                log::warn!("{error}; the next attempt is in {} s", wait.as_secs());
                let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) else { return };
                wait = (wait * 2).min(longest);
            }
        })?;
        Ok(Self { _stop: stop })
    }
}
