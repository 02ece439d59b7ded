//! Pages of posts: lists, newest first, and searches, best match first.
//!
//! A page ends after a number of posts or a number of bytes, whichever comes first: a thousand posts may be 200 KB or
//! 200 MB. A page is rendered on the thread that read it, so that a large one does not block a serving thread.

use super::{AuthorFilter, Blog, BlogError, Cursor, Filter, Page, Paging, Post, View, excerpt};
use crate::db::{
    Connection,
    post_list::{self, Keyset, PageEnd, PageLimits, PageRows, PostFilter},
    post_search::{self, SearchHits, SearchQuery},
};

/// Most posts on a page.
const MAX_LIMIT: u32 = 1000;
/// Most bytes of titles and contents on a page; but a page holds at least one post.
pub const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Reading a page up to these limits takes well under a millisecond. All others are long reads.
const SHORT_LIMIT: u32 = 100;
const SHORT_SKIP: u64 = 1000;
const SHORT_BYTES: usize = 64 * 1024;

impl Blog {
    /// A page of posts with whole contents; `limit` as in [`View::limit`].
    ///
    /// # Errors
    /// As [`Blog::page`].
    pub async fn posts(&self, filter: Filter, paging: Paging, limit: u32) -> Result<Page, BlogError> {
        self.page(filter, paging, View { limit, excerpt: None }, |page| page)
            .await
    }

    /// Reads a page of posts and renders it. On SQLite, `render` runs on the serving thread if the page is short;
    /// otherwise, as on PostgreSQL, on a blocking thread.
    ///
    /// # Errors
    /// [`BlogError::NoCursorInSearch`], or the database's.
    pub async fn page<T: Send + 'static>(
        &self,
        filter: Filter,
        paging: Paging,
        view: View,
        render: fn(Page) -> T,
    ) -> Result<T, BlogError> {
        let view = View {
            limit: view.limit.clamp(1, MAX_LIMIT),
            ..view
        };
        if let Some(text) = filter.text {
            return self.search(&text, filter.author, paging, view, render).await;
        }
        let filter = PostFilter { author: filter.author };
        let is_near = match paging {
            Paging::Skip(skip) => skip <= SHORT_SKIP,
            Paging::After(_) => true,
        };
        if filter.is_everything() && is_near && view.limit <= SHORT_LIMIT {
            let short = move |connection: &mut Connection<'_>| {
                let max_bytes = match connection {
                    Connection::Sqlite(_) => SHORT_BYTES,
                    // The read runs on a blocking thread already.
                    Connection::Postgres(_) => MAX_PAGE_BYTES,
                };
                let (page, end) = read_page(connection, &PostFilter::default(), paging, view, max_bytes)?;
                let is_complete = end != PageEnd::ByteLimit || max_bytes == MAX_PAGE_BYTES;
                Ok::<_, BlogError>(is_complete.then(|| render(page)))
            };
            if let Some(rendered) = self.database.read_short(short).await? {
                return Ok(rendered);
            }
        }
        let long = move |connection: &mut Connection<'_>| {
            read_page(connection, &filter, paging, view, MAX_PAGE_BYTES).map(|(page, _)| render(page))
        };
        self.database.read_long(long).await
    }

    /// Reads the posts that contain all words of a text, best match first, and renders them.
    async fn search<T: Send + 'static>(
        &self,
        text: &str,
        author: Option<AuthorFilter>,
        paging: Paging,
        view: View,
        render: fn(Page) -> T,
    ) -> Result<T, BlogError> {
        let Paging::Skip(skip) = paging else {
            return Err(BlogError::NoCursorInSearch);
        };
        let Some(query) = SearchQuery::parse(text, author) else {
            return Ok(render(Page::empty()));
        };
        // Covers every post written before, except after a burst of writes.
        self.database
            .search(move |connection| read_hits(connection, &query, skip, view).map(render))
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
    filter: &PostFilter,
    paging: Paging,
    view: View,
    max_bytes: usize,
) -> Result<(Page, PageEnd), BlogError> {
    let count = |connection: &mut Connection<'_>| post_list::count(connection, filter).map(total);
    let after = match paging {
        // A number beyond `i64` is past the end of every list.
        Paging::Skip(skip) => post_list::skip(connection, filter, i64::try_from(skip).unwrap_or(i64::MAX))?,
        Paging::After(cursor) => Some(Keyset {
            created_at_micros: cursor.created_at_micros,
            id: cursor.id,
        }),
    };
    let Some(after) = after else {
        let total = count(connection)?;
        return Ok((Page { total, ..Page::empty() }, PageEnd::LastPage));
    };
    let PageRows {
        rows,
        end,
        bytes,
        total: counted,
    } = post_list::after(connection, filter, after, limits(view, max_bytes))?;
    // Only rows come with the total.
    let total = counted.map_or_else(|| count(connection), |counted| Ok(total(counted)))?;
    let posts = posts(rows, view);
    let next = posts
        .last()
        .filter(|_| end != PageEnd::LastPage)
        .map(|post| Paging::After(Cursor::from(post)));
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

fn total(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn read_hits(connection: &mut Connection<'_>, query: &SearchQuery, skip: u64, view: View) -> Result<Page, BlogError> {
    let SearchHits {
        ids,
        is_limited,
        is_current,
    } = post_search::search(connection, query)?;
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
        ..
    } = post_list::by_ids(connection, ids, limits(view, MAX_PAGE_BYTES))?;
    // When the page ends early, the next one begins after its last post.
    let last_shown = rows
        .last()
        .filter(|_| page_end == PageEnd::ByteLimit)
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

fn limits(view: View, max_bytes: usize) -> PageLimits {
    PageLimits {
        posts: i64::from(view.limit),
        bytes: max_bytes,
        // One character more than the excerpt shows whether the content goes on.
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
