//! Outbound HTTP: how an agent for requests to other servers is made. Timeouts always, proxy variables honoured,
//! redirects never followed, system CAs plus one configured file. Calls block: never make them on a serving thread.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Why no agent could be made.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The configured CA file cannot be read or holds no certificate.
    #[error("CA file {path}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes an agent whose every request, connecting included, ends within `timeout`.
///
/// `ca_file` is a PEM file of certificates trusted beside the system's. Answers with an error status are answers, not
/// errors. Share one agent: it keeps connections alive.
///
/// # Errors
/// When `ca_file` cannot be read or holds no certificate.
pub fn agent(timeout: Duration, ca_file: Option<&Path>) -> Result<ureq::Agent, OutboundError> {
    let _ = (timeout, ca_file);
    unimplemented!()
}
