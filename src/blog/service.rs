//! The rules: who may only read writes nothing; only the author, or who may manage, changes or deletes a post, and only
//! the version they saw.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::{
    Actor, Cursor, Draft, Expected, Filter, Page, Paging, Post, PostChange, Rights, User, UserKey,
    text::{UNKNOWN_NAME, clean_display_name},
};
use crate::db::{
    Connection, Database, DbError, Stamp,
    post_list::{self, Place, Wanted},
    post_search::{self, Sought},
    posts::{self, Changes, NewPost},
    users::{self, NewUser},
};

/// Most posts that a page holds.
const MAX_LIMIT: u32 = 1000;
/// A page up to this size, this deep in the list, takes well under a millisecond; others are read aside.
const SHORT_LIMIT: u32 = 100;
const SHORT_SKIP: u64 = 1000;

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

    /// The user, made if new (then `true`). A changed display name is taken over, but not one without anything to see:
    /// some tokens of a person carry a name, and others none.
    ///
    /// # Errors
    /// The database's.
    pub async fn ensure_user(&self, key: UserKey, display_name: &str) -> Result<(User, bool), BlogError> {
        let name = clean_display_name(display_name);
        // Almost always the user is known and has kept the name: a short read, and nothing to write.
        let known = self.database.read_short(move |connection| users::by_key(connection, key.tid, key.oid)).await?;
        if let Some(user) = known
            && name.as_ref().is_none_or(|name| *name == user.display_name)
        {
            return Ok((user.into(), false));
        }
        self.database.write(move |connection| make_or_rename(connection, key, name.as_deref())).await
    }

    /// A page of posts; `limit` 1–1000, beyond which it is taken for the nearest of the two.
    ///
    /// # Errors
    /// [`BlogError::NoCursorInSearch`], or the database's.
    pub async fn posts(&self, filter: Filter, paging: Paging, limit: u32) -> Result<Page, BlogError> {
        let limit = limit.clamp(1, MAX_LIMIT);
        if let Some(text) = filter.text {
            return self.search(&text, filter.author_id, paging, limit).await;
        }
        let wanted = Wanted { author_id: filter.author_id };
        let is_near = match paging {
            Paging::Skip(skip) => skip <= SHORT_SKIP,
            Paging::After(_) => true,
        };
        let is_short = wanted.is_everything() && is_near && limit <= SHORT_LIMIT;
        let read = move |connection: &mut Connection<'_>| read_page(connection, &wanted, paging, limit);
        if is_short { self.database.read_short(read).await } else { self.database.read_long(read).await }
    }

    /// The posts that hold all words of a text, best match first.
    async fn search(&self, text: &str, author_id: Option<i64>, paging: Paging, limit: u32) -> Result<Page, BlogError> {
        let Paging::Skip(skip) = paging else { return Err(BlogError::NoCursorInSearch) };
        let Some(sought) = Sought::new(text, author_id) else {
            return Ok(Page { posts: Vec::new(), total: 0, next: None });
        };
        // A post that was written before is found, unless there is a storm of them. Readers do without.
        if let Err(error) = self.database.catch_up_with_search().await {
            log::warn!("a search does without the newest posts: {error}");
        }
        self.database.search(move |connection| read_found(connection, &sought, skip, limit)).await
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
        let found = self.database.read_short(move |connection| posts::by_id(connection, id)).await?;
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
        self.database.write(move |connection| insert(connection, author.clone(), &draft)).await
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
            let mut post = post_to_change(connection, actor, id, expected)?;
            if change.title.is_none() && change.content.is_none() {
                return Ok(post);
            }
            post.updated_at = later_than(post.updated_at);
            let title = change.title.as_ref().map(super::Title::as_str);
            let content = change.content.as_ref().map(super::Content::as_str);
            posts::update(connection, id, Changes { title, content, updated_at: post.updated_at })?;
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
            post_to_change(connection, actor, id, expected)?;
            Ok(posts::delete(connection, id)?)
        };
        self.database.write(work).await
    }
}

pub(super) fn insert(connection: &mut Connection<'_>, author: User, draft: &Draft) -> Result<Post, BlogError> {
    let now = now();
    let (title, content) = (draft.title.as_str(), draft.content.as_str());
    let new = NewPost { author_id: author.id, title, content, created_at: now, updated_at: now };
    let id = posts::insert(connection, &new)?;
    let (title, content) = (title.to_owned(), content.to_owned());
    Ok(Post { id, title, content, author, created_at: now, updated_at: now })
}

/// The rule of change and deletion. In the transaction that writes, so that what was looked at is what is written to.
fn post_to_change(
    connection: &mut Connection<'_>,
    actor: Actor,
    id: i64,
    expected: Option<Expected>,
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
    if let Some(name) = name
        && name != user.display_name
    {
        user.updated_at = later_than(user.updated_at);
        name.clone_into(&mut user.display_name);
        users::rename(connection, user.id, name, user.updated_at)?;
    }
    Ok((user, made))
}

fn read_page(connection: &mut Connection<'_>, wanted: &Wanted, paging: Paging, limit: u32) -> Result<Page, BlogError> {
    let total = post_list::count(connection, wanted)?;
    let place = match paging {
        // More than i64 holds is past the end of every list.
        Paging::Skip(skip) => post_list::place_after(connection, wanted, i64::try_from(skip).unwrap_or(i64::MAX))?,
        Paging::After(cursor) => Some(Place { created_at_micros: cursor.created_at_micros, id: cursor.id }),
    };
    let mut posts: Vec<Post> = match place {
        // One more than asked for tells whether there is a next page.
        Some(place) => {
            post_list::after(connection, wanted, place, i64::from(limit) + 1)?.into_iter().map(Post::from).collect()
        }
        None => Vec::new(),
    };
    let is_last = posts.len() <= limit as usize;
    posts.truncate(limit as usize);
    let next = posts.last().filter(|_| !is_last).map(|post| Paging::After(Cursor::of(post)));
    Ok(Page { posts, total: u64::try_from(total).unwrap_or(0), next })
}

fn read_found(connection: &mut Connection<'_>, sought: &Sought, skip: u64, limit: u32) -> Result<Page, BlogError> {
    let total = post_search::count(connection, sought)?;
    let begin = i64::try_from(skip).unwrap_or(i64::MAX);
    // Past the end there is nothing to rank.
    let ids =
        if begin < total { post_search::ranked(connection, sought, begin, i64::from(limit))? } else { Vec::new() };
    let end = begin.saturating_add(i64::from(limit));
    let posts = posts::by_ids(connection, &ids)?.into_iter().map(Post::from).collect();
    let next = (end < total).then(|| Paging::Skip(u64::try_from(end).unwrap_or(u64::MAX)));
    Ok(Page { posts, total: u64::try_from(total).unwrap_or(0), next })
}

/// The time as it is stored: to the microsecond.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Now, or a microsecond after `time` should the clock have stood still or been set back: versions always grow.
fn later_than(time: DateTime<Utc>) -> DateTime<Utc> {
    now().max(time + TimeDelta::microseconds(1))
}
