//! Idempotent creation: a request with the same key creates the post once, and gets the same response each time.
//!
//! A client that received no response does not know whether its post was created. Key and response are stored in the
//! transaction that creates the post, so neither exists without the other.

use chrono::TimeDelta;
use openssl::sha::Sha256;

use super::{
    Blog, BlogError, Draft, Post, PostEvent, PostEventKind, Rights, User, Version,
    service::{insert, now},
};
use crate::db::{
    Connection,
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
    /// `render` makes the response body. Waits for another creation by the same author under a key that is in progress.
    ///
    /// # Errors
    /// [`BlogError::ReadOnly`], then [`BlogError::KeyReused`] when another post was created under the key, or the
    /// database's.
    pub async fn create_idempotent(
        &self,
        rights: Rights,
        author: &User,
        draft: Draft,
        key: IdempotencyKey,
        render: impl Fn(&Post) -> serde_json::Result<String> + Send + 'static,
    ) -> Result<IdempotentResponse, BlogError> {
        if rights < Rights::Write {
            return Err(BlogError::ReadOnly);
        }
        let (author, author_key, report) = (author.clone(), author.key, self.reporter());
        let work = move |connection: &mut Connection<'_>| {
            let (user_id, key, fingerprint) = (author.id, key.as_str(), fingerprint(&draft));
            idempotency::lock_keys(connection, user_id)?;
            let now = now();
            if let Some(stored) = idempotency::find(connection, user_id, key)? {
                if stored.created_at > now - KEY_LIFETIME {
                    return replay(stored, &fingerprint);
                }
                idempotency::delete(connection, user_id, key)?;
            }
            idempotency::delete_expired(connection, now - KEY_LIFETIME, EXPIRED_PER_CREATION)?;
            let post = insert(connection, author.clone(), &draft)?;
            let body = render(&post).map_err(BlogError::Render)?;
            let stored = StoredResponse {
                fingerprint: fingerprint.to_vec(),
                post_id: post.id,
                post_version: post.version().0,
                body,
                created_at: now,
            };
            idempotency::insert(connection, user_id, key, &stored)?;
            Ok(response(stored, false))
        };
        let after_commit = move |response: &IdempotentResponse| {
            if !response.is_replay {
                report(PostEvent {
                    kind: PostEventKind::Created,
                    post_id: response.post_id,
                    author: author_key,
                });
            }
        };
        self.database.write_then(work, after_commit).await
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
