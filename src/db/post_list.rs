//! Lists of posts, newest first: by time, then by id, so that the order is the same at every asking.

mod page_query;

use diesel::{connection::DefaultLoadingMode, prelude::*};

use self::page_query::PageQuery;
use super::{
    Connection, DbError, on_either,
    posts::{PostColumns, PostRow},
    schema::{blog_posts, post_counts},
    users::UserRow,
};

/// Which posts.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only by the user with this row id.
    pub author_id: Option<i64>,
}

impl Wanted {
    /// Whether every post is wanted.
    pub fn is_everything(&self) -> bool {
        self.author_id.is_none()
    }
}

/// What a database holds at a moment. Triggers keep it, so it tells of everybody's changes: another process's, and those
/// made by hand. Two equal stamps of one database mean that no post and no author differs; numbers are random, so this
/// holds even where an older copy of the database was put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    posts: i64,
    state: i64,
}

impl Stamp {
    /// Whether a post that was there at one of the moments is the same at the other. New posts make no difference to it.
    pub fn shows_the_same_of_known_posts(self, other: Self) -> bool {
        self.state == other.state
    }
}

/// A place in the list: the posts after it are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `created_at` of the post at this place, microseconds since 1970.
    pub created_at_micros: i64,
    /// Its id.
    pub id: i64,
}

impl Place {
    /// Before the newest post.
    pub const TOP: Self = Self {
        created_at_micros: i64::MAX,
        id: i64::MAX,
    };
}

/// How much a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Most posts.
    pub limit: i64,
    /// The page ends before the post with which it would hold more bytes than this; one post it always holds.
    pub max_bytes: usize,
    /// Characters that are read of each content; `None` for all of them.
    pub content_chars: Option<u32>,
}

/// The rows of a page.
#[derive(Debug)]
pub struct PageRows {
    /// The posts, in order.
    pub rows: Vec<PostRow>,
    /// Why there are no more.
    pub end: PageEnd,
    /// What the rows hold, in bytes.
    pub bytes: usize,
}

/// Why a page ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// There are no more posts.
    NothingMore,
    /// It holds as many posts as were asked for.
    Limit,
    /// It holds as many bytes as it may.
    Bytes,
}

/// What a post takes beside title and content, as a row and as JSON.
const BYTES_BESIDE: usize = 384;

/// A boxed query, narrowed to what is wanted. A macro, since the query's type differs with the database.
macro_rules! narrowed {
    ($query:expr, $wanted:expr) => {{
        let mut query = $query;
        if let Some(author_id) = $wanted.author_id {
            query = query.filter(blog_posts::author_id.eq(author_id));
        }
        query
    }};
}

/// The posts after a place, with their authors, newest first. Costs the same at any depth.
pub fn after(
    connection: &mut Connection<'_>,
    wanted: &Wanted,
    place: Place,
    extent: Extent,
) -> Result<PageRows, DbError> {
    let query = PageQuery::newest(connection, wanted, place, extent);
    on_either!(connection, |c| collect(
        query.load_iter::<Columns, DefaultLoadingMode>(c)?,
        extent
    ))
}

/// The posts with these ids, with their authors, in the order of the ids; one that is not there is left out.
pub fn by_ids(connection: &mut Connection<'_>, ids: &[i64], extent: Extent) -> Result<PageRows, DbError> {
    let query = PageQuery::ids(connection, ids, extent);
    on_either!(connection, |c| collect(
        query.load_iter::<Columns, DefaultLoadingMode>(c)?,
        extent
    ))
}

type Columns = (PostColumns, UserRow);

/// Takes rows until the page is full. The rest is not read.
fn collect(rows: impl Iterator<Item = QueryResult<Columns>>, extent: Extent) -> Result<PageRows, DbError> {
    let mut page = PageRows {
        rows: Vec::new(),
        end: PageEnd::NothingMore,
        bytes: 0,
    };
    for row in rows {
        let (post, author) = row?;
        if i64::try_from(page.rows.len()).is_ok_and(|posts| posts >= extent.limit) {
            page.end = PageEnd::Limit;
            break;
        }
        let bytes = page.bytes + post.title.len() + post.content.len() + BYTES_BESIDE;
        if bytes > extent.max_bytes && !page.rows.is_empty() {
            page.end = PageEnd::Bytes;
            break;
        }
        page.bytes = bytes;
        page.rows.push(PostRow { post, author });
    }
    Ok(page)
}

/// The place after so many posts; `None` when there are not so many. Walks an index, not the posts, but walks it.
pub fn place_after(connection: &mut Connection<'_>, wanted: &Wanted, skip: i64) -> Result<Option<Place>, DbError> {
    if skip == 0 {
        return Ok(Some(Place::TOP));
    }
    let place: Option<(i64, i64)> = on_either!(connection, |c| {
        narrowed!(blog_posts::table.into_boxed(), wanted)
            .order((blog_posts::created_at_micros.desc(), blog_posts::id.desc()))
            .offset(skip - 1)
            .limit(1)
            .select((blog_posts::created_at_micros, blog_posts::id))
            .first(c)
            .optional()
    })?;
    Ok(place.map(|(created_at_micros, id)| Place { created_at_micros, id }))
}

/// How many posts are wanted in all.
pub fn count(connection: &mut Connection<'_>, wanted: &Wanted) -> Result<i64, DbError> {
    if wanted.is_everything() {
        return count_all(connection);
    }
    Ok(on_either!(connection, |c| narrowed!(
        blog_posts::table.into_boxed(),
        wanted
    )
    .count()
    .get_result(c))?)
}

/// What the database holds now, as far as it shows in answers about posts. `None` on PostgreSQL, where to ask would take
/// as long as to read a post. A row of its own page, in memory: a few microseconds.
pub fn stamp(connection: &mut Connection<'_>) -> Result<Option<Stamp>, DbError> {
    let Connection::Sqlite(c) = connection else {
        return Ok(None);
    };
    let (posts, state) = post_counts::table
        .select((post_counts::posts, post_counts::state))
        .get_result(&mut **c)?;
    Ok(Some(Stamp { posts, state }))
}

/// How many posts there are: from the kept count, at any number in microseconds.
pub fn count_all(connection: &mut Connection<'_>) -> Result<i64, DbError> {
    let slots: Vec<i64> = on_either!(connection, |c| post_counts::table.select(post_counts::posts).load(c))?;
    Ok(slots.into_iter().sum())
}
