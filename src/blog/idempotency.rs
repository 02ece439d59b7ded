//! Idempotent creation: a request with the same key creates the post once, and gets the same response each time.
//!
//! A client that received no response does not know whether its post was created. Key and response are stored in the
//! transaction that creates the post, so neither exists without the other.

use std::sync::Arc;

use chrono::TimeDelta;
use openssl::sha::Sha256;

use super::{
    Author, Blog, BlogError, Draft, Post, PostEvent, PostEventKind, Rights, Version,
    service::{PostAuthor, insert, now},
};
use crate::db::{
    Connection, DbError, WorkError,
    idempotency::{self, StoredResponse},
};

/// How long a key is valid: long enough for a client that retries after an outage of a night.
const KEY_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Expired keys that each creation deletes: more than it adds, so that they do not accumulate, but few enough that it
/// stays fast after a long pause.
const EXPIRED_PER_CREATION: i64 = 16;

/// A client's name for one creation: 1–255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key, in characters. The schema's CHECK says the same.
    pub const MAX_CHARS: usize = 255;

    /// Parses a key; `None` when the text is not a valid one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The response to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentResponse {
    /// Row id of the post.
    pub post_id: i64,
    /// The post's version at creation. The post may have been changed or deleted since.
    pub version: Version,
    /// The response body.
    pub body: String,
    /// Whether an earlier request created the post.
    pub is_replay: bool,
}

impl Blog {
    /// Creates a post, unless the author has created it under this key within a day: then returns the stored response.
    /// `render` makes the response body. Waits for another creation by the same author under the key that is in progress.
    ///
    /// # Errors
    /// [`BlogError::ReadOnly`], then [`BlogError::KeyReused`] when another post was created under the key, or the
    /// database's.
    pub async fn create_idempotent(
        &self,
        rights: Rights,
        author: impl Into<Author<'_>>,
        draft: Draft,
        key: IdempotencyKey,
        render: impl Fn(&Post) -> serde_json::Result<String> + Clone + Send + 'static,
    ) -> Result<IdempotentResponse, BlogError> {
        if rights < Rights::Write {
            return Err(BlogError::ReadOnly);
        }
        let (author, draft) = (author.into(), Arc::new(draft));
        let mut creation = Creation {
            author: self.expected_author(author).await?,
            draft: Arc::clone(&draft),
            key,
            is_key_in_use: false,
        };
        // Almost always the key is new, so nothing looks for it first. Each further turn follows a change that another
        // transaction has committed; the request's deadline ends them all.
        loop {
            let (report, author_key) = (self.reporter(), author.key);
            let after_commit = move |outcome: &Option<IdempotentResponse>| {
                if let Some(IdempotentResponse {
                    post_id,
                    is_replay: false,
                    ..
                }) = *outcome
                {
                    report(PostEvent {
                        kind: PostEventKind::Created,
                        post_id,
                        author: author_key,
                    });
                }
            };
            let (attempt, render) = (creation.clone(), render.clone());
            let work = move |connection: &mut Connection<'_>| attempt.run(connection, &render);
            match self.database.write_then(work, after_commit).await {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => {}
                Err(CreationError::KeyInUse) => creation.is_key_in_use = true,
                Err(CreationError::Failed(error)) => return Err(error),
            }
            creation.author = self.ensured_author(author).await?;
        }
    }
}

/// What to create.
#[derive(Clone)]
struct Creation {
    author: PostAuthor,
    draft: Arc<Draft>,
    key: IdempotencyKey,
    /// Whether an earlier attempt found that the key is in use.
    is_key_in_use: bool,
}

/// Why a creation is rolled back.
enum CreationError {
    /// A response is stored under the key.
    KeyInUse,
    Failed(BlogError),
}

impl<E: Into<BlogError>> From<E> for CreationError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl WorkError for CreationError {
    fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::KeyInUse => None,
            Self::Failed(error) => error.database_error(),
        }
    }
}

impl Creation {
    /// Creates the post, or returns the stored response; `None` if the author is not yet a user, or has another name.
    fn run(
        &self,
        connection: &mut Connection<'_>,
        render: impl Fn(&Post) -> serde_json::Result<String>,
    ) -> Result<Option<IdempotentResponse>, CreationError> {
        let (now, key, fingerprint) = (now(), self.key.as_str(), fingerprint(&self.draft));
        let expired = now - KEY_LIFETIME;
        if self.is_key_in_use
            && let PostAuthor::Ensured(user) = &self.author
            && let Some(stored) = idempotency::find(connection, user.id, key)?
            && stored.created_at > expired
        {
            return Ok(Some(replay(stored, &fingerprint)?));
        }
        let Some(post) = insert(connection, &self.author, &self.draft)? else {
            return Ok(None);
        };
        if self.is_key_in_use {
            idempotency::delete_if_expired(connection, post.author.id, key, expired)?;
        }
        let stored = StoredResponse {
            fingerprint: fingerprint.to_vec(),
            post_id: post.id,
            post_version: post.version().0,
            body: render(&post).map_err(BlogError::Render)?,
            created_at: now,
        };
        if !idempotency::insert(connection, post.author.id, key, &stored, expired, EXPIRED_PER_CREATION)? {
            return Err(CreationError::KeyInUse);
        }
        Ok(Some(response(stored, false)))
    }
}

fn replay(stored: StoredResponse, fingerprint: &[u8]) -> Result<IdempotentResponse, BlogError> {
    if stored.fingerprint == fingerprint {
        Ok(response(stored, true))
    } else {
        Err(BlogError::KeyReused)
    }
}

fn response(stored: StoredResponse, is_replay: bool) -> IdempotentResponse {
    let StoredResponse {
        post_id,
        post_version,
        body,
        ..
    } = stored;
    IdempotentResponse {
        post_id,
        version: Version(post_version),
        body,
        is_replay,
    }
}

/// A hash of title and content. It does not depend on how their JSON was written.
fn fingerprint(draft: &Draft) -> [u8; 32] {
    let (title, content) = (draft.title.as_str(), draft.content.as_str());
    let mut hash = Sha256::new();
    // The length separates the title from the content.
    hash.update(&title.len().to_be_bytes());
    hash.update(title.as_bytes());
    hash.update(content.as_bytes());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blog::{Content, Title};

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        for good in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~", &"k".repeat(255)] {
            assert_eq!(
                IdempotencyKey::parse(good).as_ref().map(IdempotencyKey::as_str),
                Some(good)
            );
        }
        for bad in ["", " ", "a b", "a\tb", "a\u{7f}", "é", "\u{0}", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_fingerprint_separates_title_and_content() {
        let hash = |title: &str, content: &str| {
            let content = Content::parse(content, 10).expect("a content");
            fingerprint(&Draft {
                title: Title::parse(title).expect("a title"),
                content,
            })
        };
        assert_eq!(hash("ab", "c"), hash(" ab ", "c"));
        for other in [hash("a", "bc"), hash("ab", "C"), hash("ab", "c "), hash("abc", "c")] {
            assert_ne!(hash("ab", "c"), other);
        }
    }
}
