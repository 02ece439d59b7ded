//! Posts, changes to them, and pages of them.

use chrono::{DateTime, SubsecRound as _, Utc};

use super::{Content, Title, User};
pub use crate::db::post_list::AuthorFilter;
use crate::db::posts::PostRow;

/// A post with its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Row id.
    pub id: i64,
    /// Title, as stored.
    pub title: String,
    /// Content, as stored, or an excerpt of it.
    pub content: String,
    /// Whether the content is longer than the excerpt; `None` for a whole content.
    pub is_truncated: Option<bool>,
    /// The author.
    pub author: User,
    /// When it was created. Microseconds.
    pub created_at: DateTime<Utc>,
    /// When it was last changed; increases with every change. Microseconds.
    pub updated_at: DateTime<Utc>,
}

impl Post {
    /// The version, for the `ETag`: it changes whenever the post or its author changes. Both times increase with every
    /// change, so no two states have the same sum.
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

    pub(super) fn satisfies(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Version(version) => self.version() == *version,
            // HTTP dates have whole seconds.
            Precondition::UnmodifiedSince(time) => self.last_modified().trunc_subsecs(0) <= *time,
            Precondition::NoneOf(versions) => !versions.contains(&self.version()),
            Precondition::Absent => false,
            Precondition::Both(conditions) => self.satisfies(&conditions.0) && self.satisfies(&conditions.1),
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

/// A version of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub i64);

/// What must be true of a post for a change or deletion to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// It has this version.
    Version(Version),
    /// It was not modified after this time. In whole seconds, so a second change within the same second goes unnoticed.
    UnmodifiedSince(DateTime<Utc>),
    /// It has none of these versions.
    NoneOf(Vec<Version>),
    /// It does not exist.
    Absent,
    /// Both conditions are met.
    Both(Box<(Precondition, Precondition)>),
}

/// A new post.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Title.
    pub title: Title,
    /// Content.
    pub content: Content,
}

/// A change to a post; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PostChange {
    /// New title.
    pub title: Option<Title>,
    /// New content.
    pub content: Option<Content>,
}

/// A position in the list, newest first: the posts after it are older. Clients see it as opaque text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// `created_at` of the last post on the page, microseconds since 1970.
    pub created_at_micros: i64,
    /// Its id.
    pub id: i64,
}

impl From<&Post> for Cursor {
    fn from(post: &Post) -> Self {
        Self {
            created_at_micros: post.created_at.timestamp_micros(),
            id: post.id,
        }
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Paging {
    /// After this many posts.
    Skip(u64),
    /// After this position; takes the same time at any depth.
    After(Cursor),
}

/// Which posts a page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those of this user.
    pub author: Option<AuthorFilter>,
    /// Only those whose title or content contains these words, best match first.
    pub text: Option<String>,
}

/// How much of the posts a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// Most posts, clamped to 1–1000. A page also ends after [`super::MAX_PAGE_BYTES`] of text.
    pub limit: u32,
    /// Most characters of each content; `None` for all.
    pub excerpt: Option<u32>,
}

/// A page of posts, newest first, or of a search, best match first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The posts.
    pub posts: Vec<Post>,
    /// The number of all posts that pass the filter, unless [`Page::is_total_limited`].
    pub total: u64,
    /// Whether more posts match than a search counts; `total` is that limit, and only the newest matches were ranked.
    pub is_total_limited: bool,
    /// Whether the page covers all posts written before. A search does not while the full-text index catches up.
    pub is_current: bool,
    /// The approximate size of the posts, in bytes.
    pub bytes: usize,
    /// Where the next page begins; `None` on the last page. In a search a number of posts, since ranks change with
    /// every post.
    pub next: Option<Paging>,
}
