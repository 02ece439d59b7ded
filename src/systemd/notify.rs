//! Notifications to the service manager (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;

/// Longest status text in bytes. It is one line of `systemctl status`.
const MAX_STATUS_BYTES: usize = 200;

/// The service serves requests. Starts what is ordered after it.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// Changes the text that `systemctl status` shows.
pub fn status(status: &str) {
    send(&[NotifyState::Status(&line(status))]);
}

/// The service is alive, and what it does. Must arrive once per [`watchdog_timeout`].
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// The service is about to stop.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
}

/// Whether a service manager listens.
pub fn is_used() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty())
}

/// The service manager kills the service if [`alive`] was not called for this time; `None` if it does not watch.
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero())
}

fn send(states: &[NotifyState<'_>]) {
    if !is_used() {
        return;
    }
    // A service that cannot notify still serves; the service manager reports the missing notification.
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("cannot notify the service manager: {error}");
    }
}

/// One line: a line break would begin another assignment.
fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(MAX_STATUS_BYTES));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_short_line() {
        assert_eq!(line("serving\nREADY=1\r\n"), "serving READY=1  ");
        assert_eq!(line(&"ä".repeat(150)).len(), MAX_STATUS_BYTES);
        assert_eq!(line(&format!("a{}", "ä".repeat(150))).len(), MAX_STATUS_BYTES - 1);
    }
}
