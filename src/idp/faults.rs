//! Things that go wrong at a real identity provider, on demand: it is down, it is slow, it refuses.

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

/// What goes wrong at the moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Every request is answered with 503.
    pub down: bool,
    /// Every request waits this long first, in milliseconds.
    pub slow_ms: u64,
    /// `down` and `slow_ms` are for requests whose path contains this only, such as `discovery/v2.0/keys`.
    pub only_path: Option<String>,
    /// The next token requests are refused.
    pub fail_next: Option<FailNext>,
}

/// Refusals to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailNext {
    /// How many token requests.
    pub count: u32,
    /// AADSTS number.
    pub code: u32,
}

/// The fault in force.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Fault>);

impl Faults {
    /// Puts a fault in place of the one in force.
    pub fn set(&self, fault: Fault) {
        *self.lock() = fault;
    }

    /// The AADSTS number with which to refuse the token request at hand, if any.
    pub fn next_token_failure(&self) -> Option<u32> {
        let mut fault = self.lock();
        let next = fault.fail_next.as_mut().filter(|next| next.count > 0)?;
        next.count -= 1;
        Some(next.code)
    }

    /// What to do to a request for this path.
    pub fn for_path(&self, path: &str) -> Fault {
        let fault = self.lock().clone();
        if fault.only_path.as_deref().is_none_or(|part| path.contains(part)) {
            fault
        } else {
            Fault::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.0.lock()
    }
}
