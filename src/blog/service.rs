//! The rules: a caller who may only read writes nothing; only the author, or a caller who may manage, changes or
//! deletes a post, and only the version that they saw.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::{
    Actor, Author, Draft, Post, PostChange, Precondition, Rights, TokenName, User, UserKey,
    text::{UNKNOWN_NAME, clean_display_name},
};
use crate::db::{
    Connection, DataVersion, Database, DbError, WorkError, WorkValue,
    posts::{self, Changes, NewPost, PostRow},
    users::{self, NewUser},
};

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum BlogError {
    /// The post does not exist.
    #[error("no such post")]
    PostNotFound,
    /// The caller is not the post's author.
    #[error("only the author may do this")]
    NotAuthor,
    /// The caller may only read.
    #[error("the caller may only read")]
    ReadOnly,
    /// The post does not satisfy the caller's precondition.
    #[error("the post has changed meanwhile")]
    Stale,
    /// A search was given a cursor. The order of its results changes with every post, so a position in it means nothing
    /// later.
    #[error("a search has no cursor; use skip")]
    NoCursorInSearch,
    /// The author has created another post under the same idempotency key.
    #[error("another post was created under this key")]
    KeyReused,
    /// The response to a creation could not be rendered.
    #[error("the response could not be rendered: {0}")]
    Render(#[source] serde_json::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl WorkError for BlogError {
    fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// A change of a post that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostEvent {
    /// What happened.
    pub kind: PostEventKind,
    /// Row id of the post.
    pub post_id: i64,
    /// The post's author.
    pub author: UserKey,
}

/// What happened to a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostEventKind {
    /// It is new.
    Created,
    /// Its title or content changed.
    Changed,
    /// It is gone.
    Deleted,
}

/// Called for each change once it is committed, on a thread of the database.
type Observer = Arc<dyn Fn(PostEvent) + Send + Sync>;

/// The blog. Cheap to clone.
#[derive(Clone)]
pub struct Blog {
    pub(super) database: Database,
    observer: Option<Observer>,
}

