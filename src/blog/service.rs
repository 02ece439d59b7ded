//! The rules: who may only read writes nothing; only the author, or who may manage, changes or deletes a post, and only
//! the version they saw.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::{
    Actor, Draft, Expected, Post, PostChange, Rights, TokenName, User, UserKey,
    text::{UNKNOWN_NAME, clean_display_name},
};
use crate::db::{
    Connection, Database, DbError, Stamp,
    posts::{self, Changes, NewPost},
    users::{self, NewUser},
};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum BlogError {
    /// No such post.
    #[error("no such post")]
    NotFound,
    /// The post is somebody else's.
    #[error("only the author may do this")]
    NotAuthor,
    /// The caller may only read.
    #[error("the caller may only read")]
    ReadOnly,
    /// The post has changed since the version that the caller named.
    #[error("the post has changed meanwhile")]
    Stale,
    /// A cursor with words to search for: the order of what is found changes with every post, so a place in it means
    /// nothing later.
    #[error("a search has no cursor; use skip")]
    NoCursorInSearch,
    /// The author has created something else under the same key.
    #[error("something else was created under this key")]
    KeyReused,
    /// What is to be kept of a creation could not be made.
    #[error("the answer could not be made: {0}")]
    NoAnswer(#[source] serde_json::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// The blog over its database. Cheap to clone.
#[derive(Clone)]
pub struct Blog {
    pub(super) database: Database,
}

impl Blog {
    /// The blog kept in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The user, made if new (then `true`). A changed display name is taken over from a token that was issued later than the
    /// one that the name is from, but not one without anything to see: some tokens of a person carry a name, and others none.
    ///
    /// # Errors
    /// The database's.
    pub async fn ensure_user(&self, key: UserKey, name: impl Into<TokenName<'_>>) -> Result<(User, bool), BlogError> {
        let TokenName { name, issued_at } = name.into();
        let name = clean_display_name(name);
        // Almost always the user is known and has kept the name: a short read, and nothing to write.
        let known = self
            .database
            .read_short(move |connection| users::by_key(connection, key.tid, key.oid))
            .await?;
        if let Some(user) = known
            && name.as_ref().is_none_or(|name| *name == user.display_name)
        {
            return Ok((user.into(), false));
        }
        self.database
            .write(move |connection| make_or_rename(connection, key, name.as_deref(), issued_at))
            .await
    }

    /// Takes over the name of a known user from a token; does nothing for a user who is not known, or when a later token
    /// has been seen.
    ///
    /// # Errors
    /// The database's.
    pub async fn update_name(&self, key: UserKey, name: TokenName<'_>) -> Result<(), BlogError> {
        let TokenName { name, issued_at } = name;
        let Some(name) = clean_display_name(name) else {
            return Ok(());
        };
        let has_news = self
            .database
            .read_short(move |connection| {
                let Some(user) = users::by_key(connection, key.tid, key.oid)? else {
                    return Ok(false);
                };
                Ok::<_, DbError>(users::name_issued_at(connection, user.id)? < issued_at)
            })
            .await?;
        if !has_news {
            return Ok(());
        }
        self.database
            .write(move |connection| {
                if let Some(user) = users::by_key(connection, key.tid, key.oid)? {
                    rename_if_later(connection, &mut user.into(), &name, issued_at)?;
                }
                Ok(())
            })
            .await
    }

    /// What the blog holds now, for whoever keeps answers; `None` where there is no cheap way to know. Microseconds, on
    /// the calling thread.
    ///
    /// # Errors
    /// The database's.
    pub fn stamp(&self) -> Result<Option<Stamp>, BlogError> {
        Ok(self.database.stamp()?)
    }

    /// One post.
    ///
    /// # Errors
    /// [`BlogError::NotFound`], or the database's.
    pub async fn post(&self, id: i64) -> Result<Post, BlogError> {
        let found = self
            .database
            .read_short(move |connection| posts::by_id(connection, id))
            .await?;
        found.map(Post::from).ok_or(BlogError::NotFound)
    }

    /// Writes a new post.
    ///
    /// # Errors
    /// [`BlogError::ReadOnly`], or the database's.
    pub async fn create(&self, rights: Rights, author: &User, draft: Draft) -> Result<Post, BlogError> {
        if rights < Rights::Write {
            return Err(BlogError::ReadOnly);
        }
        let author = author.clone();
        self.database
            .write(move |connection| insert(connection, author.clone(), &draft))
            .await
    }

    /// Changes a post of the actor's own, or anybody's for who may manage; with `expected`, only in that state. A change
    /// of nothing leaves it as it is.
    ///
    /// # Errors
    /// [`BlogError::NotFound`], else [`BlogError::ReadOnly`], else [`BlogError::NotAuthor`], else [`BlogError::Stale`], or the database's.
    pub async fn change(
        &self,
        actor: Actor,
        id: i64,
        change: PostChange,
        expected: Option<Expected>,
    ) -> Result<Post, BlogError> {
        let work = move |connection: &mut Connection<'_>| {
            let mut post = post_to_change(connection, actor, id, expected.as_ref())?;
            if change.title.is_none() && change.content.is_none() {
                return Ok(post);
            }
            post.updated_at = later_than(post.updated_at);
            let title = change.title.as_ref().map(super::Title::as_str);
            let content = change.content.as_ref().map(super::Content::as_str);
            posts::update(
                connection,
                id,
                Changes {
                    title,
                    content,
                    updated_at: post.updated_at,
                },
            )?;
            if let Some(title) = title {
                title.clone_into(&mut post.title);
            }
            if let Some(content) = content {
                content.clone_into(&mut post.content);
            }
            Ok(post)
        };
        self.database.write(work).await
    }

    /// Deletes a post of the actor's own, or anybody's for who may manage; with `expected`, only in that state.
    ///
    /// # Errors
    /// As [`Blog::change`].
    pub async fn delete(&self, actor: Actor, id: i64, expected: Option<Expected>) -> Result<(), BlogError> {
        let work = move |connection: &mut Connection<'_>| {
            post_to_change(connection, actor, id, expected.as_ref())?;
            Ok(posts::delete(connection, id)?)
        };
        self.database.write(work).await
    }
}

