//! The responses to challenges under way (http-01, RFC 8555 §8.3), which the listener for plain HTTP serves.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Where the CA fetches a response: this, then the token.
pub(super) const FOLDER: &str = "/.well-known/acme-challenge/";

/// Responses by token. There is at most one for each domain of an order.
#[derive(Debug, Clone, Default)]
pub(super) struct Challenges(Arc<Mutex<BTreeMap<String, String>>>);

impl Challenges {
    /// The response for this token.
    pub(super) fn response(&self, token: &str) -> Option<String> {
        self.0.lock().get(token).cloned()
    }

    pub(super) fn add(&self, token: String, response: String) {
        self.0.lock().insert(token, response);
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}