impl Blog {
    /// The blog in `database`.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            observer: None,
        }
    }

    /// The same blog, whose changes are reported to `observer`: each one after its commit, even if the request has been
    /// abandoned meanwhile. The observer must be quick.
    #[must_use]
    pub fn observed_by(&self, observer: impl Fn(PostEvent) + Send + Sync + 'static) -> Self {
        Self {
            database: self.database.clone(),
            observer: Some(Arc::new(observer)),
        }
    }

    /// Reports an event to the observer.
    pub(super) fn reporter(&self) -> impl FnOnce(PostEvent) + Clone + Send + use<> {
        let observer = self.observer.clone();
        move |event| {
            if let Some(observer) = observer {
                observer(event);
            }
        }
    }

    /// Returns the user, created if new (then `true`). Takes over a changed display name from a token that was issued
    /// later than the token of the stored name. An empty name is ignored: some of a person's tokens hold a name, others
    /// do not.
    ///
    /// # Errors
    /// The database's.
    pub async fn ensure_user(&self, key: UserKey, name: impl Into<TokenName<'_>>) -> Result<(User, bool), BlogError> {
        let TokenName { name, issued_at } = name.into();
        let name = clean_display_name(name);
        // Almost always the user exists with this name, so a short read is enough.
        let known = self
            .database
            .read_short(move |connection| users::by_key(connection, key))
            .await?;
        if let Some(user) = known
            && name.as_ref().is_none_or(|name| *name == user.display_name)
        {
            return Ok((user.into(), false));
        }
        self.database
            .write(move |connection| create_or_rename(connection, key, name.as_deref(), issued_at))
            .await
    }

    /// Takes over an existing user's name from a token. Does nothing if the user does not exist, or if a later token
    /// was recorded.
    ///
    /// # Errors
    /// The database's.
    pub async fn update_name(&self, key: UserKey, name: TokenName<'_>) -> Result<(), BlogError> {
        let TokenName { name, issued_at } = name;
        let Some(name) = clean_display_name(name) else {
            return Ok(());
        };
        let is_later = self
            .database
            .read_short(move |connection| {
                let Some(user) = users::by_key(connection, key)? else {
                    return Ok(false);
                };
                Ok::<_, DbError>(users::name_issued_at(connection, user.id)? < issued_at)
            })
            .await?;
        if !is_later {
            return Ok(());
        }
        self.database
            .write(move |connection| {
                if let Some(user) = users::by_key(connection, key)? {
                    rename_if_later(connection, &mut user.into(), &name, issued_at)?;
                }
                Ok(())
            })
            .await
    }

    /// The current version of the data, for caches; `None` where there is no cheap way to read it. Takes microseconds,
    /// on the calling thread.
    ///
    /// # Errors
    /// The database's.
    pub fn data_version(&self) -> Result<Option<DataVersion>, BlogError> {
        Ok(self.database.data_version()?)
    }

    /// Finds a post.
    ///
    /// # Errors
    /// [`BlogError::PostNotFound`], or the database's.
    pub async fn post(&self, id: i64) -> Result<Post, BlogError> {
        let found = self
            .database
            .read_short(move |connection| posts::by_id(connection, id))
            .await?;
        found.map(Post::from).ok_or(BlogError::PostNotFound)
    }

    /// Creates a post. The author becomes a user, as by [`Blog::ensure_user`].
    ///
    /// # Errors
    /// [`BlogError::ReadOnly`], or the database's.
    pub async fn create(&self, rights: Rights, author: impl Into<Author<'_>>, draft: Draft) -> Result<Post, BlogError> {
        if rights < Rights::Write {
            return Err(BlogError::ReadOnly);
        }
        let (author, draft) = (author.into(), Arc::new(draft));
        let mut expected = self.expected_author(author).await?;
        // Runs twice at most: a user who was ensured is accepted.
        loop {
            let (draft, report) = (Arc::clone(&draft), self.reporter());
            let after_commit = if_some(move |post: &Post| report(post.event(PostEventKind::Created)));
            let statement = move |connection: &mut Connection<'_>, ()| insert(connection, &expected, &draft);
            let created = self.database.read_then_write(|_| Ok(()), statement, after_commit);
            if let Some(post) = created.await? {
                return Ok(post);
            }
            expected = self.ensured_author(author).await?;
        }
    }

    /// Changes a post of the actor, or any post if the actor may manage; only if it satisfies the precondition. An
    /// empty change does nothing.
    ///
    /// # Errors
    /// In this order: [`BlogError::PostNotFound`], [`BlogError::ReadOnly`], [`BlogError::NotAuthor`], [`BlogError::Stale`];
    /// or the database's.
    pub async fn change(
        &self,
        actor: Actor,
        id: i64,
        change: PostChange,
        precondition: Option<Precondition>,
    ) -> Result<Post, BlogError> {
        let change = Arc::new(change);
        let is_empty = change.title.is_none() && change.content.is_none();
        let check = move |connection: &mut Connection<'_>, find: FindPost| {
            authorize_change(find(connection, id)?, actor, precondition.as_ref())
        };
        let write = move |connection: &mut Connection<'_>, post: Post| {
            if is_empty {
                return Ok(Some(post));
            }
            update(connection, post, &change)
        };
        let report = self.reporter();
        let event = move |post: &Post| post.event(PostEventKind::Changed);
        self.change_checked(check, write, move |post: &Post| {
            if !is_empty {
                report(event(post));
            }
        })
        .await
    }

    /// Deletes a post of the actor, or any post if the actor may manage; only if it satisfies the precondition.
    ///
    /// # Errors
    /// As [`Blog::change`].
    pub async fn delete(&self, actor: Actor, id: i64, precondition: Option<Precondition>) -> Result<(), BlogError> {
        let check = move |connection: &mut Connection<'_>, find: FindPost| {
            authorize_change(find(connection, id)?, actor, precondition.as_ref())
        };
        let write = move |connection: &mut Connection<'_>, post: Post| {
            let is_deleted = posts::delete(connection, id, post.updated_at)?;
            Ok(is_deleted.then(|| post.event(PostEventKind::Deleted)))
        };
        let report = self.reporter();
        self.change_checked(check, write, move |event: &PostEvent| report(*event))
            .await
            .map(drop)
    }

    /// Reads a post, checks the rule, and writes if the post is still the one that was read. If it is not, does the same
    /// again in a transaction that locks the post, so that a post that changes often cannot keep a caller waiting.
    async fn change_checked<T: WorkValue>(
        &self,
        check: impl Fn(&mut Connection<'_>, FindPost) -> Result<Post, BlogError> + Clone + Send + 'static,
        write: impl Fn(&mut Connection<'_>, Post) -> Result<Option<T>, BlogError> + Clone + Send + 'static,
        report: impl FnOnce(&T) + Clone + Send + 'static,
    ) -> Result<T, BlogError> {
        let read = {
            let check = check.clone();
            move |connection: &mut Connection<'_>| check(connection, posts::by_id)
        };
        let written = self
            .database
            .read_then_write(read, write.clone(), if_some(report.clone()));
        if let Some(written) = written.await? {
            return Ok(written);
        }
        let locked = move |connection: &mut Connection<'_>| {
            let post = check(connection, posts::by_id_locked)?;
            write(connection, post)
        };
        let written = self.database.write_then(locked, if_some(report)).await?;
        // A program that changes rows without changing their times.
        written.ok_or(BlogError::Stale)
    }

    /// The author of a post that is about to be stored. On PostgreSQL, the statement that stores the post looks the user
    /// up: no round trip before it, and no cached user that could be outdated.
    pub(super) async fn expected_author(&self, author: Author<'_>) -> Result<PostAuthor, BlogError> {
        if !self.database.is_remote() {
            return self.ensured_author(author).await;
        }
        Ok(PostAuthor::Expected {
            key: author.key,
            name: clean_display_name(author.name.name),
        })
    }

    /// The author, who is a user from now on, under the name that counts.
    pub(super) async fn ensured_author(&self, author: Author<'_>) -> Result<PostAuthor, BlogError> {
        let (user, _) = self.ensure_user(author.key, author.name).await?;
        Ok(PostAuthor::Ensured(user))
    }
}

