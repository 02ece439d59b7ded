//! What systemd and a service say to each other: sockets that systemd has opened, readiness, status and the watchdog.
//!
//! Only this room reads the variables of that protocol: `LISTEN_PID`, `LISTEN_FDS`, `NOTIFY_SOCKET`, `WATCHDOG_PID` and
//! `WATCHDOG_USEC`. Without them, nothing here does anything. Other service managers and container runtimes speak the same
//! protocol, so nothing here asks whether the machine runs systemd.

mod activation;
mod notify;
mod supervisor;

pub use activation::{ActivationError, InheritedSocket, inherited_sockets};
pub use supervisor::Supervisor;
