//! `GET /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, http::header::ETag, web};

use super::{JSON, PostJson, with_state_of};
use crate::{
    api::{
        etag,
        middleware::bearer::Caller,
        problem::Problem,
        response_cache::ReadyAnswers,
        responses::{Guarded, OfOnePost},
    },
    blog::Blog,
};

/// One post, for everybody who is signed in; 304 when `If-None-Match` names the state that it is in.
#[utoipa::path(
    get,
    path = "/v1/posts/{id}",
    operation_id = "getPost",
    tag = "posts",
    summary = "One post",
    description = "For everybody who may read. With `If-None-Match` only if it is in another state.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        ("If-None-Match" = Option<String>, Header, description = "States that you have already"),
        ("If-Modified-Since" = Option<String>, Header, description = "Counts without `If-None-Match` only"),
    ),
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The post", body = PostJson, headers(("ETag" = String, description = "Its state"), ("Last-Modified" = String))),
        (status = 304, description = "It is in a state that you have", headers(("ETag" = String, description = "Its state"), ("Last-Modified" = String))),
        OfOnePost,
        Guarded,
    ),
)]
pub async fn read(
    _: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
    ready: web::Data<ReadyAnswers>,
) -> Result<HttpResponse, Problem> {
    let post = ready.post(&blog, id.into_inner()).await?;
    if let Some(known) = etag::known(&request, &post.head) {
        return Ok(with_state_of(&post.head, &mut HttpResponse::NotModified())
            .insert_header(ETag(known))
            .finish());
    }
    Ok(with_state_of(&post.head, &mut HttpResponse::Ok())
        .content_type(JSON)
        .body(post.json.clone()))
}