/// Reports what was written, if anything was.
fn if_some<T>(report: impl FnOnce(&T)) -> impl FnOnce(&Option<T>) {
    move |written| {
        if let Some(written) = written {
            report(written);
        }
    }
}

/// Reads the post with an id: [`posts::by_id`] or [`posts::by_id_locked`].
type FindPost = fn(&mut Connection<'_>, i64) -> Result<Option<PostRow>, DbError>;

/// The author of a post that is about to be stored.
#[derive(Debug, Clone)]
pub(super) enum PostAuthor {
    /// This user.
    Ensured(User),
    /// Most likely a user, and under the name in the token, if it has one.
    Expected {
        /// Tenant and object id.
        key: UserKey,
        /// The name in the token.
        name: Option<String>,
    },
}

impl Post {
    pub(super) fn event(&self, kind: PostEventKind) -> PostEvent {
        PostEvent {
            kind,
            post_id: self.id,
            author: self.author.key,
        }
    }
}

/// Stores a post; `None` if the expected author is not a user, or has another name.
pub(super) fn insert(
    connection: &mut Connection<'_>,
    author: &PostAuthor,
    draft: &Draft,
) -> Result<Option<Post>, BlogError> {
    let now = now();
    let (title, content) = (draft.title.as_str(), draft.content.as_str());
    let new = NewPost {
        author_id: 0,
        title,
        content,
        created_at: now,
        updated_at: now,
    };
    let stored = match author {
        PostAuthor::Ensured(user) => {
            let new = NewPost {
                author_id: user.id,
                ..new
            };
            Some((posts::insert(connection, &new)?, user.clone()))
        }
        PostAuthor::Expected { key, name } => {
            posts::insert_by(connection, *key, name.as_deref(), &new)?.map(|(id, user)| (id, user.into()))
        }
    };
    Ok(stored.map(|(id, author)| Post {
        id,
        title: title.to_owned(),
        content: content.to_owned(),
        is_truncated: None,
        author,
        created_at: now,
        updated_at: now,
    }))
}

/// Changes a post that was read; `None` if it has changed since.
fn update(connection: &mut Connection<'_>, mut post: Post, change: &PostChange) -> Result<Option<Post>, BlogError> {
    let seen = post.updated_at;
    post.updated_at = later_than(seen);
    let title = change.title.as_ref().map(super::Title::as_str);
    let content = change.content.as_ref().map(super::Content::as_str);
    let changes = Changes {
        title,
        content,
        updated_at: post.updated_at,
    };
    if !posts::update(connection, post.id, seen, changes)? {
        return Ok(None);
    }
    if let Some(title) = title {
        title.clone_into(&mut post.title);
    }
    if let Some(content) = content {
        content.clone_into(&mut post.content);
    }
    Ok(Some(post))
}

/// The rule for changes and deletions. The post cannot change between this check and the write: it is locked, or the write
/// finds no post with this time of change.
fn authorize_change(
    found: Option<PostRow>,
    actor: Actor,
    precondition: Option<&Precondition>,
) -> Result<Post, BlogError> {
    let post: Post = found.ok_or(BlogError::PostNotFound)?.into();
    if actor.rights < Rights::Write {
        return Err(BlogError::ReadOnly);
    }
    if post.author.key != actor.key && actor.rights < Rights::Manage {
        return Err(BlogError::NotAuthor);
    }
    if precondition.is_some_and(|precondition| !post.satisfies(precondition)) {
        return Err(BlogError::Stale);
    }
    Ok(post)
}

fn create_or_rename(
    connection: &mut Connection<'_>,
    key: UserKey,
    name: Option<&str>,
    issued_at: Option<i64>,
) -> Result<(User, bool), BlogError> {
    let now = now();
    let new = NewUser {
        key,
        display_name: name.unwrap_or(UNKNOWN_NAME),
        created_at: now,
        updated_at: now,
    };
    let is_new = users::insert_if_new(connection, &new)?;
    // Inserted above, or by another request before.
    let mut user: User = users::existing_by_key(connection, key)?.into();
    if let Some(name) = name {
        rename_if_later(connection, &mut user, name, issued_at)?;
    }
    Ok((user, is_new))
}

/// Also records a token with the same name: an older token with another name may come later.
fn rename_if_later(
    connection: &mut Connection<'_>,
    user: &mut User,
    name: &str,
    issued_at: Option<i64>,
) -> Result<(), DbError> {
    let is_later = match issued_at {
        Some(issued_at) => {
            let is_later = users::record_name_token(connection, user.id, issued_at)?;
            // On PostgreSQL, recording may have waited for another transaction, which renamed the user after this one
            // read the row.
            *user = users::existing_by_key(connection, user.key)?.into();
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

/// The current time in the precision of the database: microseconds.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// The current time, or a microsecond after `time` if the clock stood still or was set back: versions must increase.
fn later_than(time: DateTime<Utc>) -> DateTime<Utc> {
    now().max(time + TimeDelta::microseconds(1))
}
