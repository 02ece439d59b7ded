//! Caches ready JSON: single posts, the top of the list, and searches.
//!
//! A cached response is used only if the database confirms, within the same request, that nothing in it has changed,
//! whichever program made the change. Memory is bounded. On PostgreSQL nothing is cached: asking for changes would take
//! as long as reading the data.

use std::sync::Arc;

use actix_web::web::Bytes;
use moka::sync::Cache;
use serde::Serialize;

use super::{
    posts::{PostJson, posts_as_json},
    problem::Problem,
};
use crate::{
    blog::{Blog, DataVersion, Filter, Page, Paging, Post, View},
    metrics::{self, cache::Cache as Cached},
};

/// The approximate size of an entry without its JSON.
const ENTRY_BYTES: usize = 512;
/// The longest top of the list that is cached, in posts and in bytes, and the number of cached tops.
const MAX_TOP_POSTS: u32 = 100;
const MAX_TOP_BYTES: usize = 1024 * 1024;
const MAX_TOPS: u64 = 8;
/// The size of all cached searches, and of a single one.
const MAX_SEARCHES_BYTES: u64 = 16 * 1024 * 1024;
const MAX_SEARCH_BYTES: usize = 256 * 1024;

/// The cache, shared by all workers.
pub struct ResponseCache {
    /// `None` when caching is disabled.
    posts: Option<Cache<i64, Arc<CachedPost>>>,
    /// The tops of the list, by length and excerpt.
    tops: Cache<View, Arc<CachedPage>>,
    searches: Cache<Search, Arc<CachedPage>>,
}

/// Everything that determines the result of a search.
type Search = (Filter, Paging, View);

/// A post as JSON.
pub struct CachedPost {
    /// The post without title and content, which the JSON holds.
    pub head: Post,
    pub json: Bytes,
    version: Option<DataVersion>,
}

/// A page of posts as JSON.
pub struct CachedPage {
    pub json: Bytes,
    /// See [`Page::total`].
    pub total: u64,
    /// See [`Page::is_total_limited`].
    pub is_total_limited: bool,
    /// See [`Page::next`].
    pub next: Option<Paging>,
    is_current: bool,
    version: Option<DataVersion>,
}

impl CachedPage {
    fn render(page: Page) -> serde_json::Result<Self> {
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
            version: None,
        })
    }

    async fn load(blog: &Blog, search: Search, version: Option<DataVersion>) -> Result<Arc<Self>, Problem> {
        let (filter, paging, view) = search;
        let page = blog
            .page(filter, paging, view, Self::render)
            .await?
            .map_err(Problem::internal)?;
        Ok(Arc::new(Self { version, ..page }))
    }
}

impl ResponseCache {
    /// Caches up to `max_mib` MiB of single posts; with 0, caches nothing at all.
    pub fn new(max_mib: u32) -> Self {
        let weigh_post =
            |_: &i64, post: &Arc<CachedPost>| u32::try_from(post.json.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        let posts = || {
            Cache::builder()
                .weigher(weigh_post)
                .max_capacity(u64::from(max_mib) * 1024 * 1024)
                .build()
        };
        // Twice the overhead, because the key holds the search text.
        let weigh_search =
            |_: &Search, page: &Arc<CachedPage>| u32::try_from(page.json.len() + 2 * ENTRY_BYTES).unwrap_or(u32::MAX);
        Self {
            posts: (max_mib > 0).then(posts),
            tops: Cache::builder().max_capacity(MAX_TOPS).build(),
            searches: Cache::builder()
                .weigher(weigh_search)
                .max_capacity(MAX_SEARCHES_BYTES)
                .build(),
        }
    }

    /// Returns a post from the cache or the database.
    ///
    /// # Errors
    /// Those of [`Blog::post`].
    pub async fn post(&self, blog: &Blog, id: i64) -> Result<Arc<CachedPost>, Problem> {
        // Read before the post: if the post changes in between, the entry counts as outdated.
        let version = self.data_version(blog)?;
        if let (Some(version), Some(posts)) = (version, &self.posts)
            && let Some(cached) = posts.get(&id)
            && cached.version.is_some_and(|cached| cached.same_existing_posts(version))
        {
            metrics::cache::looked_up(Cached::Posts, true);
            return Ok(cached);
        }
        count_miss(Cached::Posts, version);
        let mut head = blog.post(id).await?;
        let json = json(&PostJson::from(&head))?;
        (head.title, head.content) = (String::new(), String::new());
        let post = Arc::new(CachedPost { head, json, version });
        if let (Some(_), Some(posts)) = (version, &self.posts) {
            posts.insert(id, Arc::clone(&post));
        }
        Ok(post)
    }

    /// Returns a page from the cache or the database.
    ///
    /// # Errors
    /// Those of [`Blog::page`].
    pub async fn page(
        &self,
        blog: &Blog,
        filter: Filter,
        paging: Paging,
        view: View,
    ) -> Result<Arc<CachedPage>, Problem> {
        if filter.text.is_some() {
            return self.search(blog, (filter, paging, view)).await;
        }
        // Every client requests the top of the list. Other pages differ from client to client.
        let is_top = filter == Filter::default() && paging == Paging::Skip(0) && view.limit <= MAX_TOP_POSTS;
        let version = if is_top { self.data_version(blog)? } else { None };
        if version.is_some()
            && let Some(cached) = self.tops.get(&view)
            && cached.version == version
        {
            metrics::cache::looked_up(Cached::Lists, true);
            return Ok(cached);
        }
        count_miss(Cached::Lists, version);
        let page = CachedPage::load(blog, (filter, paging, view), version).await?;
        if version.is_some() && page.json.len() <= MAX_TOP_BYTES {
            self.tops.insert(view, Arc::clone(&page));
        }
        Ok(page)
    }

    /// A search takes ten times as long as a list, and is often repeated: for the next page, a reload, or a step back.
    async fn search(&self, blog: &Blog, search: Search) -> Result<Arc<CachedPage>, Problem> {
        let version = self.data_version(blog)?;
        if version.is_some()
            && let Some(cached) = self.searches.get(&search)
            && cached.version == version
        {
            metrics::cache::looked_up(Cached::Searches, true);
            return Ok(cached);
        }
        count_miss(Cached::Searches, version);
        let page = CachedPage::load(blog, search.clone(), version).await?;
        // When the index catches up, the data version does not change; so an incomplete result is not cached.
        if version.is_some() && page.is_current && page.json.len() <= MAX_SEARCH_BYTES {
            self.searches.insert(search, Arc::clone(&page));
        }
        Ok(page)
    }

    /// `None` where nothing is cached.
    fn data_version(&self, blog: &Blog) -> Result<Option<DataVersion>, Problem> {
        if self.posts.is_none() {
            return Ok(None);
        }
        Ok(blog.data_version()?)
    }
}

/// Counts a lookup without result, where there is a cache.
fn count_miss(cache: Cached, version: Option<DataVersion>) {
    if version.is_some() {
        metrics::cache::looked_up(cache, false);
    }
}

fn json(value: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Problem::internal)
}
