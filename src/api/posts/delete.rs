//! `DELETE /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::audited::audited;
use crate::{
    api::{
        etag,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{CommonErrors, PostErrors, PreconditionErrors},
    },
    blog::{Blog, BlogError},
    serve::RequestAudit,
};

/// Deletes a post. Only the author, or a caller who may manage, and with `If-Match` only the version that it names.
#[utoipa::path(
    delete,
    path = "/v1/posts/{id}",
    operation_id = "deletePost",
    tag = "posts",
    summary = "Delete a post of yours",
    description = "With `If-Match`, only if the post has one of these versions.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        etag::PreconditionHeaders,
    ),
    security(("access_token" = [])),
    responses(
        (status = 204, description = "The post is deleted"),
        PostErrors,
        PreconditionErrors,
        CommonErrors,
    ),
)]
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
    audit: web::Data<RequestAudit>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let precondition = etag::precondition(&request, &blog, id).await?;
    audited(&blog, &audit, &request, &caller)
        .delete(caller.actor(), id, precondition)
        .await
        .map_err(|error| match error {
            BlogError::NotAuthor => Problem::not_author("Not authorized to delete this post"),
            error => Problem::from(error),
        })?;
    Ok(HttpResponse::NoContent().finish())
}
