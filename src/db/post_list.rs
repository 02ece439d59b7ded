//! Lists of posts, newest first. Posts of the same time are ordered by id, so that the order never varies.

mod index_queries;
mod page_query;

use diesel::{connection::DefaultLoadingMode, prelude::*};

use self::{
    index_queries::{CountQuery, LastSkippedQuery},
    page_query::PageQuery,
};
pub use super::author::AuthorFilter;
use super::{
    Connection, DbError, on_either,
    posts::{PostColumns, PostRow},
    schema::post_counts,
    span::statement,
    users::UserRow,
};

/// Which posts a list holds.
#[derive(Debug, Clone, Default)]
pub struct PostFilter {
    /// Only by this user.
    pub author: Option<AuthorFilter>,
}

impl PostFilter {
    /// Whether every post passes.
    pub fn is_everything(&self) -> bool {
        self.author.is_none()
    }
}

/// A version of the posts and their authors. Triggers maintain it, so it covers the changes of every program, and those
/// made by hand. If two versions of a database are equal, no post and no author differs between them. `state` is
/// random, so this holds even after the database was replaced with an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataVersion {
    posts: i64,
    state: i64,
}

impl DataVersion {
    /// Whether the posts that exist in both versions are the same. New posts do not change the result.
    pub fn same_existing_posts(self, other: Self) -> bool {
        self.state == other.state
    }
}

/// A position in the list (keyset pagination): the posts after it are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyset {
    /// `created_at` of the post at this position, microseconds since 1970.
    pub created_at_micros: i64,
    /// Its id.
    pub id: i64,
}

impl Keyset {
    /// The position before the newest post.
    pub const TOP: Self = Self {
        created_at_micros: i64::MAX,
        id: i64::MAX,
    };
}

/// The most that a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Most posts.
    pub posts: i64,
    /// Most bytes; but a page holds at least one post.
    pub bytes: usize,
    /// Most characters of each content; `None` for all of them.
    pub content_chars: Option<u32>,
}

/// The rows of a page.
#[derive(Debug)]
pub struct PageRows {
    /// The posts, in order.
    pub rows: Vec<PostRow>,
    /// Why the page ends.
    pub end: PageEnd,
    /// The size of the rows.
    pub bytes: usize,
    /// The number of all posts that pass the filter, of the same state of the database; `None` without rows.
    pub total: Option<i64>,
}

/// Why a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// There are no more posts.
    LastPage,
    /// It holds the most posts.
    PostLimit,
    /// It holds the most bytes.
    ByteLimit,
}

/// The approximate size of a post without title and content, as a row and as JSON.
const OVERHEAD_BYTES: usize = 384;

/// The posts after a keyset, with their authors, newest first, and the total. Takes the same time at any depth, except for the
/// total of one author.
pub fn after(
    connection: &mut Connection<'_>,
    filter: &PostFilter,
    keyset: Keyset,
    limits: PageLimits,
) -> Result<PageRows, DbError> {
    statement(connection, "SELECT", "blog_posts", |connection| {
        let query = PageQuery::newest(filter, keyset, limits);
        on_either!(connection, |c| collect(
            query.load_iter::<Columns, DefaultLoadingMode>(c)?,
            limits
        ))
    })
}

/// The posts with these ids, with their authors, in the order of the ids. Ids of deleted posts are skipped.
pub fn by_ids(connection: &mut Connection<'_>, ids: &[i64], limits: PageLimits) -> Result<PageRows, DbError> {
    statement(connection, "SELECT", "blog_posts", |connection| {
        let query = PageQuery::ids(ids, limits);
        let page = on_either!(connection, |c| collect(
            query.load_iter::<Columns, DefaultLoadingMode>(c)?,
            limits
        ));
        // The query does not count them.
        page.map(|page| PageRows { total: None, ..page })
    })
}

type Columns = (PostColumns, UserRow, i64);

/// Reads rows until the page is full.
fn collect(rows: impl Iterator<Item = QueryResult<Columns>>, limits: PageLimits) -> Result<PageRows, DbError> {
    let mut page = PageRows {
        rows: Vec::new(),
        end: PageEnd::LastPage,
        bytes: 0,
        total: None,
    };
    for row in rows {
        let (post, author, total) = row?;
        page.total = Some(total);
        if i64::try_from(page.rows.len()).is_ok_and(|posts| posts >= limits.posts) {
            page.end = PageEnd::PostLimit;
            break;
        }
        let bytes = page.bytes + post.title.len() + post.content.len() + OVERHEAD_BYTES;
        if bytes > limits.bytes && !page.rows.is_empty() {
            page.end = PageEnd::ByteLimit;
            break;
        }
        page.bytes = bytes;
        page.rows.push(PostRow { post, author });
    }
    Ok(page)
}

/// The keyset of the page that skips this many posts; `None` when there are fewer. Takes time in proportion to `skip`:
/// it walks an index, though not the posts.
pub fn skip(connection: &mut Connection<'_>, filter: &PostFilter, skip: i64) -> Result<Option<Keyset>, DbError> {
    statement(connection, "SELECT", "blog_posts", |connection| {
        if skip == 0 {
            return Ok(Some(Keyset::TOP));
        }
        let query = LastSkippedQuery::new(filter, skip);
        let last_skipped: Option<(i64, i64)> = on_either!(connection, |c| query.get_result(c).optional())?;
        Ok(last_skipped.map(|(created_at_micros, id)| Keyset { created_at_micros, id }))
    })
}

/// The number of posts that pass the filter.
pub fn count(connection: &mut Connection<'_>, filter: &PostFilter) -> Result<i64, DbError> {
    statement(connection, "SELECT", "post_counts", |connection| {
        let query = CountQuery::new(filter);
        Ok(on_either!(connection, |c| query.get_result(c))?)
    })
}

/// The current version of the posts and authors: one row, in a few microseconds. `None` on PostgreSQL, where reading it
/// would take as long as reading a post.
pub fn data_version(connection: &mut Connection<'_>) -> Result<Option<DataVersion>, DbError> {
    let Connection::Sqlite(c) = connection else {
        return Ok(None);
    };
    let (posts, state) = post_counts::table
        .select((post_counts::posts, post_counts::state))
        .get_result(&mut **c)?;
    Ok(Some(DataVersion { posts, state }))
}

/// The number of all posts, from the count that triggers maintain: in microseconds, however many there are.
pub fn count_all(connection: &mut Connection<'_>) -> Result<i64, DbError> {
    count(connection, &PostFilter::default())
}