pub(super) fn insert(connection: &mut Connection<'_>, author: User, draft: &Draft) -> Result<Post, BlogError> {
    let now = now();
    let (title, content) = (draft.title.as_str(), draft.content.as_str());
    let new = NewPost {
        author_id: author.id,
        title,
        content,
        created_at: now,
        updated_at: now,
    };
    let id = posts::insert(connection, &new)?;
    let (title, content) = (title.to_owned(), content.to_owned());
    Ok(Post {
        id,
        title,
        content,
        is_truncated: None,
        author,
        created_at: now,
        updated_at: now,
    })
}

/// The rule of change and deletion. In the transaction that writes, so that what was looked at is what is written to.
fn post_to_change(
    connection: &mut Connection<'_>,
    actor: Actor,
    id: i64,
    expected: Option<&Expected>,
) -> Result<Post, BlogError> {
    let post: Post = posts::by_id_locked(connection, id)?.ok_or(BlogError::NotFound)?.into();
    if actor.rights < Rights::Write {
        return Err(BlogError::ReadOnly);
    }
    if post.author.key != actor.key && actor.rights < Rights::Manage {
        return Err(BlogError::NotAuthor);
    }
    if expected.is_some_and(|expected| !post.is_as(expected)) {
        return Err(BlogError::Stale);
    }
    Ok(post)
}

fn make_or_rename(
    connection: &mut Connection<'_>,
    key: UserKey,
    name: Option<&str>,
    issued_at: Option<i64>,
) -> Result<(User, bool), BlogError> {
    let now = now();
    let new = NewUser {
        tid: key.tid,
        oid: key.oid,
        display_name: name.unwrap_or(UNKNOWN_NAME),
        created_at: now,
        updated_at: now,
    };
    let made = users::insert_if_new(connection, &new)?;
    // Written above, or by another request before it.
    let mut user: User = users::by_key_written(connection, key.tid, key.oid)?.into();
    if let Some(name) = name {
        rename_if_later(connection, &mut user, name, issued_at)?;
    }
    Ok((user, made))
}

/// Also records a token that says the same name: an older one, with another, may come after it.
fn rename_if_later(
    connection: &mut Connection<'_>,
    user: &mut User,
    name: &str,
    issued_at: Option<i64>,
) -> Result<(), DbError> {
    let is_later = match issued_at {
        Some(issued_at) => {
            let is_later = users::record_name_token(connection, user.id, issued_at)?;
            // PostgreSQL: that may have waited for another transaction, which has renamed the user since this one read the row.
            *user = users::by_key_written(connection, user.key.tid, user.key.oid)?.into();
            is_later
        }
        None => true,
    };
    if is_later && name != user.display_name {
        user.updated_at = later_than(user.updated_at);
        name.clone_into(&mut user.display_name);
        users::rename(connection, user.id, name, user.updated_at)?;
    }
    Ok(())
}

/// The time as it is stored: to the microsecond.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Now, or a microsecond after `time` should the clock have stood still or been set back: versions always grow.
fn later_than(time: DateTime<Utc>) -> DateTime<Utc> {
    now().max(time + TimeDelta::microseconds(1))
}
