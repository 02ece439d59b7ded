//! Posts as the API shows them; one file below for each thing that a user can do with them.

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

/// A post, with its author.
#[derive(Serialize, ToSchema)]
#[schema(as = Post)]
pub struct PostJson<'a> {
    id: i64,
    title: &'a str,
    content: &'a str,
    /// Only where `excerpt` was given: whether the content goes on after the excerpt.
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

/// What a new post is made of.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only described, never made: the fields are read one by one, to name all that are wrong"
)]
pub struct NewPost {
    #[schema(example = "Hello")]
    title: String,
    #[schema(example = "First line\nSecond line")]
    content: String,
}

/// What is to be changed of a post; one of the two at least.
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

/// What the JSON of a post takes beside title and content, roughly.
const POST_BYTES: usize = 384;

/// A page of posts as the API shows it: a JSON array in UTF-8.
///
/// # Errors
/// None of its own: JSON of posts can always be written.
pub fn posts_as_json(posts: &[Post]) -> serde_json::Result<Vec<u8>> {
    let expected = posts
        .iter()
        .map(|post| post.title.len() + post.content.len() + POST_BYTES)
        .sum();
    let mut json = Vec::with_capacity(expected);
    serde_json::to_writer(&mut json, &posts.iter().map(PostJson::from).collect::<Vec<_>>())?;
    Ok(json)
}

/// The type of an answer whose JSON is ready.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The headers of an answer that shows one post: which state it shows, and that a cache must ask each time whether
/// that is still it. Forms differ by encoding, whether or not this answer is compressed.
fn with_state_of<'a>(post: &Post, answer: &'a mut HttpResponseBuilder) -> &'a mut HttpResponseBuilder {
    answer
        .insert_header(ETag(etag::of(post)))
        .insert_header(LastModified(etag::last_modified(post)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .append_header((header::VARY, "Accept-Encoding"))
}
