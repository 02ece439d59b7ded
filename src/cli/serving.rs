//! What the `serve-…` commands do the same: run a server on this thread until it is told to stop.

use std::{future::Future, io, time::Duration};

use actix_web::rt::System;

use super::error_report::WithHint as _;
use crate::serve::{ListenError, Stopper, descriptors, stop};

/// A server that listens, on its way to running.
pub struct Bound<R> {
    /// Where browsers and clients find it.
    pub url: String,
    /// Stops it.
    pub stopper: Stopper,
    /// How long it goes on when SIGTERM tells it to stop.
    pub drain: Duration,
    /// Runs it.
    pub run: R,
}

/// Binds with `bind`, says where, and serves until SIGINT or SIGTERM.
///
/// # Errors
/// Those of `bind` and of serving.
pub fn serve<R>(bind: impl FnOnce() -> anyhow::Result<Bound<R>>) -> anyhow::Result<()>
where
    R: Future<Output = io::Result<()>>,
{
    descriptors::raise_limit();
    System::new().block_on(async {
        let Bound {
            url,
            stopper,
            drain,
            run,
        } = bind()?;
        let run = async {
            // Not before signals are caught: whoever reads this may send one at once.
            log::info!("listening on {url}");
            run.await
        };
        stop::on_signal(vec![stopper], drain, run).await?;
        log::info!("stopped");
        Ok(())
    })
}

/// Says which flag and setting choose another port.
///
/// # Errors
/// The same failure, with advice.
pub fn listening<T, E>(
    result: Result<T, E>,
    setting: &str,
    flag: &str,
    of: fn(&E) -> Option<&ListenError>,
) -> anyhow::Result<T>
where
    E: Into<anyhow::Error>,
{
    match result {
        Err(error) if matches!(of(&error), Some(ListenError::InUse { .. })) => Err(error).hint(format!(
            "choose another with {flag} PORT (or the setting {setting}), or stop the program that listens there"
        )),
        other => other.map_err(Into::into),
    }
}

/// `http://host:port`, with brackets around an IPv6 address.
pub fn http_url(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    }
}
