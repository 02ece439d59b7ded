//! The rules: only the author changes or deletes a post, and only the version they saw.

use super::{Draft, Filter, Page, Paging, Post, PostChange, User, UserKey, Version};
use crate::db::{Database, DbError};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum BlogError {
    /// No such post.
    #[error("no such post")]
    NotFound,
    /// The post is somebody else's.
    #[error("only the author may do this")]
    NotAuthor,
    /// The post has changed since the version that the caller named.
    #[error("the post has changed meanwhile")]
    Stale,
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// The blog over its database. Cheap to clone.
#[derive(Clone)]
pub struct Blog {
    database: Database,
}

impl Blog {
    /// The blog kept in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The user, made if new (then `true`). A changed display name is taken over.
    pub async fn ensure_user(&self, key: UserKey, display_name: &str) -> Result<(User, bool), BlogError> {
        let _ = (key, display_name, &self.database);
        unimplemented!()
    }
    /// A page of posts; `limit` 1–1000.
    pub async fn posts(&self, filter: Filter, paging: Paging, limit: u32) -> Result<Page, BlogError> {
        let _ = (filter, paging, limit);
        unimplemented!()
    }
    /// One post.
    pub async fn post(&self, id: i64) -> Result<Post, BlogError> {
        let _ = id;
        unimplemented!()
    }
    /// Writes a new post.
    pub async fn create(&self, author: &User, draft: Draft) -> Result<Post, BlogError> {
        let _ = (author, draft);
        unimplemented!()
    }
    /// Changes a post of `user`'s own; with `expected`, only that version.
    pub async fn change(
        &self,
        user: UserKey,
        id: i64,
        change: PostChange,
        expected: Option<Version>,
    ) -> Result<Post, BlogError> {
        let _ = (user, id, change, expected);
        unimplemented!()
    }
    /// Deletes a post of `user`'s own; with `expected`, only that version.
    pub async fn delete(&self, user: UserKey, id: i64, expected: Option<Version>) -> Result<(), BlogError> {
        let _ = (user, id, expected);
        unimplemented!()
    }
}
