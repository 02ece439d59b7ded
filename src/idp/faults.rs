//! Failures of a real identity provider, on demand: it is down, it is slow, it rejects requests.

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

/// The failures in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultInjection {
    /// Answer every request with 503.
    pub down: bool,
    /// Delay every request by this many milliseconds.
    pub slow_ms: u64,
    /// Limits `down` and `slow_ms` to requests whose path contains this text, such as `discovery/v2.0/keys`.
    pub only_path: Option<String>,
    /// Reject the next token requests.
    pub fail_next: Option<TokenFailures>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFailures {
    /// Number of token requests to reject.
    pub count: u32,
    /// AADSTS code to reject them with.
    pub code: u32,
}

/// Holds the failures in force.
#[derive(Debug, Default)]
pub struct FaultInjector(Mutex<FaultInjection>);

impl FaultInjector {
    /// Replaces the failures in force.
    pub fn set(&self, fault: FaultInjection) {
        *self.lock() = fault;
    }

    /// The AADSTS code with which to reject the current token request, if any. Counts the request.
    pub fn next_token_failure(&self) -> Option<u32> {
        let mut fault = self.lock();
        let next = fault.fail_next.as_mut().filter(|next| next.count > 0)?;
        next.count -= 1;
        Some(next.code)
    }

    /// The failures that apply to a request for `path`.
    pub fn for_path(&self, path: &str) -> FaultInjection {
        let fault = self.lock().clone();
        if fault.only_path.as_deref().is_none_or(|part| path.contains(part)) {
            fault
        } else {
            FaultInjection::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, FaultInjection> {
        self.0.lock()
    }
}
