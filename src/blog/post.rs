//! A post, the ways to ask for posts, and what a change may hold.

use chrono::{DateTime, SubsecRound as _, Utc};

use super::{Content, Title, User};
use crate::db::posts::PostRow;

/// A post with its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Row id.
    pub id: i64,
    /// Title, as stored.
    pub title: String,
    /// Content, as stored, or the excerpt that was asked for.
    pub content: String,
    /// Whether the content goes on after the excerpt; `None` where no excerpt was asked for.
    pub is_truncated: Option<bool>,
    /// Who wrote it.
    pub author: User,
    /// When it was written. Microseconds.
    pub created_at: DateTime<Utc>,
    /// When it was last changed; grows with every change. Microseconds.
    pub updated_at: DateTime<Utc>,
}

impl Post {
    /// Changes whenever the post or its author changes: what an `ETag` is made from. Both times grow with every change, so
    /// no two states have the same sum.
    pub fn version(&self) -> Version {
        Version(
            self.updated_at
                .timestamp_micros()
                .wrapping_add(self.author.updated_at.timestamp_micros()),
        )
    }

    /// When the post or its author last changed.
    pub fn last_modified(&self) -> DateTime<Utc> {
        self.updated_at.max(self.author.updated_at)
    }

    /// Whether the post is as somebody expects it to be.
    pub(super) fn is_as(&self, expected: &Expected) -> bool {
        match expected {
            Expected::Version(version) => self.version() == *version,
            // Such a time has whole seconds.
            Expected::UnmodifiedSince(time) => self.last_modified().trunc_subsecs(0) <= *time,
            Expected::NoneOf(versions) => !versions.contains(&self.version()),
            Expected::Absent => false,
            Expected::Both(conditions) => self.is_as(&conditions.0) && self.is_as(&conditions.1),
        }
    }
}

impl From<PostRow> for Post {
    fn from(row: PostRow) -> Self {
        let PostRow { post, author } = row;
        Self {
            id: post.id,
            title: post.title,
            content: post.content,
            is_truncated: None,
            author: author.into(),
            created_at: post.created_at,
            updated_at: post.updated_at,
        }
    }
}

/// A state of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub i64);

/// In what state a post must be for a change or deletion to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// In this one.
    Version(Version),
    /// Not modified since then; in whole seconds, so that of two changes within one the later may go unnoticed.
    UnmodifiedSince(DateTime<Utc>),
    /// In none of these.
    NoneOf(Vec<Version>),
    /// There must be no such post.
    Absent,
    /// Two conditions at once.
    Both(Box<(Expected, Expected)>),
}

/// A new post.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Title.
    pub title: Title,
    /// Content.
    pub content: Content,
}

/// What to change; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct PostChange {
    /// New title.
    pub title: Option<Title>,
    /// New content.
    pub content: Option<Content>,
}

/// A place in the list, newest first: the posts after it are older. Opaque text outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// `created_at` of the last post seen, microseconds since 1970.
    pub created_at_micros: i64,
    /// Its id.
    pub id: i64,
}

impl Cursor {
    /// The place of a post.
    pub fn of(post: &Post) -> Self {
        Self {
            created_at_micros: post.created_at.timestamp_micros(),
            id: post.id,
        }
    }
}

/// Where a page of the list begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Paging {
    /// After so many posts.
    Skip(u64),
    /// After this place; costs the same at any depth.
    After(Cursor),
}

/// Which posts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only by the user with this row id.
    pub author_id: Option<i64>,
    /// Only those whose title or content holds these words, best match first.
    pub text: Option<String>,
}

/// How much of the posts a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// Most posts, 1–1000; beyond that it is taken for the nearest of the two. A page also ends after a few MiB of text.
    pub limit: u32,
    /// Most characters of each content; all of them if not given.
    pub excerpt: Option<u32>,
}

/// A page of posts, newest first, or of a search, best match first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The posts.
    pub posts: Vec<Post>,
    /// How many the filter has in all, but [`Page::is_total_limited`].
    pub total: u64,
    /// Whether more were found than a search counts; the newest of them were ranked.
    pub is_total_limited: bool,
    /// Whether it tells of every post that was written before. A search does not while the index catches up.
    pub is_current: bool,
    /// What the posts hold, in bytes, roughly.
    pub bytes: usize,
    /// Where the next page begins; `None` on the last. In a search a place, since ranks change with every post.
    pub next: Option<Paging>,
}
