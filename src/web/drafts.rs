//! What people typed and could not send, kept until they are back. It belongs to its author, not to a session: sessions end,
//! and the next one in the same browser may be somebody else's.
//!
//! Each author has room for so many drafts and bytes, and all of them together have room for so many bytes, in memory as in Redis:
//! whoever keeps more loses their own oldest drafts, and nobody's drafts take the place of sessions.

mod memory;
mod redis;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::{memory::MemoryDrafts, redis::RedisDrafts};
use super::{
    session::UserKey,
    storage::redis::{RedisStore, StoreError},
};

/// Most drafts of one author; the oldest goes first.
const MAX_OF_AUTHOR: usize = 20;
/// Most bytes of one author's drafts; the oldest goes first. Two of the longest forms.
const MAX_BYTES_OF_AUTHOR: usize = 8 * 1024 * 1024;
/// Most bytes of all drafts; in memory the least recently used author's go first, in Redis the oldest.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What somebody typed into the post form.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    /// Title.
    pub title: String,
    /// Content.
    pub content: String,
    /// `ETag` of the post when its form was opened; empty for a new post.
    #[serde(default)]
    pub etag: String,
    /// Idempotency key of the form of a new post; empty for another one.
    #[serde(default)]
    pub key: String,
    /// Why it was not taken, if it was sent.
    #[serde(default)]
    pub rejection: Option<Rejection>,
}

/// Why a form was not taken: kept with its text, for the page that shows both after a redirect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// What happened to the post, and what to do.
    pub summary: String,
    /// What is wrong with the title.
    pub title_error: Option<String>,
    /// What is wrong with the content.
    pub content_error: Option<String>,
    /// Whether somebody changed the post meanwhile.
    pub is_stale: bool,
    /// When.
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

/// Shows how long it is, and nothing of it: what people write is not for logs.
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed({} bytes)", self.len())
    }
}

impl Typed {
    /// In bytes.
    pub fn len(&self) -> usize {
        let rejection = self.rejection.as_ref().map_or(0, Rejection::len);
        self.title.len() + self.content.len() + self.etag.len() + self.key.len() + rejection
    }
}

/// The drafts of all users.
pub enum Drafts {
    /// In this process.
    InMemory(MemoryDrafts),
    /// In Redis.
    InRedis(RedisDrafts),
}

impl Drafts {
    /// None yet; each is kept for `life`.
    pub fn new(life: Duration, redis: Option<RedisStore>) -> Self {
        match redis {
            Some(redis) => Self::InRedis(RedisDrafts::new(redis, life)),
            None => Self::InMemory(MemoryDrafts::new(life)),
        }
    }

    /// Keeps what was typed at `path`, in place of what was kept there before. Blocks, as the others do.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn keep(&self, author: UserKey, path: &str, typed: Typed) -> Result<(), StoreError> {
        match self {
            Self::InMemory(drafts) => drafts.keep(author, path, typed),
            Self::InRedis(drafts) => return drafts.keep(author, path, &typed),
        }
        Ok(())
    }

    /// What `author` typed at `path`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn find(&self, author: UserKey, path: &str) -> Result<Option<Typed>, StoreError> {
        match self {
            Self::InMemory(drafts) => Ok(drafts.find(author, path)),
            Self::InRedis(drafts) => drafts.find(author, path),
        }
    }

    /// Forgets what `author` typed at `path`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn forget(&self, author: UserKey, path: &str) -> Result<(), StoreError> {
        match self {
            Self::InMemory(drafts) => drafts.forget(author, path),
            Self::InRedis(drafts) => return drafts.forget(author, path),
        }
        Ok(())
    }
}
