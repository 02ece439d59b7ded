//! `PUT /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::{ChangedPost, PostJson, fields::Fields, with_state_of};
use crate::{
    api::{
        etag,
        json_body::JsonBody,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{Conditional, Guarded, OfOnePost, WithBody},
    },
    blog::{Blog, BlogError},
    config::ApiSettings,
};

/// Changes title, content or both; what is not given stays. The author only, and with `If-Match` only the state that it
/// names.
#[utoipa::path(
    put,
    path = "/v1/posts/{id}",
    operation_id = "changePost",
    tag = "posts",
    summary = "Change a post of yours",
    description = "What is not given, or `null`, stays. With `If-Match` only if the post is in one of the states named.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        ("If-Match" = Option<String>, Header, description = "The state that you saw, from `ETag`"),
        ("If-None-Match" = Option<String>, Header, description = "States in which the post must not be; `*` is all of them"),
        (
            "If-Unmodified-Since" = Option<String>, Header,
            description = "`Last-Modified` of the state that you saw; counts without `If-Match` only",
        ),
    ),
    request_body = ChangedPost,
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The post as it is now", body = PostJson, headers(("ETag" = String, description = "Its state"), ("Last-Modified" = String))),
        OfOnePost,
        Conditional,
        WithBody,
        Guarded,
    ),
)]
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    body: JsonBody<Fields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let change = body
        .0
        .into_change(settings.max_content_chars)
        .map_err(Problem::invalid)?;
    let expected = etag::expected(&request, &blog, id).await?;
    let post = blog
        .change(caller.actor(), id, change, expected)
        .await
        .map_err(|error| match error {
            BlogError::NotAuthor => Problem::not_author("Not authorized to update this post"),
            error => Problem::from(error),
        })?;
    Ok(with_state_of(&post, &mut HttpResponse::Ok()).json(PostJson::from(&post)))
}
