//! What a user types into the post form, and why the API did not accept it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Largest body of the post form, in bytes. Percent-encoding can triple the length of a text; the API has its own
/// limit.
pub const MAX_FORM_BYTES: usize = 4 * 1024 * 1024;

/// The fields of the post form.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostInput {
    /// Title.
    pub title: String,
    /// Content.
    pub content: String,
    /// `ETag` of the post when its form was opened; empty for a new post.
    #[serde(default)]
    pub etag: String,
    /// Idempotency key of a new post's form; empty when an existing post is edited.
    #[serde(default)]
    pub key: String,
    /// Why the API did not accept it, if it was sent.
    #[serde(default)]
    pub rejection: Option<Rejection>,
}

/// Why the API did not accept a post. Stored with its text for the page that shows both after a redirect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// What happened to the post, and what to do.
    pub summary: String,
    /// What is wrong with the title.
    pub title_error: Option<String>,
    /// What is wrong with the content.
    pub content_error: Option<String>,
    /// Whether another user changed the post in the meantime.
    pub is_stale: bool,
    /// When the API answered.
    pub at: DateTime<Utc>,
}

impl Rejection {
    fn len(&self) -> usize {
        let errors = [&self.title_error, &self.content_error]
            .into_iter()
            .flatten()
            .map(String::len);
        self.summary.len() + errors.sum::<usize>()
    }
}

/// Shows only the length: text of users does not belong in logs.
impl fmt::Debug for PostInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostInput({} bytes)", self.len())
    }
}

impl PostInput {
    /// Length of all fields, in bytes.
    pub fn len(&self) -> usize {
        let rejection = self.rejection.as_ref().map_or(0, Rejection::len);
        self.title.len() + self.content.len() + self.etag.len() + self.key.len() + rejection
    }
}
