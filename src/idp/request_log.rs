//! The last requests, so that a test can see what a client sent. Holds no code, token, secret or signature.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::{Map, Value};

/// Requests remembered.
const CAPACITY: usize = 1000;

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Names of the query's parameters.
    pub query_fields: Vec<String>,
    /// Status of the answer.
    pub status: u16,
    /// More about a token request.
    #[serde(flatten)]
    pub note: Option<Note>,
}

/// What a token request held.
#[derive(Debug, Clone, Serialize)]
pub struct Note {
    /// Names of the form's fields.
    pub form_fields: Vec<String>,
    /// `grant_type`
    pub grant_type: Option<String>,
    /// `client_id`
    pub client_id: Option<String>,
    /// `scope`
    pub scope: Option<String>,
    /// JOSE header of the client assertion, if it can be read.
    pub assertion_header: Option<Map<String, Value>>,
    /// Claims of the client assertion, if they can be read.
    pub assertion_claims: Option<Map<String, Value>>,
}

/// The requests remembered, oldest first.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// All of them.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Adds an entry; the oldest one makes room for it.
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
