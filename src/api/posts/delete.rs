//! `DELETE /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    api::{
        etag,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{Conditional, Guarded, OfOnePost},
    },
    blog::{Blog, BlogError},
};

/// Deletes a post. The author only, and with `If-Match` only in the state that it names.
#[utoipa::path(
    delete,
    path = "/v1/posts/{id}",
    operation_id = "deletePost",
    tag = "posts",
    summary = "Delete a post of yours",
    description = "With `If-Match` only if the post is in one of the states named.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        ("If-Match" = Option<String>, Header, description = "The state that you saw, from `ETag`"),
        ("If-None-Match" = Option<String>, Header, description = "States in which the post must not be; `*` is all of them"),
        (
            "If-Unmodified-Since" = Option<String>, Header,
            description = "`Last-Modified` of the state that you saw; counts without `If-Match` only",
        ),
    ),
    security(("access_token" = [])),
    responses(
        (status = 204, description = "It is gone"),
        OfOnePost,
        Conditional,
        Guarded,
    ),
)]
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let expected = etag::expected(&request, &blog, id).await?;
    blog.delete(caller.actor(), id, expected)
        .await
        .map_err(|error| match error {
            BlogError::NotAuthor => Problem::not_author("Not authorized to delete this post"),
            error => Problem::from(error),
        })?;
    Ok(HttpResponse::NoContent().finish())
}
