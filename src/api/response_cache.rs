//! Answers kept in memory as ready bytes: single posts, the top of the list, and searches.
//!
//! A kept answer is given only if the database says, in this very request, that nothing it shows has changed, whoever may
//! have changed it: this process, another one, or somebody with a database tool. The handlers see no difference. Memory is
//! bounded; what nobody asks for goes first. On PostgreSQL nothing is kept: to ask whether something has changed would
//! take as long as to read it.

use std::sync::Arc;

use actix_web::web::Bytes;
use moka::sync::Cache;
use serde::Serialize;

use super::{
    posts::{PostJson, posts_as_json},
    problem::Problem,
};
use crate::blog::{Blog, Filter, Page, Paging, Post, Stamp, View};

/// What an entry takes beside its JSON, roughly.
const ENTRY_BYTES: usize = 512;
/// Longest top of the list that is kept, in posts and in bytes, and how many of different lengths.
const MAX_TOP_POSTS: u32 = 100;
const MAX_TOP_BYTES: usize = 1024 * 1024;
const MAX_TOPS: u64 = 8;
/// Most bytes of searches that are kept, and of one of them.
const MAX_SEARCH_BYTES: u64 = 16 * 1024 * 1024;
const MAX_BYTES_OF_ONE_SEARCH: usize = 256 * 1024;

/// The kept answers. Shared by all workers.
pub struct ReadyAnswers {
    /// `None` when none are to be kept.
    posts: Option<Cache<i64, Arc<ReadyPost>>>,
    /// By length, and length of the excerpts.
    tops: Cache<View, Arc<ReadyPage>>,
    /// By all that a search is asked for.
    searches: Cache<Search, Arc<ReadyPage>>,
}

/// What a search is asked for.
type Search = (Filter, Paging, View);

/// A post as an answer shows it.
pub struct ReadyPost {
    /// Without title and content, which the JSON holds.
    pub head: Post,
    pub json: Bytes,
    stamp: Option<Stamp>,
}

/// A page of posts as an answer shows it.
pub struct ReadyPage {
    pub json: Bytes,
    /// As in [`crate::blog::Page`].
    pub total: u64,
    /// As in [`crate::blog::Page`].
    pub is_total_limited: bool,
    /// As in [`crate::blog::Page`].
    pub next: Option<Paging>,
    is_current: bool,
    stamp: Option<Stamp>,
}

impl ReadyPage {
    fn of(page: Page) -> serde_json::Result<Self> {
        let Page {
            posts,
            total,
            is_total_limited,
            is_current,
            next,
            ..
        } = page;
        let json = Bytes::from(posts_as_json(&posts)?);
        Ok(Self {
            json,
            total,
            is_total_limited,
            next,
            is_current,
            stamp: None,
        })
    }
}

impl ReadyAnswers {
    /// Keeps so many MiB of single posts at most; with 0, nothing at all.
    pub fn new(max_mib: u32) -> Self {
        let weigh = |_: &i64, post: &Arc<ReadyPost>| u32::try_from(post.json.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        let posts = || {
            Cache::builder()
                .weigher(weigh)
                .max_capacity(u64::from(max_mib) * 1024 * 1024)
                .build()
        };
        // The text that is looked for is in the key.
        let weigh_search =
            |_: &Search, page: &Arc<ReadyPage>| u32::try_from(page.json.len() + 2 * ENTRY_BYTES).unwrap_or(u32::MAX);
        Self {
            posts: (max_mib > 0).then(posts),
            tops: Cache::builder().max_capacity(MAX_TOPS).build(),
            searches: Cache::builder()
                .weigher(weigh_search)
                .max_capacity(MAX_SEARCH_BYTES)
                .build(),
        }
    }

    /// One post.
    ///
    /// # Errors
    /// Those of [`Blog::post`].
    pub async fn post(&self, blog: &Blog, id: i64) -> Result<Arc<ReadyPost>, Problem> {
        // Before the post is read: should it change in between, what is kept counts as old.
        let stamp = self.stamp(blog)?;
        if let (Some(stamp), Some(posts)) = (stamp, &self.posts)
            && let Some(kept) = posts.get(&id)
            && kept.stamp.is_some_and(|then| then.shows_the_same_of_known_posts(stamp))
        {
            return Ok(kept);
        }
        let mut head = blog.post(id).await?;
        let json = json(&PostJson::from(&head))?;
        (head.title, head.content) = (String::new(), String::new());
        let made = Arc::new(ReadyPost { head, json, stamp });
        if let (Some(_), Some(posts)) = (stamp, &self.posts) {
            posts.insert(id, Arc::clone(&made));
        }
        Ok(made)
    }

    /// A page of posts.
    ///
    /// # Errors
    /// Those of [`Blog::posts`].
    pub async fn page(
        &self,
        blog: &Blog,
        filter: Filter,
        paging: Paging,
        view: View,
    ) -> Result<Arc<ReadyPage>, Problem> {
        if filter.text.is_some() {
            return self.search(blog, (filter, paging, view)).await;
        }
        // What everybody asks for. Pages further down are each their own, and few ask for the same.
        let is_top = filter == Filter::default() && paging == Paging::Skip(0) && view.limit <= MAX_TOP_POSTS;
        let stamp = if is_top { self.stamp(blog)? } else { None };
        if stamp.is_some()
            && let Some(kept) = self.tops.get(&view)
            && kept.stamp == stamp
        {
            return Ok(kept);
        }
        let made = blog
            .page(filter, paging, view, ReadyPage::of)
            .await?
            .map_err(Problem::internal)?;
        let made = Arc::new(ReadyPage { stamp, ..made });
        if stamp.is_some() && made.json.len() <= MAX_TOP_BYTES {
            self.tops.insert(view, Arc::clone(&made));
        }
        Ok(made)
    }

    /// A search costs ten times what a list does, and is often asked for again: the next page, a reload, a way back.
    async fn search(&self, blog: &Blog, search: Search) -> Result<Arc<ReadyPage>, Problem> {
        let stamp = self.stamp(blog)?;
        if stamp.is_some()
            && let Some(kept) = self.searches.get(&search)
            && kept.stamp == stamp
        {
            return Ok(kept);
        }
        let (filter, paging, view) = search.clone();
        let made = blog
            .page(filter, paging, view, ReadyPage::of)
            .await?
            .map_err(Problem::internal)?;
        let made = Arc::new(ReadyPage { stamp, ..made });
        // What the index lacked comes later without another stamp.
        if stamp.is_some() && made.is_current && made.json.len() <= MAX_BYTES_OF_ONE_SEARCH {
            self.searches.insert(search, Arc::clone(&made));
        }
        Ok(made)
    }

    /// `None` where nothing is kept.
    fn stamp(&self, blog: &Blog) -> Result<Option<Stamp>, Problem> {
        if self.posts.is_none() {
            return Ok(None);
        }
        Ok(blog.stamp()?)
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Problem::internal)
}
