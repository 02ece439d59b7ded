//! `GET /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, http::header::ETag, web};

use super::{JSON, PostJson, with_validators};
use crate::{
    api::{
        etag,
        middleware::bearer::Caller,
        problem::Problem,
        response_cache::ResponseCache,
        responses::{CommonErrors, PostErrors},
    },
    blog::Blog,
};

/// Returns a post to every caller; 304 when `If-None-Match` names its version.
#[utoipa::path(
    get,
    path = "/v1/posts/{id}",
    operation_id = "getPost",
    tag = "posts",
    summary = "One post",
    description = "For every caller who may read. With `If-None-Match`, only if the post has another version.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        ("If-None-Match" = Option<String>, Header, description = "Versions that you already have"),
        ("If-Modified-Since" = Option<String>, Header, description = "Ignored with `If-None-Match`"),
    ),
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The post", body = PostJson, headers(("ETag" = String, description = "Its version"), ("Last-Modified" = String))),
        (status = 304, description = "You already have this version", headers(("ETag" = String, description = "Its version"), ("Last-Modified" = String))),
        PostErrors,
        CommonErrors,
    ),
)]
pub async fn read(
    _: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
    cache: web::Data<ResponseCache>,
) -> Result<HttpResponse, Problem> {
    let post = cache.post(&blog, id.into_inner()).await?;
    if let Some(tag) = etag::not_modified(&request, &post.head) {
        return Ok(with_validators(&post.head, &mut HttpResponse::NotModified())
            .insert_header(ETag(tag))
            .finish());
    }
    Ok(with_validators(&post.head, &mut HttpResponse::Ok())
        .content_type(JSON)
        .body(post.json.clone()))
}
