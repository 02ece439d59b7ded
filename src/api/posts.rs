//! Posts in the API's JSON. Each action on posts has a file in this folder.

mod audited;
pub mod change;
pub mod create;
pub mod delete;
mod fields;
pub mod list;
pub mod read;

use actix_web::{
    HttpResponseBuilder,
    http::header::{self, ETag, HeaderValue, LastModified},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    etag,
    users::{UserJson, rfc3339},
};
use crate::blog::Post;

/// A post with its author.
#[derive(Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostJson<'a> {
    id: i64,
    title: &'a str,
    content: &'a str,
    /// Whether the content was cut; present only with `excerpt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    truncated: Option<bool>,
    author_id: i64,
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339")]
    updated_at: DateTime<Utc>,
    author: UserJson<'a>,
}

/// A new post.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes the body: the fields are read one by one, to list all invalid ones"
)]
pub struct NewPost {
    #[schema(example = "Hello")]
    title: String,
    #[schema(example = "First line\nSecond line")]
    content: String,
}

/// A change to a post, with at least one of the two fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as for a new post")]
pub struct ChangedPost {
    #[schema(example = "Hello again")]
    title: Option<String>,
    #[schema(example = "Another text")]
    content: Option<String>,
}

impl<'a> From<&'a Post> for PostJson<'a> {
    fn from(post: &'a Post) -> Self {
        Self {
            id: post.id,
            title: &post.title,
            content: &post.content,
            truncated: post.is_truncated,
            author_id: post.author.id,
            created_at: post.created_at,
            updated_at: post.updated_at,
            author: UserJson::from(&post.author),
        }
    }
}

/// The approximate size of a post's JSON without title and content.
const OVERHEAD_BYTES: usize = 384;

/// A page of posts as a JSON array in UTF-8.
///
/// # Errors
/// Never: posts can always be written as JSON.
pub fn posts_as_json(posts: &[Post]) -> serde_json::Result<Vec<u8>> {
    let expected = posts
        .iter()
        .map(|post| post.title.len() + post.content.len() + OVERHEAD_BYTES)
        .sum();
    let mut json = Vec::with_capacity(expected);
    serde_json::to_writer(&mut json, &posts.iter().map(PostJson::from).collect::<Vec<_>>())?;
    Ok(json)
}

/// The content type of bytes that are JSON already.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Adds the validators of a post's version (RFC 9110 §8.8), and makes caches revalidate each time. `Vary` is sent
/// even if this response is not compressed: another one for the same URL may be.
fn with_validators<'a>(post: &Post, response: &'a mut HttpResponseBuilder) -> &'a mut HttpResponseBuilder {
    response
        .insert_header(ETag(etag::current(post)))
        .insert_header(LastModified(etag::last_modified(post)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .append_header((header::VARY, "Accept-Encoding"))
}
