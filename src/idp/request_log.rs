//! The last requests, so that a test can check what a client sent. Holds no code, token, secret or signature.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::{Map, Value};

/// Number of requests that are stored.
const CAPACITY: usize = 1000;

#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Names of the query parameters.
    pub query_fields: Vec<String>,
    /// Status of the response.
    pub status: u16,
    /// Set for token requests.
    #[serde(flatten)]
    pub note: Option<TokenRequestDetails>,
}

/// The content of a token request.
#[derive(Debug, Clone, Serialize)]
pub struct TokenRequestDetails {
    /// Names of the form fields.
    pub form_fields: Vec<String>,
    pub grant_type: Option<String>,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    /// JOSE header of the client assertion, if it can be decoded.
    pub assertion_header: Option<Map<String, Value>>,
    /// Claims of the client assertion, if they can be decoded.
    pub assertion_claims: Option<Map<String, Value>>,
}

/// The stored requests, oldest first.
#[derive(Debug, Default)]
pub struct RequestLog(Mutex<VecDeque<Entry>>);

impl RequestLog {
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Adds an entry. When the log is full, the oldest entry is dropped.
    pub fn push(&self, entry: Entry) {
        let mut entries = self.lock();
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock()
    }
}
