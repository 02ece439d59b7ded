//! Posts that users typed and could not save. A draft belongs to its author, not to a session: sessions end, and the
//! next session in the same browser may be another user's.
//!
//! Drafts are bounded by number and bytes per author and by bytes in total, in memory as in Redis. An author who
//! exceeds the limit loses their own oldest drafts, and drafts never take space from sessions.

mod limits;
mod memory;
mod redis;

use std::{sync::Arc, time::Duration};

use self::{memory::MemoryDrafts, redis::RedisDrafts};
use super::{
    post_input::PostInput,
    session::UserKey,
    storage::{RedisStore, StorageExecutor, StoreError},
};

/// The drafts of all users, each under its author and the path of its form.
pub struct Drafts {
    store: Arc<Store>,
    executor: StorageExecutor,
}

enum Store {
    InMemory(MemoryDrafts),
    InRedis(RedisDrafts),
}

impl Drafts {
    /// A store in `redis`, or in this process. Each draft ends after `lifetime`.
    pub fn new(lifetime: Duration, redis: Option<RedisStore>, executor: StorageExecutor) -> Self {
        let store = match redis {
            Some(redis) => Store::InRedis(RedisDrafts::new(redis, lifetime)),
            None => Store::InMemory(MemoryDrafts::new(lifetime)),
        };
        Self {
            store: Arc::new(store),
            executor,
        }
    }

    /// Saves what `author` typed at `path`, replacing an earlier draft.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn save(&self, author: UserKey, path: &str, input: PostInput) -> Result<(), StoreError> {
        let (store, path) = (Arc::clone(&self.store), path.to_owned());
        let save = move || match &*store {
            Store::InMemory(drafts) => {
                drafts.save(author, &path, input);
                Ok(())
            }
            Store::InRedis(drafts) => drafts.save(author, &path, &input),
        };
        self.executor.run(save).await
    }

    /// The draft of `author` at `path`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn find(&self, author: UserKey, path: &str) -> Result<Option<PostInput>, StoreError> {
        let (store, path) = (Arc::clone(&self.store), path.to_owned());
        let find = move || match &*store {
            Store::InMemory(drafts) => Ok(drafts.find(author, &path)),
            Store::InRedis(drafts) => drafts.find(author, &path),
        };
        self.executor.run(find).await
    }

    /// Deletes the draft of `author` at `path`: its post is saved or deleted. If that fails, the form offers the text
    /// once more.
    pub async fn delete(&self, author: UserKey, path: &str) {
        let (store, path) = (Arc::clone(&self.store), path.to_owned());
        let delete = move || match &*store {
            Store::InMemory(drafts) => {
                drafts.delete(author, &path);
                Ok(())
            }
            Store::InRedis(drafts) => drafts.delete(author, &path),
        };
        if let Err(error) = self.executor.run(delete).await {
            log::error!("{error}");
        }
    }
}
