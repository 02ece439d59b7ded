//! What people typed and could not send, kept until they are back. It belongs to its author, not to a session: sessions end,
//! and the next one in the same browser may be somebody else's.

use std::{fmt, sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};
use serde::{Deserialize, Serialize};

use super::{
    redis_store::{Kind, Name, RedisStore, StoreError},
    session::UserKey,
};

const DRAFT: Kind = Kind("draft");
/// Most bytes of drafts in memory; the least recently used go first.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

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
        self.title.len() + self.content.len() + self.etag.len()
    }
}

/// The drafts of all users.
pub enum Drafts {
    /// In this process.
    InMemory(Cache<(UserKey, String), Arc<Typed>>),
    /// In Redis, for so long.
    InRedis(RedisStore, Duration),
}

impl Drafts {
    /// None yet; each is kept for `life`.
    pub fn new(life: Duration, redis: Option<RedisStore>) -> Self {
        match redis {
            Some(redis) => Self::InRedis(redis, life),
            None => Self::InMemory(
                Cache::builder()
                    .max_capacity(MAX_BYTES)
                    .weigher(|(_, path): &(UserKey, String), typed: &Arc<Typed>| {
                        u32::try_from(path.len() + typed.len()).unwrap_or(u32::MAX)
                    })
                    .eviction_policy(EvictionPolicy::lru())
                    .time_to_live(life)
                    .build(),
            ),
        }
    }

    /// Keeps what was typed at `path`, in place of what was kept there before. Blocks, as the others do.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn keep(&self, author: UserKey, path: &str, typed: Typed) -> Result<(), StoreError> {
        match self {
            Self::InMemory(cache) => cache.insert((author, path.to_owned()), Arc::new(typed)),
            // Texts are always JSON.
            Self::InRedis(redis, life) => {
                let json = serde_json::to_vec(&typed).unwrap_or_default();
                redis.put(DRAFT, &name(author, path), &json, *life)?;
            }
        }
        Ok(())
    }

    /// What `author` typed at `path`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn find(&self, author: UserKey, path: &str) -> Result<Option<Typed>, StoreError> {
        match self {
            Self::InMemory(cache) => Ok(cache.get(&(author, path.to_owned())).map(|typed| (*typed).clone())),
            Self::InRedis(redis, _) => {
                let json = redis.look(DRAFT, &name(author, path))?;
                Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
            }
        }
    }

    /// Forgets what `author` typed at `path`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn forget(&self, author: UserKey, path: &str) -> Result<(), StoreError> {
        match self {
            Self::InMemory(cache) => cache.invalidate(&(author, path.to_owned())),
            Self::InRedis(redis, _) => {
                redis.remove(DRAFT, &name(author, path))?;
            }
        }
        Ok(())
    }
}

fn name(author: UserKey, path: &str) -> Name {
    Name::of(&format!("{} {} {path}", author.tenant_id, author.object_id))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserKey {
        UserKey { tenant_id: Uuid::nil(), object_id: Uuid::from_u128(number) }
    }

    fn typed(content: &str) -> Typed {
        Typed { title: "t".to_owned(), content: content.to_owned(), etag: String::new() }
    }

    #[test]
    fn a_draft_is_its_authors_and_its_pages() {
        let drafts = Drafts::new(Duration::from_hours(1), None);
        let content = |author, path| drafts.find(author, path).unwrap().map(|typed| typed.content);
        drafts.keep(user(1), "/posts/new", typed("one")).unwrap();
        drafts.keep(user(1), "/posts/7/edit", typed("two")).unwrap();
        drafts.keep(user(1), "/posts/new", typed("three")).unwrap();
        assert_eq!(content(user(1), "/posts/new").as_deref(), Some("three"));
        assert_eq!(content(user(1), "/posts/7/edit").as_deref(), Some("two"));
        assert_eq!(content(user(2), "/posts/new"), None);
        drafts.forget(user(1), "/posts/new").unwrap();
        assert_eq!(content(user(1), "/posts/new"), None);
    }
}
