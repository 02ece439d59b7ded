//! Pages of posts: lists, newest first, and searches, best match first.
//!
//! A page ends after so many posts, or after so many bytes of text, whichever comes first: a thousand posts may be 200 KB
//! or 200 MB. What turns a page into an answer runs where the page was read, so a large one costs no serving thread
//! anything.

use super::{Blog, BlogError, Cursor, Filter, Page, Paging, Post, View, excerpt};
use crate::db::{
    Connection,
    post_list::{self, Extent, PageEnd, PageRows, Place, Wanted},
    post_search::{self, Found, Sought},
};

/// Most posts that a page holds.
const MAX_LIMIT: u32 = 1000;
/// Most bytes of titles and contents that a page holds; one post it always holds.
pub const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// A page up to this size, this deep in the list, takes well under a millisecond; others are read aside.
const SHORT_LIMIT: u32 = 100;
const SHORT_SKIP: u64 = 1000;
const SHORT_BYTES: usize = 64 * 1024;

impl Blog {
    /// A page of posts with their whole contents; `limit` as in [`View::limit`].
    ///
    /// # Errors
    /// As [`Blog::page`].
    pub async fn posts(&self, filter: Filter, paging: Paging, limit: u32) -> Result<Page, BlogError> {
        self.page(filter, paging, View { limit, excerpt: None }, |page| page)
            .await
    }

    /// What `make` makes of a page of posts. On SQLite it runs on a serving thread if the page is short, otherwise, as on
    /// PostgreSQL, on a blocking one.
    ///
    /// # Errors
    /// [`BlogError::NoCursorInSearch`], or the database's.
    pub async fn page<T: Send + 'static>(
        &self,
        filter: Filter,
        paging: Paging,
        view: View,
        make: fn(Page) -> T,
    ) -> Result<T, BlogError> {
        let view = View {
            limit: view.limit.clamp(1, MAX_LIMIT),
            ..view
        };
        if let Some(text) = filter.text {
            return self.search(&text, filter.author_id, paging, view, make).await;
        }
        let wanted = Wanted {
            author_id: filter.author_id,
        };
        let is_near = match paging {
            Paging::Skip(skip) => skip <= SHORT_SKIP,
            Paging::After(_) => true,
        };
        if wanted.is_everything() && is_near && view.limit <= SHORT_LIMIT {
            let short = move |connection: &mut Connection<'_>| {
                let max_bytes = match connection {
                    Connection::Sqlite(_) => SHORT_BYTES,
                    // This is a blocking thread already.
                    Connection::Postgres(_) => MAX_PAGE_BYTES,
                };
                let (page, end) = read_page(connection, &Wanted::default(), paging, view, max_bytes)?;
                let is_whole = end != PageEnd::Bytes || max_bytes == MAX_PAGE_BYTES;
                Ok::<_, BlogError>(is_whole.then(|| make(page)))
            };
            if let Some(made) = self.database.read_short(short).await? {
                return Ok(made);
            }
        }
        let long = move |connection: &mut Connection<'_>| {
            read_page(connection, &wanted, paging, view, MAX_PAGE_BYTES).map(|(page, _)| make(page))
        };
        self.database.read_long(long).await
    }

    /// The posts that hold all words of a text, best match first.
    async fn search<T: Send + 'static>(
        &self,
        text: &str,
        author_id: Option<i64>,
        paging: Paging,
        view: View,
        make: fn(Page) -> T,
    ) -> Result<T, BlogError> {
        let Paging::Skip(skip) = paging else {
            return Err(BlogError::NoCursorInSearch);
        };
        let Some(sought) = Sought::new(text, author_id) else {
            return Ok(make(Page::empty()));
        };
        // A post that was written before is found, unless there is a storm of them.
        self.database
            .search(move |connection| read_found(connection, &sought, skip, view).map(make))
            .await
    }
}

impl Page {
    fn empty() -> Self {
        Self {
            posts: Vec::new(),
            total: 0,
            is_total_limited: false,
            is_current: true,
            bytes: 0,
            next: None,
        }
    }
}

fn read_page(
    connection: &mut Connection<'_>,
    wanted: &Wanted,
    paging: Paging,
    view: View,
    max_bytes: usize,
) -> Result<(Page, PageEnd), BlogError> {
    let total = post_list::count(connection, wanted)?;
    let total = u64::try_from(total).unwrap_or(0);
    let place = match paging {
        // More than i64 holds is past the end of every list.
        Paging::Skip(skip) => post_list::place_after(connection, wanted, i64::try_from(skip).unwrap_or(i64::MAX))?,
        Paging::After(cursor) => Some(Place {
            created_at_micros: cursor.created_at_micros,
            id: cursor.id,
        }),
    };
    let Some(place) = place else {
        return Ok((Page { total, ..Page::empty() }, PageEnd::NothingMore));
    };
    let PageRows { rows, end, bytes } = post_list::after(connection, wanted, place, extent(view, max_bytes))?;
    let posts = posts(rows, view);
    let next = posts
        .last()
        .filter(|_| end != PageEnd::NothingMore)
        .map(|post| Paging::After(Cursor::of(post)));
    Ok((
        Page {
            posts,
            total,
            is_total_limited: false,
            is_current: true,
            bytes,
            next,
        },
        end,
    ))
}

fn read_found(connection: &mut Connection<'_>, sought: &Sought, skip: u64, view: View) -> Result<Page, BlogError> {
    let Found {
        ids,
        is_limited,
        is_current,
    } = post_search::found(connection, sought)?;
    let total = ids.len();
    let begin = usize::try_from(skip).unwrap_or(usize::MAX).min(total);
    let end = begin
        .saturating_add(usize::try_from(view.limit).unwrap_or(usize::MAX))
        .min(total);
    let ids = ids.get(begin..end).unwrap_or_default();
    let PageRows {
        rows,
        end: page_end,
        bytes,
    } = post_list::by_ids(connection, ids, extent(view, MAX_PAGE_BYTES))?;
    // Where the page ends early, the next one begins after the last post shown.
    let last_shown = rows
        .last()
        .filter(|_| page_end == PageEnd::Bytes)
        .map(|row| row.post.id);
    let shown = last_shown
        .and_then(|last| ids.iter().position(|id| *id == last))
        .map(|at| at + 1);
    let end = begin + shown.unwrap_or(ids.len());
    let next = (!ids.is_empty() && end < total).then_some(Paging::Skip(end as u64));
    Ok(Page {
        posts: posts(rows, view),
        total: total as u64,
        is_total_limited: is_limited,
        is_current,
        bytes,
        next,
    })
}

fn extent(view: View, max_bytes: usize) -> Extent {
    // One character more than is shown tells whether there are more.
    Extent {
        limit: i64::from(view.limit),
        max_bytes,
        content_chars: view.excerpt.map(|chars| chars.saturating_add(1)),
    }
}

fn posts(rows: Vec<crate::db::posts::PostRow>, view: View) -> Vec<Post> {
    let post = |row| {
        let mut post = Post::from(row);
        post.is_truncated = view.excerpt.map(|chars| excerpt::cut(&mut post.content, chars));
        post
    };
    rows.into_iter().map(post).collect()
}
