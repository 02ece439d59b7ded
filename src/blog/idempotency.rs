//! Creation that may be asked for again: under the same key it is done once, and answered each time as it was the first.
//!
//! A client that got no answer does not know whether its post was written. The key and the answer are stored in the
//! transaction that writes the post, so there is never one without the other.

use chrono::TimeDelta;
use openssl::sha::Sha256;

use super::{
    Blog, BlogError, Draft, Post, Rights, User, Version,
    service::{insert, now},
};
use crate::db::{
    Connection,
    idempotency::{self, KeptAnswer},
};

/// For how long a key is known. Long enough for a client that tries again after a night's outage.
const LIFE: TimeDelta = TimeDelta::hours(24);
/// Old keys that a creation takes away: more than it adds, so that they do not pile up, yet not so many that it takes
/// long after a pause.
const TAKEN_AWAY: i64 = 16;

/// What a client calls one creation: 1–255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key, in characters. The schema's CHECK says the same.
    pub const MAX_CHARS: usize = 255;

    /// The key; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let sane = (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        sane.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came of a creation under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedOnce {
    /// Row id of the post.
    pub post_id: i64,
    /// The state in which it was created; it may have changed since, or be gone.
    pub version: Version,
    /// What was answered then.
    pub answer: String,
    /// Whether it was created by an earlier request.
    pub is_replay: bool,
}

impl Blog {
    /// Writes a new post, unless the author has done so under this key within a day: then that is what comes back.
    /// `answer` makes what is kept of it for whoever asks again. While another creation under the same key is under way,
    /// waits for it.
    ///
    /// # Errors
    /// [`BlogError::ReadOnly`], else [`BlogError::KeyReused`] when something else was created under the key, or the database's.
    pub async fn create_once(
        &self,
        rights: Rights,
        author: &User,
        draft: Draft,
        key: IdempotencyKey,
        answer: impl Fn(&Post) -> serde_json::Result<String> + Send + 'static,
    ) -> Result<CreatedOnce, BlogError> {
        if rights < Rights::Write {
            return Err(BlogError::ReadOnly);
        }
        let author = author.clone();
        let work = move |connection: &mut Connection<'_>| {
            let (user_id, key, fingerprint) = (author.id, key.as_str(), fingerprint(&draft));
            idempotency::lock(connection, user_id)?;
            let now = now();
            if let Some(kept) = idempotency::by_key(connection, user_id, key)? {
                if kept.created_at > now - LIFE {
                    return replay(kept, &fingerprint);
                }
                idempotency::delete(connection, user_id, key)?;
            }
            idempotency::delete_old(connection, now - LIFE, TAKEN_AWAY)?;
            let post = insert(connection, author.clone(), &draft)?;
            let answer = answer(&post).map_err(BlogError::NoAnswer)?;
            let kept = KeptAnswer {
                fingerprint: fingerprint.to_vec(),
                post_id: post.id,
                post_version: post.version().0,
                answer,
                created_at: now,
            };
            idempotency::insert(connection, user_id, key, &kept)?;
            Ok(created(kept, false))
        };
        self.database.write(work).await
    }
}

fn replay(kept: KeptAnswer, fingerprint: &[u8]) -> Result<CreatedOnce, BlogError> {
    if kept.fingerprint == fingerprint {
        Ok(created(kept, true))
    } else {
        Err(BlogError::KeyReused)
    }
}

fn created(kept: KeptAnswer, is_replay: bool) -> CreatedOnce {
    let KeptAnswer {
        post_id,
        post_version,
        answer,
        ..
    } = kept;
    CreatedOnce {
        post_id,
        version: Version(post_version),
        answer,
        is_replay,
    }
}

/// The same for the same title and content, however their JSON was written.
fn fingerprint(draft: &Draft) -> [u8; 32] {
    let (title, content) = (draft.title.as_str(), draft.content.as_str());
    let mut hash = Sha256::new();
    // The length tells where the title ends.
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
    fn the_fingerprint_tells_title_from_content() {
        let of = |title: &str, content: &str| {
            let content = Content::parse(content, 10).expect("a content");
            fingerprint(&Draft {
                title: Title::parse(title).expect("a title"),
                content,
            })
        };
        assert_eq!(of("ab", "c"), of(" ab ", "c"));
        for other in [of("a", "bc"), of("ab", "C"), of("ab", "c "), of("abc", "c")] {
            assert_ne!(of("ab", "c"), other);
        }
    }
}
