//! Logs why a certificate cannot be reloaded.

use super::error::TlsError;
use crate::hint::Hint as _;

/// Warns of an error once, not each minute. `last` is the text of the error before. Returns whether it warned.
pub(super) fn report(error: Option<TlsError>, last: &mut Option<String>) -> bool {
    let text = error.as_ref().map(ToString::to_string);
    let new = error.filter(|_| text != *last);
    if let Some(error) = &new {
        let hint = error.hint().unwrap_or_default();
        log::warn!("the TLS certificate cannot be reloaded, the current one stays in use: {error}; hint: {hint}");
    }
    *last = text;
    new.is_some()
}
